import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MarksState, marks } from '../../src/aggregates/marks/decider.ts';
import { MARKS_PER_SUMMARY, type MarksEvent } from '../../src/aggregates/marks/events.ts';
import type { MarksCommand } from '../../src/commands/marks.ts';
import { fold } from '../../src/kernel/decider.ts';
import { given } from '../support/decider-spec.ts';
import { alice, at, by, id } from './fixtures.ts';
import { checkRules } from './properties.ts';

const userId = alice;
const open = (conversation: number, seq: number, seconds: number): MarksCommand => ({
  type: 'OpenConversation',
  data: { userId, conversationId: id(conversation), seq, memberCount: 2 },
  metadata: by(alice, seconds),
});
const summarise: MarksCommand = { type: 'SummariseMarks', data: { userId }, metadata: by(null) };

const mark = (readSeq: number, seconds: number, receivedSeq = readSeq) => ({
  readSeq,
  receivedSeq,
  openedAt: at(seconds),
});
const opened = (conversation: number, readSeq: number, seconds: number, receivedSeq = readSeq): MarksEvent => ({
  type: 'ConversationOpened',
  data: { userId, conversationId: id(conversation), ...mark(readSeq, seconds, receivedSeq), memberCount: 2 },
});
const summarised = (...of: readonly (readonly [number, ReturnType<typeof mark>])[]): MarksEvent => ({
  type: 'MarksSummarised',
  data: { userId, marks: of.map(([conversation, its]) => ({ conversationId: id(conversation), ...its })) },
});

describe('OpenConversation', () => {
  it('sets the first mark, also in a conversation without messages', () => {
    const state = given(marks, [])
      .when(open(1, 0, 5))
      .decides([opened(1, 0, 5)]);
    expect(state.marks.get(id(1))).toStrictEqual(mark(0, 5));
    expect(state.sinceSummary).toBe(1);
  });

  it('moves the mark of one conversation forward', () => {
    given(marks, [opened(1, 7, 5), opened(2, 3, 6)])
      .when(open(2, 4, 7))
      .decides([opened(2, 4, 7)]);
  });

  it('moves the time forward when there is no new message', () => {
    given(marks, [opened(1, 7, 5)])
      .when(open(1, 7, 6))
      .decides([opened(1, 7, 6)]);
  });

  it('ignores a stale mark', () => {
    const { when } = given(marks, [opened(1, 7, 5)]);
    when(open(1, 6, 9)).decides([]);
    when(open(1, 7, 5)).decides([]);
    when(open(1, 7, 4)).decides([]);
  });

  it('does not move the time back', () => {
    given(marks, [opened(1, 7, 5)])
      .when(open(1, 8, 4))
      .decides([opened(1, 8, 5)]);
  });

  it('does not decrease the received number', () => {
    given(marks, [opened(1, 7, 5, 9)])
      .when(open(1, 8, 6))
      .decides([opened(1, 8, 6, 9)]);
    given(marks, [opened(1, 7, 5, 9)])
      .when(open(1, 10, 6))
      .decides([opened(1, 10, 6, 10)]);
  });
});

describe('SummariseMarks', () => {
  it('repeats all marks, ordered by conversation id', () => {
    const state = given(marks, [opened(2, 1, 1), opened(1, 2, 2), opened(2, 3, 3)])
      .when(summarise)
      .decides([summarised([1, mark(2, 2)], [2, mark(3, 3)])]);
    expect(state.sinceSummary).toBe(0);
  });

  it('decides nothing without events since the last summary', () => {
    given(marks, []).when(summarise).decides([]);
    given(marks, [opened(1, 1, 1), summarised([1, mark(1, 1)])])
      .when(summarise)
      .decides([]);
  });

  it('uses several events for very many marks, which alone restore the state', () => {
    const history = Array.from({ length: MARKS_PER_SUMMARY * 2 + 1 }, (_, n) => opened(n, n, n));
    const before = fold(marks, history);
    const summary = marks.decide(summarise, before);
    expect(summary.map(({ data }) => 'marks' in data && data.marks.length)).toEqual([
      MARKS_PER_SUMMARY,
      MARKS_PER_SUMMARY,
      1,
    ]);
    given(marks, history).when(summarise).decides(summary);
    expect(marks.freeze(fold(marks, summary))).toStrictEqual(marks.freeze({ ...before, sinceSummary: 0 }));
  });
});

it('marks only move forward for any sequence of commands', () => {
  const command = fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.integer({ min: 1, max: 12 }), fc.nat(9), fc.nat(30))
        .map(([conversation, seq, seconds]) => open(conversation, seq, seconds)),
    },
    { weight: 1, arbitrary: fc.constant(summarise) },
  );
  checkRules<MarksState, MarksCommand, MarksEvent>(marks, {
    commands: command,
    again: () => 'nothing',
    invariant: (state, history) => {
      const before = fold(marks, history.slice(0, -1));
      for (const [conversationId, { readSeq, receivedSeq, openedAt }] of state.marks) {
        const earlier = before.marks.get(conversationId);
        expect(readSeq).toBeLessThanOrEqual(receivedSeq);
        expect(readSeq).toBeGreaterThanOrEqual(earlier?.readSeq ?? 0);
        expect(receivedSeq).toBeGreaterThanOrEqual(earlier?.receivedSeq ?? 0);
        expect(openedAt >= (earlier?.openedAt ?? '')).toBe(true);
      }
    },
    reaches: ['ConversationOpened', 'MarksSummarised'],
  });
});
