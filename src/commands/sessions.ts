import { Type } from 'typebox';
import { type CommandsOf, closed, SessionId, UserId } from './fields.ts';

/** What may be asked of a user's sessions. */
export const sessionsCommands = {
  /** A new session, by somebody whose password was verified. */
  StartSession: closed({
    userId: UserId,
    sessionId: SessionId,
    userAgent: Type.Union([Type.String(), Type.Null()]),
    expiresAt: Type.String(),
  }),
  /** The refresh token with this counter was presented, and is genuine. */
  RefreshSession: closed({ userId: UserId, sessionId: SessionId, counter: Type.Integer({ minimum: 0 }) }),
  EndSession: closed({ userId: UserId, sessionId: SessionId }),
};

export type SessionsCommand = CommandsOf<typeof sessionsCommands>;
