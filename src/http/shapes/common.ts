import { type Static, type TSchema, Type } from 'typebox';

/** The same schema, or null. */
export const nullable = <Schema extends TSchema>(schema: Schema & { type: string }) =>
  Type.Unsafe<Static<Schema> | null>({ ...schema, type: [schema.type, 'null'] });

export const Id = Type.String({ description: '24 hex digits', examples: ['65f1c0a4b7d2e83f9a104c11'] });
export const MessageIdShape = Type.String({
  description: 'A UUID',
  examples: ['018f3c7a-9b1e-7c44-8d0a-5b2f6e1c9a77'],
});
export const Time = Type.String({ description: 'ISO 8601, UTC, milliseconds', examples: ['2026-03-14T09:26:53.589Z'] });

export const PositionShape = Type.String({
  description: 'Position in the event log, for `Min-Position`',
  examples: ['0000000000004711'],
});

/** The response to a command: its outcome is durable, and visible in read models that have reached `position`. */
export const Accepted = Type.Object(
  {
    _id: Type.String({ description: 'Id of what was created or changed' }),
    position: PositionShape,
  },
  { description: 'The outcome is durable; `Location` is the resource that shows it' },
);

/** The same for a caller without a session: a position would reveal what an address is used for. */
export const AcceptedPublicly = Type.Object(
  { _id: Accepted.properties._id },
  { description: 'The outcome is durable; `Location` is the resource that shows it, once you have signed in' },
);
