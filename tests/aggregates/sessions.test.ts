import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { liveSession, SESSIONS_MAX, type SessionsState, sessions } from '../../src/aggregates/sessions/decider.ts';
import type { SessionsEvent } from '../../src/aggregates/sessions/events.ts';
import type { SessionsCommand } from '../../src/commands/sessions.ts';
import { fold } from '../../src/kernel/decider.ts';
import { given } from '../support/decider-spec.ts';
import { alice, at, by, uuid } from './fixtures.ts';
import { checkRules } from './properties.ts';

const userId = alice;
const start = (n: number, seconds = 0, expires = 100, userAgent: string | null = null): SessionsCommand => ({
  type: 'StartSession',
  data: { userId, sessionId: uuid(n), userAgent, expiresAt: at(expires) },
  metadata: by(alice, seconds),
});
const refresh = (n: number, counter: number, seconds = 10): SessionsCommand => ({
  type: 'RefreshSession',
  data: { userId, sessionId: uuid(n), counter },
  metadata: by(alice, seconds),
});
const end = (n: number, seconds = 10): SessionsCommand => ({
  type: 'EndSession',
  data: { userId, sessionId: uuid(n) },
  metadata: by(alice, seconds),
});

const summarise = (userAgents: Record<number, string | null> = {}, seconds = 10): SessionsCommand => ({
  type: 'SummariseSessions',
  data: {
    userId,
    userAgents: Object.entries(userAgents).map(([n, userAgent]) => ({ sessionId: uuid(Number(n)), userAgent })),
  },
  metadata: by(alice, seconds),
});

const started = (n: number, seconds = 0, expires = 100, userAgent: string | null = null): SessionsEvent => ({
  type: 'SessionStarted',
  data: { userId, sessionId: uuid(n), userAgent, startedAt: at(seconds), expiresAt: at(expires) },
});
const refreshed = (n: number, counter: number, seconds = 10): SessionsEvent => ({
  type: 'SessionRefreshed',
  data: { userId, sessionId: uuid(n), counter, refreshedAt: at(seconds) },
});
const forgiven = (n: number, counter: number): SessionsEvent => ({
  type: 'SessionRefreshForgiven',
  data: { userId, sessionId: uuid(n), counter },
});
type EndReason = Extract<SessionsEvent, { type: 'SessionEnded' }>['data']['reason'];
const ended = (n: number, reason: EndReason, seconds = 10): SessionsEvent => ({
  type: 'SessionEnded',
  data: { userId, sessionId: uuid(n), reason, endedAt: at(seconds) },
});

type Repeated = Extract<SessionsEvent, { type: 'SessionsSummarised' }>['data'];
const summarised = (
  of: readonly Repeated['sessions'][number][],
  userAgents: Repeated['userAgents'],
  over: readonly number[],
): SessionsEvent => ({
  type: 'SessionsSummarised',
  data: { userId, sessions: [...of], userAgents, over: over.map(uuid) },
});

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('StartSession', () => {
  it('starts a session', () => {
    const state = given(sessions, [])
      .when(start(1, 5, 100, 'Browser'))
      .decides([started(1, 5, 100, 'Browser')]);
    const session = { sessionId: uuid(1), counter: 0, rotatedAt: at(5), startedAt: at(5), expiresAt: at(100) };
    expect(state).toStrictEqual({ open: [session], over: [], sinceSummary: 1 });
  });

  it('decides nothing the second time, also when the session has ended since', () => {
    given(sessions, [started(1)])
      .when(start(1, 5))
      .decides([]);
    given(sessions, [started(1), ended(1, 'signed-out')])
      .when(start(1, 20))
      .decides([]);
    given(sessions, [started(1), started(2, 100, 200)])
      .when(start(1, 150, 300))
      .decides([]);
  });

  it('truncates a long user agent without splitting a character', () => {
    given(sessions, [])
      .when(start(1, 0, 100, `${'x'.repeat(255)}😀`))
      .decides([started(1, 0, 100, `${'x'.repeat(255)}�`)]);
  });

  it('ends the oldest session when there would be too many', () => {
    const most = numbers(1, SESSIONS_MAX).map((n) => started(n, 0, 100));
    const state = given(sessions, most)
      .when(start(999, 10))
      .decides([ended(1, 'superseded'), started(999, 10)]);
    expect(state.open.map(({ sessionId }) => sessionId)).toEqual([...numbers(2, SESSIONS_MAX), 999].map(uuid));
  });

  it('does not count expired sessions', () => {
    const most = [started(1, 0, 10), ...numbers(2, SESSIONS_MAX).map((n) => started(n, 0, 100))];
    given(sessions, most)
      .when(start(999, 10))
      .decides([started(999, 10)]);
  });
});

