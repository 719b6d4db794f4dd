import { Type } from 'typebox';
import { closed, type EventsOf, event, ObjectId, Sequence, Time, Uuid } from '../event-spec.ts';

/** The sessions of one user; stream `sessions-<userId>`. */
export const sessionsEvents = {
  SessionStarted: event(
    {
      userId: ObjectId,
      sessionId: Uuid,
      userAgent: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
      startedAt: Time,
      /** No refresh extends it beyond this. */
      expiresAt: Time,
    },
    { personal: { userAgent: 'userId' } },
  ),
  /** The refresh token with this counter is now the current one; the first has 0. */
  SessionRefreshed: event({ userId: ObjectId, sessionId: Uuid, counter: Sequence, refreshedAt: Time }),
  /** The token before the current one was presented and answered with the current one (`counter`): a response was lost, or two tabs refreshed at once. */
  SessionRefreshForgiven: event({ userId: ObjectId, sessionId: Uuid, counter: Sequence }),
  /** `reused-token`: an old refresh token was presented. `superseded`: it was the oldest, and the user started one too many. */
  SessionEnded: event({
    userId: ObjectId,
    sessionId: Uuid,
    reason: Type.Enum(['signed-out', 'reused-token', 'superseded']),
    endedAt: Time,
  }),
  /**
   * Repeats the live sessions, in the order in which they started, and the ids of those that ended last, so that all events before can be removed from
   * the stream. `userAgents`: of each of the sessions.
   */
  SessionsSummarised: event(
    {
      userId: ObjectId,
      sessions: Type.Array(
        closed({
          sessionId: Uuid,
          counter: Sequence,
          forgiven: Type.Boolean(),
          startedAt: Time,
          expiresAt: Time,
        }),
        { maxItems: 1_000 },
      ),
      userAgents: Type.Array(Type.Union([Type.String({ maxLength: 256 }), Type.Null()]), { maxItems: 1_000 }),
      over: Type.Array(Uuid, { maxItems: 100 }),
    },
    { personal: { userAgents: 'userId' } },
  ),
};

export type SessionsEvent = EventsOf<typeof sessionsEvents>;
