import { Type } from 'typebox';
import { type EventsOf, event } from '../event-spec.ts';

/** What is known of a request with an idempotency key; stream `command-<id of owner, route and key>`, kept for 48 h. */
export const claimEvents = {
  /**
   * The request was begun. `bodyHash`: of its content. `revision`: that of `stream` before, -1 when it did not exist. `seed`: the request's ids derive
   * from it.
   */
  CommandClaimed: event({
    bodyHash: Type.String({ maxLength: 64 }),
    stream: Type.String({ maxLength: 200 }),
    revision: Type.String({ pattern: '^-?\\d+$' }),
    seed: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  }),
  /** The request was answered with this position, which no event of `stream` shows, or not for 48 h. */
  CommandAnswered: event({ position: Type.String({ minLength: 1, maxLength: 128 }) }),
};

export type ClaimEvent = EventsOf<typeof claimEvents>;