describe('RefreshSession', () => {
  it('replaces the current token with the next one', () => {
    given(sessions, [started(1)])
      .when(refresh(1, 0))
      .decides([refreshed(1, 1)]);
    given(sessions, [started(1), refreshed(1, 1)])
      .when(refresh(1, 1, 20))
      .decides([refreshed(1, 2, 20)]);
  });

  it('decides nothing for the token before the current one within 60 s of the rotation, any number of times', () => {
    const { when } = given(sessions, [started(1), refreshed(1, 1, 10)]);
    for (const seconds of [10, 10, 40, 69.999]) when(refresh(1, 0, seconds)).decides([]);
  });

  it('decides nothing for the token before on a node whose clock is slower than that of the rotation', () => {
    given(sessions, [started(1), refreshed(1, 1, 10)])
      .when(refresh(1, 0, 8))
      .decides([]);
  });

  it('counts the 60 s from the latest rotation', () => {
    const { when } = given(sessions, [started(1), refreshed(1, 1, 10), refreshed(1, 2, 20)]);
    when(refresh(1, 1, 79.999)).decides([]);
    when(refresh(1, 1, 80)).decides([ended(1, 'reused-token', 80)]);
  });

  it('ends the session when the previous token is presented after 60 s', () => {
    const state = given(sessions, [started(1), refreshed(1, 1)])
      .when(refresh(1, 0, 70))
      .decides([ended(1, 'reused-token', 70)]);
    expect(state).toStrictEqual({ open: [], over: [uuid(1)], sinceSummary: 3 });
  });

  it('ends the session when an older token is presented, at any time', () => {
    given(sessions, [started(1), refreshed(1, 1), refreshed(1, 2)])
      .when(refresh(1, 0))
      .decides([ended(1, 'reused-token')]);
  });

  it('ends the session when the previous token is presented after 60 s, with a summary in between', () => {
    const history = [started(1), refreshed(1, 1, 10)];
    const summary = summarised(
      [{ sessionId: uuid(1), counter: 1, rotatedAt: at(10), startedAt: at(0), expiresAt: at(100) }],
      [null],
      [],
    );
    given(sessions, history)
      .when(summarise({ 1: null }))
      .decides([summary]);
    const { when } = given(sessions, [summary]);
    when(refresh(1, 0, 69)).decides([]);
    when(refresh(1, 0, 70)).decides([ended(1, 'reused-token', 70)]);
  });

  it('ignores what earlier versions recorded of an answered previous token', () => {
    const { state } = given(sessions, [started(1), refreshed(1, 1), forgiven(1, 1)]);
    expect(state.open).toEqual(given(sessions, [started(1), refreshed(1, 1)]).state.open);
  });

  it.each([
    ['an unknown session', [], refresh(1, 0)],
    ['a session that was ended', [started(1), ended(1, 'signed-out')], refresh(1, 0, 20)],
    ['a session at its expiry', [started(1)], refresh(1, 0, 100)],
    ['a token that was never issued', [started(1)], refresh(1, 1)],
    ['an old token of a session that expired', [started(1), refreshed(1, 1)], refresh(1, 0, 100)],
  ])('is refused for %s', (_what, history, command) => {
    given(sessions, history).when(command).refused('unauthenticated');
  });
});

describe('EndSession', () => {
  it('ends only this session', () => {
    const state = given(sessions, [started(1), started(2)])
      .when(end(1))
      .decides([ended(1, 'signed-out')]);
    expect(liveSession(state, uuid(1), at(20))).toBeUndefined();
    expect(liveSession(state, uuid(2), at(20))).toMatchObject({ sessionId: uuid(2) });
  });

  it('decides nothing when the session has ended or expired', () => {
    given(sessions, [started(1), ended(1, 'reused-token')])
      .when(end(1))
      .decides([]);
    given(sessions, [started(1)])
      .when(end(1, 100))
      .decides([]);
    given(sessions, [started(1), started(2, 100, 200)])
      .when(end(1, 150))
      .decides([]);
  });

  it('is refused for an unknown session', () => {
    given(sessions, [started(1)])
      .when(end(2))
      .refused('not-found');
  });
});

