import type { SessionsEvent } from '../../aggregates/sessions/events.ts';
import type { UserEvent } from '../../aggregates/user/events.ts';
import type { LiveHandlers } from './notice.ts';

/** What events of accounts and sessions do to live connections. */
export const accountHandlers: LiveHandlers<SessionsEvent | UserEvent> = {
  SessionEnded: {
    endsSession: ({ data: { userId, sessionId } }) => ({ userId, sessionId }),
  },
  // Connections end before the rest of the erasure is done.
  ErasureRequested: {
    erases: ({ data }) => data.userId,
  },
  UserErased: {
    erases: ({ data }) => data.userId,
  },
};
