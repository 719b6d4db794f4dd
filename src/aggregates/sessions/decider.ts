import type { SessionsCommand } from '../../commands/sessions.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { SessionsEvent } from './events.ts';

/** Live sessions that one user can have; starting one more ends the oldest. */
export const SESSIONS_MAX = 100;
/** Ended sessions that are remembered, the latest ones, to distinguish a repeated end from the end of an unknown session. */
const OVER_MAX = 100;

/** For how long after a rotation the token before still gets the current one, in ms: a response was lost, or several tabs refreshed at once. */
export const ROTATION_GRACE_MS = 60_000;

/** `counter` is that of the current refresh token, which replaced the one before it at `rotatedAt`. */
export type Session = Readonly<{
  sessionId: string;
  counter: number;
  rotatedAt: string;
  startedAt: string;
  expiresAt: string;
}>;

/**
 * `open` in the order in which they started, expired ones included: see `liveSession`. `over`: ids of ended sessions, the latest last.
 * `sinceSummary`: events since the last summary, or since the start.
 */
export type SessionsState = Readonly<{ open: readonly Session[]; over: readonly string[]; sinceSummary: number }>;

/** The session with this id, `undefined` when there is none, it was ended, or it has expired at this time. */
export function liveSession(state: SessionsState, sessionId: string, at: string): Session | undefined {
  return state.open.find((session) => session.sessionId === sessionId && at < session.expiresAt);
}

