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
/** `left`: conversations that the user has left, each with `readSeq` and the seconds of `openedAt` of the mark that was seen. */
const summarise = (...left: readonly (readonly [number, number, number])[]): MarksCommand => ({
  type: 'SummariseMarks',
  data: {
    userId,
    left: left.map(([conversation, readSeq, seconds]) => ({
      conversationId: id(conversation),
      readSeq,
      openedAt: at(seconds),
    })),
  },
  metadata: by(null),
});

const mark = (readSeq: number, seconds: number, receivedSeq = readSeq) => ({
  readSeq,
  receivedSeq,
  openedAt: at(seconds),
});
const opened = (conversation: number, readSeq: number, seconds: number, receivedSeq = readSeq): MarksEvent => ({
  type: 'ConversationOpened',
  data: { userId, conversationId: id(conversation), ...mark(readSeq, seconds, receivedSeq), memberCount: 2 },
});
const summarised = (
  of: readonly (readonly [number, ReturnType<typeof mark>])[],
  dropped: readonly number[] = [],
): MarksEvent => ({
  type: 'MarksSummarised',
  data: {
    userId,
    marks: of.map(([conversation, its]) => ({ conversationId: id(conversation), ...its })),
    dropped: dropped.map(id),
  },
});
/** How many of the latest events the state needs. */
const needed = (state: MarksState): number => marks.books?.needed(state) ?? 0;
/** The marks, without the events that hold them. */
const marksIn = ({ marks }: MarksState) =>
  Object.fromEntries([...marks].map(([conversationId, { event: _, ...mark }]) => [conversationId, mark]));

describe('OpenConversation', () => {
  it('sets the first mark, also in a conversation without messages', () => {
    const state = given(marks, [])
      .when(open(1, 0, 5))
      .decides([opened(1, 0, 5)]);
    expect(state.marks.get(id(1))).toStrictEqual({ ...mark(0, 5), event: 1 });
    expect(needed(state)).toBe(1);
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
  it('repeats all marks, those that were recorded longest ago first', () => {
    const state = given(marks, [opened(2, 1, 1), opened(1, 2, 2), opened(2, 3, 3)])
      .when(summarise())
      .decides([
        summarised([
          [1, mark(2, 2)],
          [2, mark(3, 3)],
        ]),
      ]);
    expect(needed(state)).toBe(1);
  });

  it('decides nothing when the latest event holds all marks', () => {
    given(marks, []).when(summarise()).decides([]);
    given(marks, [opened(1, 1, 1)])
      .when(summarise())
      .decides([]);
    given(marks, [opened(1, 1, 1), summarised([[1, mark(1, 1)]])])
      .when(summarise())
      .decides([]);
  });

  it('drops the marks of conversations that the user has left', () => {
    const state = given(marks, [opened(1, 1, 1), opened(2, 2, 2), opened(3, 3, 3)])
      .when(summarise([2, 2, 2], [9, 1, 1]))
      .decides([
        summarised(
          [
            [1, mark(1, 1)],
            [3, mark(3, 3)],
          ],
          [2],
        ),
      ]);
    expect(marksIn(state)).toStrictEqual({ [id(1)]: mark(1, 1), [id(3)]: mark(3, 3) });
    given(marks, [opened(1, 1, 1)])
      .when(summarise([1, 1, 1]))
      .decides([summarised([], [1])]);
  });

  it('keeps a mark that has changed since it was seen', () => {
    const history = [opened(1, 1, 1), opened(2, 2, 2), opened(1, 1, 5), opened(2, 3, 6)];
    given(marks, history)
      .when(summarise([1, 1, 1], [2, 2, 2]))
      .decides([
        summarised([
          [1, mark(1, 5)],
          [2, mark(3, 6)],
        ]),
      ]);
  });

  it('repeats a limited number of marks, however many there are, and all of them with the next summaries', () => {
    const history: MarksEvent[] = Array.from({ length: MARKS_PER_SUMMARY * 2 + 1 }, (_, n) => opened(n, n, n));
    const before = fold(marks, history);
    expect(needed(before)).toBe(history.length);
    for (let summaries = 1; summaries <= 3; summaries++)
      history.push(...marks.decide(summarise(), fold(marks, history)));
    const lengths = history.slice(-3).map(({ data }) => 'marks' in data && data.marks.length);
    expect(lengths).toEqual([MARKS_PER_SUMMARY, MARKS_PER_SUMMARY, MARKS_PER_SUMMARY]);
    const state = fold(marks, history);
    expect(needed(state)).toBe(3);
    expect(marksIn(fold(marks, history.slice(-3)))).toStrictEqual(marksIn(before));
  });
});

describe('the first event that is needed', () => {
  const state = fold(marks, [opened(1, 1, 1), opened(2, 2, 2)]);

  it.each([
    ['the one that holds the oldest mark', opened(1, 1, 1), true],
    [
      'a summary that holds the oldest mark',
      summarised([
        [2, mark(2, 2)],
        [1, mark(1, 1)],
      ]),
      true,
    ],
    ['not one that holds another mark', opened(2, 2, 2), false],
    ['not a summary without the oldest mark', summarised([[2, mark(2, 2)]], [1]), false],
    ['not one of a later version', { type: 'SomethingOfALaterVersion', data: {} }, false],
  ])('is %s', (_what, event, expected) => {
    expect(marks.books?.isFirstNeeded(state, event)).toBe(expected);
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
    {
      weight: 1,
      arbitrary: fc
        .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.nat(9), fc.nat(30)), {
          maxLength: 40,
          selector: ([n]) => n,
        })
        .map((left) => summarise(...left)),
    },
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
      // The events before the needed ones make no difference, and the first needed one is recognised.
      const count = needed(state);
      expect(marksIn(fold(marks, history.slice(-count)))).toStrictEqual(marksIn(state));
      expect(history.slice(-count).findIndex((event) => marks.books?.isFirstNeeded(state, event))).toBe(0);
    },
    reaches: ['ConversationOpened', 'MarksSummarised'],
  });
});
