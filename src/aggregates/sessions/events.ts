import { Type } from 'typebox';
import type { JsonObject } from '../../kernel/json.ts';
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
  /** Appended by earlier versions only: the token before the current one was answered with the current one (`counter`). Changes nothing. */
  SessionRefreshForgiven: event({ userId: ObjectId, sessionId: Uuid, counter: Sequence }),
  /** `reused-token`: an old refresh token was presented, so that two parties had it. `superseded`: it was the oldest, and the user started one too many. */
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
          /** When the current refresh token replaced the one before it; the start of the session for the first. */
          rotatedAt: Time,
          startedAt: Time,
          expiresAt: Time,
        }),
        { maxItems: 1_000 },
      ),
      userAgents: Type.Array(Type.Union([Type.String({ maxLength: 256 }), Type.Null()]), { maxItems: 1_000 }),
      over: Type.Array(Uuid, { maxItems: 100 }),
    },
    {
      personal: { userAgents: 'userId' },
      // Before, the time of the rotation was not repeated; the session's start stands for it, so that the token before is not accepted any more.
      upcasters: [(data) => ({ ...data, sessions: (data.sessions as readonly JsonObject[]).map(withRotation) })],
    },
  ),
};

function withRotation({ forgiven: _, ...session }: JsonObject): JsonObject {
  return { ...session, rotatedAt: session.startedAt ?? null };
}

export type SessionsEvent = EventsOf<typeof sessionsEvents>;