/** Starts a session, and ends the oldest one when there would be too many. `[]` when it was started before, also if it has ended since. */
export function startSession(
  { data, metadata }: CommandOf<SessionsCommand, 'StartSession'>,
  state: SessionsState,
): SessionsEvent[] {
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
 * Replaces the current refresh token with the next one. `[]` for the token before it within `ROTATION_GRACE_MS` of the rotation: the current one is
 * the answer, any number of times. Presenting it later, or any older token, ends the session: an event and not a refusal, because it has to be stored.
 * Refused with `unauthenticated` when there is no such session, and for a token that was never issued.
 */
export function refreshSession(
  { data, metadata }: CommandOf<SessionsCommand, 'RefreshSession'>,
  state: SessionsState,
): SessionsEvent[] {
  const { userId, sessionId, counter } = data;
  const session = liveSession(state, sessionId, metadata.at);
  if (session === undefined || counter > session.counter) {
    throw sessionOver();
  }
  if (counter === session.counter) {
    const next = { userId, sessionId, counter: counter + 1, refreshedAt: metadata.at };
    return [{ type: 'SessionRefreshed', data: next }];
  }
  const sinceRotation = Date.parse(metadata.at) - Date.parse(session.rotatedAt);
  if (counter === session.counter - 1 && sinceRotation < ROTATION_GRACE_MS) return [];
  return [ended(userId, sessionId, 'reused-token', metadata.at)];
}

/** Ends a session. `[]` when it has ended already. Refused with `not-found` when it is unknown, or is no longer remembered. */
export function endSession(
  { data, metadata }: CommandOf<SessionsCommand, 'EndSession'>,
  state: SessionsState,
): SessionsEvent[] {
  const { userId, sessionId } = data;
  if (!isKnown(state, sessionId)) throw new Refusal('not-found', 'there is no such session');
  if (liveSession(state, sessionId, metadata.at) === undefined) return [];
  return [ended(userId, sessionId, 'signed-out', metadata.at)];
}

/**
 * Repeats the sessions that are live and the ids of the others. `[]` when there are no events since the last summary. Refused with `revision-mismatch`
 * when a session has started since the user agents were read.
 */
export function summariseSessions(
  { data, metadata }: CommandOf<SessionsCommand, 'SummariseSessions'>,
  state: SessionsState,
): SessionsEvent[] {
  if (state.sinceSummary === 0) return [];
  const { open, over } = close(state, ({ expiresAt }) => expiresAt <= metadata.at);
  const known = new Map(data.userAgents.map(({ sessionId, userAgent }) => [sessionId, userAgent]));
  if (open.some(({ sessionId }) => !known.has(sessionId))) {
    throw new Refusal('revision-mismatch', 'another session has started meanwhile');
  }
  const userAgents = open.map(({ sessionId }) => known.get(sessionId) ?? null);
  return [
    { type: 'SessionsSummarised', data: { userId: data.userId, sessions: [...open], userAgents, over: [...over] } },
  ];
}

/** One text for everything that can be wrong with a session. */
export function sessionOver(): Refusal {
  return new Refusal('unauthenticated', 'this session has ended; sign in again');
}

type EndReason = Extract<SessionsEvent, { type: 'SessionEnded' }>['data']['reason'];

function ended(userId: string, sessionId: string, reason: EndReason, endedAt: string): SessionsEvent {
  return { type: 'SessionEnded', data: { userId, sessionId, reason, endedAt } };
}

function isKnown({ open, over }: SessionsState, sessionId: string): boolean {
  return open.some((session) => session.sessionId === sessionId) || over.includes(sessionId);
}

/** Moves the sessions that match `isOver` from the open to the ended ones. */
function close(state: SessionsState, isOver: (session: Session) => boolean): SessionsState {
  const closed = state.open.filter(isOver).map(({ sessionId }) => sessionId);
  if (closed.length === 0) return state;
  return {
    ...state,
    open: state.open.filter((session) => !isOver(session)),
    over: [...state.over, ...closed].slice(-OVER_MAX),
  };
}

function change(state: SessionsState, sessionId: string, changes: Partial<Session>): SessionsState {
  const open = state.open.map((session) => (session.sessionId === sessionId ? { ...session, ...changes } : session));
  return { ...state, open };
}

function evolve(before: SessionsState, event: SessionsEvent): SessionsState {
  const state = { ...before, sinceSummary: before.sinceSummary + 1 };
  switch (event.type) {
    case 'SessionStarted': {
      const { sessionId, startedAt, expiresAt } = event.data;
      const others = close(state, (session) => session.expiresAt <= startedAt);
      const started = { sessionId, counter: 0, rotatedAt: startedAt, startedAt, expiresAt };
      return { ...others, open: [...others.open, started] };
    }
    case 'SessionsSummarised':
      return { open: event.data.sessions, over: event.data.over, sinceSummary: 0 };
    case 'SessionRefreshed':
      return change(state, event.data.sessionId, { counter: event.data.counter, rotatedAt: event.data.refreshedAt });
    case 'SessionRefreshForgiven':
      return state;
    case 'SessionEnded':
      return close(state, ({ sessionId }) => sessionId === event.data.sessionId);
    default:
      event satisfies never;
      return before;
  }
}

/** Approximate memory of a state, of an open session and of the id of an ended one. */
const BASE_BYTES = 200;
const SESSION_BYTES = 300;
const ID_BYTES = 70;

/** The sessions of one user. Setting a password also ends all earlier sessions; that is recorded in the user's own stream only. */
export const sessions: Aggregate<SessionsState, SessionsCommand, SessionsEvent> = {
  category: 'sessions',
  snapshotVersion: 3,
  initialState: { open: [], over: [], sinceSummary: 0 },
  decide(command, state) {
    switch (command.type) {
      case 'StartSession':
        return startSession(command, state);
      case 'RefreshSession':
        return refreshSession(command, state);
      case 'EndSession':
        return endSession(command, state);
      case 'SummariseSessions':
        return summariseSessions(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  ...plainState<SessionsState>(),
  weight: ({ open, over }) => BASE_BYTES + open.length * SESSION_BYTES + over.length * ID_BYTES,
  // The summary, and what came after it.
  books: {
    every: 128n,
    needed: ({ sinceSummary }) => sinceSummary + 1,
    isFirstNeeded: (_state, { type }) => type === 'SessionsSummarised',
  },
};
