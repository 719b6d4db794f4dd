import { listSigningKeys, rotateKeys } from '../../operations/signing-keys.ts';
import { type Command, type Output, UsageError } from '../command.ts';
import { table } from '../table.ts';

type Key = Readonly<{ kid: string; state: string; signsFrom: number }>;

function outputOf(keys: readonly Key[]): Output {
  const rows = keys.map(({ kid, state, signsFrom }) => {
    return [kid, state, signsFrom === 0 ? 'the start' : new Date(signsFrom).toISOString()];
  });
  return { lines: table([['KEY', 'STATE', 'SIGNS FROM'], ...rows]), json: { keys: [...keys] } };
}

/** Shows the keys that other services find at `/.well-known/jwks.json`. */
export const keysList: Command = {
  name: 'keys list',
  usage: '',
  summary: 'List the keys that sign access tokens',
  async run({ args, installation }) {
    if (args.length > 0) throw new UsageError('keys list takes no arguments');
    return outputOf((await installation.call(listSigningKeys, {})).keys);
  },
};

/** Replaces the key that signs access tokens. */
export const keysRotate: Command = {
  name: 'keys rotate',
  usage: '[--now]',
  summary:
    'Publish the next key, which signs 15 minutes later; with --now at once, and all tokens of earlier keys are refused',
  options: { now: { type: 'boolean' } },
  async run({ args, options, installation }) {
    if (args.length > 0) throw new UsageError('keys rotate takes no arguments');
    return outputOf((await installation.call(rotateKeys, { atOnce: options.now === true })).keys);
  },
};
