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
};

export type SessionsCommand = CommandsOf<typeof sessionsCommands>;
