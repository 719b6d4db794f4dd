import { Type } from 'typebox';
import { describeOperation } from './operation.ts';

const closed = { additionalProperties: false };

/** The keys that sign access tokens and verify those that are still valid. */
export const listSigningKeys = describeOperation({
  name: 'keys-list',
  params: Type.Object({}, closed),
  run: async ({ signingKeys }) => ({ keys: [...(await signingKeys.list())] }),
});

/** Publishes the next key, which signs after some minutes; with `atOnce` it signs now, and the tokens of all others are refused. */
export const rotateKeys = describeOperation({
  name: 'keys-rotate',
  params: Type.Object({ atOnce: Type.Boolean() }, closed),
  run: async ({ signingKeys }, options) => ({ keys: [...(await signingKeys.rotate(options))] }),
});
