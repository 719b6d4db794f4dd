import { Type } from 'typebox';
import { type CommandsOf, closed, SessionId, UserId } from './fields.ts';

/** Commands of the sessions of one user. */
export const sessionsCommands = {
  /** Starts a session. The caller has verified the password. */
  StartSession: closed({
    userId: UserId,
    sessionId: SessionId,
    userAgent: Type.Union([Type.String(), Type.Null()]),
    expiresAt: Type.String(),
  }),
  /** The refresh token with this counter was presented. The caller has verified it. */
  RefreshSession: closed({ userId: UserId, sessionId: SessionId, counter: Type.Integer({ minimum: 0 }) }),
  EndSession: closed({ userId: UserId, sessionId: SessionId }),
  /** Repeats the live sessions at the end of the stream, so that older events can be removed. */
  SummariseSessions: closed({
    userId: UserId,
    /** Of all sessions, as they were given when these started. */
    userAgents: Type.Array(closed({ sessionId: SessionId, userAgent: Type.Union([Type.String(), Type.Null()]) })),
  }),
};

export type SessionsCommand = CommandsOf<typeof sessionsCommands>;
