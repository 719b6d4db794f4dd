import { Type } from 'typebox';
import { closed, type EventsOf } from '../schema.ts';

/** That a command with an idempotency key was begun; stream `command-<commandId>`, kept for 48 h. */
export const claimEvents = {
  /** `bodyHash`: what the key was first used for. `revision`: that of `stream` before, -1 when it did not exist. */
  CommandClaimed: closed({
    bodyHash: Type.String({ maxLength: 64 }),
    stream: Type.String({ maxLength: 200 }),
    revision: Type.String({ pattern: '^-?\\d+$' }),
  }),
};

export type ClaimEvent = EventsOf<typeof claimEvents>;
