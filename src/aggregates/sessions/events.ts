import { Type } from 'typebox';
import { closed, type EventsOf, ObjectId, Sequence, Time, Uuid } from '../schema.ts';

/** The sessions of one user; stream `sessions-<userId>`. */
export const sessionsEvents = {
  SessionStarted: closed({
    userId: ObjectId,
    sessionId: Uuid,
    userAgent: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    startedAt: Time,
    /** No refresh extends it beyond this. */
    expiresAt: Time,
  }),
  /** The refresh token with this counter is now the current one; the first has 0. */
  SessionRefreshed: closed({ userId: ObjectId, sessionId: Uuid, counter: Sequence, refreshedAt: Time }),
  /** The token before the current was presented and answered with the current one (`counter`): an answer got lost, or two tabs raced. */
  SessionRefreshForgiven: closed({ userId: ObjectId, sessionId: Uuid, counter: Sequence }),
  /** `reused-token`: an old refresh token came back. `superseded`: it was the oldest, and the user started one too many. */
  SessionEnded: closed({
    userId: ObjectId,
    sessionId: Uuid,
    reason: Type.Enum(['signed-out', 'reused-token', 'superseded']),
    endedAt: Time,
  }),
};

export type SessionsEvent = EventsOf<typeof sessionsEvents>;
