import type { SessionsCommand } from '../../commands/sessions.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { SessionsEvent } from './events.ts';

/** Sessions of one user that may be live at a time; one more ends the oldest. */
export const SESSIONS_MAX = 100;
/** The latest sessions that are over, so that ending one of them again is told apart from one that never was. */
const OVER_MAX = 100;

/** `counter` is that of the current refresh token; `forgiven`: the one before it was presented once, and answered with the current one. */
export type Session = Readonly<{
  sessionId: string;
  counter: number;
  forgiven: boolean;
  startedAt: string;
  expiresAt: string;
}>;

/** `open` in the order of their start; some may have expired meanwhile, so ask `liveSession`. */
export type SessionsState = Readonly<{ open: readonly Session[]; over: readonly string[] }>;

type Asked<Type extends SessionsCommand['type']> = Extract<SessionsCommand, { type: Type }>;

/** The session of this id unless it was ended, has expired at this time, or never was. */
export function liveSession(state: SessionsState, sessionId: string, at: string): Session | undefined {
  return state.open.find((session) => session.sessionId === sessionId && at < session.expiresAt);
}

/** A new session; the oldest ends when there would be too many. `[]` when it was started before, whatever became of it. */
export function startSession({ data, metadata }: Asked<'StartSession'>, state: SessionsState): SessionsEvent[] {
  const { userId, sessionId, userAgent, expiresAt } = data;
  const { at } = metadata;
  if (isKnown(state, sessionId)) return [];
  const live = state.open.filter((session) => at < session.expiresAt);
  const [oldest] = live.length < SESSIONS_MAX ? [] : live;
  const started: SessionsEvent = {
    type: 'SessionStarted',
    data: { userId, sessionId, userAgent: userAgent?.slice(0, 256).toWellFormed() ?? null, startedAt: at, expiresAt },
  };
  return oldest === undefined ? [started] : [ended(userId, oldest.sessionId, 'superseded', at), started];
}

/**
 * The next token for the current one. The one before it is forgiven once and gets the current one (`SessionRefreshForgiven`); after that, and for
 * any older one, the session is destroyed, which is an event and no refusal: it must last. Refused with `unauthenticated` when there is no
 * such session, and for a token that was never made.
 */
export function refreshSession({ data, metadata }: Asked<'RefreshSession'>, state: SessionsState): SessionsEvent[] {
  const { userId, sessionId, counter } = data;
  const session = liveSession(state, sessionId, metadata.at);
  if (session === undefined || counter > session.counter) {
    throw new Refusal('unauthenticated', 'this session is over; sign in again');
  }
  if (counter === session.counter) {
    const next = { userId, sessionId, counter: counter + 1, refreshedAt: metadata.at };
    return [{ type: 'SessionRefreshed', data: next }];
  }
  if (counter === session.counter - 1 && !session.forgiven) {
    return [{ type: 'SessionRefreshForgiven', data: { userId, sessionId, counter: session.counter } }];
  }
  return [ended(userId, sessionId, 'reused-token', metadata.at)];
}

/** Ends a session. `[]` when it is over already; refused with `not-found` when it never was, or was forgotten. */
export function endSession({ data, metadata }: Asked<'EndSession'>, state: SessionsState): SessionsEvent[] {
  const { userId, sessionId } = data;
  if (!isKnown(state, sessionId)) throw new Refusal('not-found', 'there is no such session');
  if (liveSession(state, sessionId, metadata.at) === undefined) return [];
  return [ended(userId, sessionId, 'signed-out', metadata.at)];
}

type EndReason = Extract<SessionsEvent, { type: 'SessionEnded' }>['data']['reason'];

function ended(userId: string, sessionId: string, reason: EndReason, endedAt: string): SessionsEvent {
  return { type: 'SessionEnded', data: { userId, sessionId, reason, endedAt } };
}

function isKnown({ open, over }: SessionsState, sessionId: string): boolean {
  return open.some((session) => session.sessionId === sessionId) || over.includes(sessionId);
}

/** Moves the sessions that `isOver` names from the open ones to the latest that are over. */
function close(state: SessionsState, isOver: (session: Session) => boolean): SessionsState {
  const closed = state.open.filter(isOver).map(({ sessionId }) => sessionId);
  if (closed.length === 0) return state;
  return {
    open: state.open.filter((session) => !isOver(session)),
    over: [...state.over, ...closed].slice(-OVER_MAX),
  };
}

function change(state: SessionsState, sessionId: string, changes: Partial<Session>): SessionsState {
  const open = state.open.map((session) => (session.sessionId === sessionId ? { ...session, ...changes } : session));
  return { ...state, open };
}

function evolve(state: SessionsState, event: SessionsEvent): SessionsState {
  switch (event.type) {
    case 'SessionStarted': {
      const { sessionId, startedAt, expiresAt } = event.data;
      const { open, over } = close(state, (session) => session.expiresAt <= startedAt);
      return { open: [...open, { sessionId, counter: 0, forgiven: false, startedAt, expiresAt }], over };
    }
    case 'SessionRefreshed':
      return change(state, event.data.sessionId, { counter: event.data.counter, forgiven: false });
    case 'SessionRefreshForgiven':
      return change(state, event.data.sessionId, { forgiven: true });
    case 'SessionEnded':
      return close(state, ({ sessionId }) => sessionId === event.data.sessionId);
    default:
      event satisfies never;
      return state;
  }
}

/** The sessions of one user. That a password was set ends the earlier ones too, which the user's own stream tells. */
export const sessions: Aggregate<SessionsState, SessionsCommand, SessionsEvent> = {
  category: 'sessions',
  snapshotVersion: 1,
  initialState: { open: [], over: [] },
  decide(command, state) {
    switch (command.type) {
      case 'StartSession':
        return startSession(command, state);
      case 'RefreshSession':
        return refreshSession(command, state);
      case 'EndSession':
        return endSession(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  ...plainState<SessionsState>(),
  weight: ({ open, over }) => 1 + open.length + over.length,
};
