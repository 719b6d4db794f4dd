import { Type } from 'typebox';
import { type EventsOf, event } from '../event-spec.ts';

/** Records that a command with an idempotency key was begun; stream `command-<commandId>`, kept for 48 h. */
export const claimEvents = {
  /** `bodyHash`: of the request that first used the key. `revision`: that of `stream` before, -1 when it did not exist. */
  CommandClaimed: event({
    bodyHash: Type.String({ maxLength: 64 }),
    stream: Type.String({ maxLength: 200 }),
    revision: Type.String({ pattern: '^-?\\d+$' }),
  }),
};

export type ClaimEvent = EventsOf<typeof claimEvents>;