describe('SummariseSessions', () => {
  const history = [
    started(1),
    started(2, 1, 5),
    started(3, 2, 100, 'Browser'),
    refreshed(1, 1),
    forgiven(1, 1),
    started(4),
  ];
  const first = { sessionId: uuid(1), counter: 1, rotatedAt: at(10), startedAt: at(0), expiresAt: at(100) };
  const third = { sessionId: uuid(3), counter: 0, rotatedAt: at(2), startedAt: at(2), expiresAt: at(100) };

  it('repeats the live sessions with their user agents, and the ids of the others', () => {
    const state = given(sessions, [...history, ended(4, 'signed-out')])
      .when(summarise({ 1: null, 3: 'Browser', 9: 'Unknown' }))
      .decides([summarised([first, third], [null, 'Browser'], [4, 2])]);
    expect(state).toStrictEqual({ open: [first, third], over: [uuid(4), uuid(2)], sinceSummary: 0 });
  });

  it('decides nothing without events since the last summary', () => {
    given(sessions, []).when(summarise()).decides([]);
    given(sessions, [...history, summarised([first], [null], [2])])
      .when(summarise())
      .decides([]);
  });

  it('is refused when a session has started that it does not know', () => {
    given(sessions, history)
      .when(summarise({ 1: null, 3: 'Browser' }))
      .refused('revision-mismatch');
  });

  it('has room for as many sessions as there can be', () => {
    const most = numbers(1, SESSIONS_MAX).map((n) => started(n, 0, 100, 'x'.repeat(256)));
    const over = numbers(201, 300).flatMap((n) => [started(n, 0), ended(n, 'signed-out')]);
    const userAgents = Object.fromEntries(numbers(1, SESSIONS_MAX).map((n) => [n, '\u{10ffff}'.repeat(128)]));
    const [event] = sessions.decide(summarise(userAgents), fold(sessions, [...over, ...most]));
    expect(event?.data).toMatchObject({ sessions: { length: SESSIONS_MAX }, over: { length: 100 } });
    expect(JSON.stringify(event).length).toBeLessThan(100_000);
  });
});

it('the state is bounded for any number of sessions', () => {
  const history = numbers(1, 1_000).flatMap((n) => [started(n, n, n + 50), ended(n, 'signed-out', n)]);
  const { open, over } = fold(sessions, history);
  expect(open).toHaveLength(0);
  expect(over).toEqual(numbers(901, 1_000).map(uuid));
  const expired = fold(
    sessions,
    numbers(1, 1_000).map((n) => started(n, n, n + 50)),
  );
  expect(expired.open).toHaveLength(50);
  expect(expired.over).toHaveLength(100);
});

it('sessions keep their rules for any sequence of commands', () => {
  const session = fc.integer({ min: 1, max: 3 });
  const seconds = fc.integer({ min: 0, max: 60 });
  const fill = fc.integer({ min: 5, max: 400 });
  checkRules<SessionsState, SessionsCommand, SessionsEvent>(sessions, {
    commands: fc.oneof(
      fc.tuple(session, seconds, fc.integer({ min: 20, max: 400 })).map(([n, s, expires]) => start(n, s, expires)),
      fc.tuple(fill, seconds).map(([n, s]) => start(n, s)),
      { weight: 5, arbitrary: fc.tuple(session, fc.nat(3), seconds).map(([n, c, s]) => refresh(n, c, s)) },
      fc.tuple(session, seconds).map(([n, s]) => end(n, s)),
      fc
        .tuple(fc.string(), seconds, fc.constantFrom(2, 3, 400))
        .map(([userAgent, s, most]) =>
          summarise(Object.fromEntries(numbers(1, most).map((n) => [n, n === 1 ? userAgent : null])), s),
        ),
    ),
    again: ({ type }) => (type === 'RefreshSession' ? 'anew' : 'nothing'),
    invariant: (state, history) => {
      const { open, over } = state;
      const ids = open.map(({ sessionId }) => sessionId);
      expect(new Set([...ids, ...over]).size).toBe(ids.length + over.length);
      expect(ids.length).toBeLessThanOrEqual(SESSIONS_MAX);
      for (const { sessionId, counter } of open) {
        const rotations = history.filter(
          (event) => event.type === 'SessionRefreshed' && event.data.sessionId === sessionId,
        );
        expect(rotations).toHaveLength(counter);
      }
      // The events before the needed ones make no difference.
      const needed = sessions.books?.needed(state) ?? 0;
      if (needed > history.length) return;
      expect(sessions.books?.isFirstNeeded(state, history[history.length - needed]!)).toBe(true);
      expect(fold(sessions, history.slice(-needed))).toStrictEqual(state);
    },
    reaches: [
      'SessionStarted',
      'SessionRefreshed',
      'SessionEnded',
      'SessionsSummarised',
      'unauthenticated',
      'not-found',
      'revision-mismatch',
    ],
  });
});
