import { Map as PersistentMap } from 'immutable';
import type { MarksCommand } from '../../commands/marks.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import type { Json } from '../../kernel/json.ts';
import { unknownCommand } from '../unknown-command.ts';
import { MARKS_PER_SUMMARY, type MarksEvent } from './events.ts';

/** How far the user has read and received, and when the conversation was last open. `0 <= readSeq <= receivedSeq`; none of them decreases. */
export type Mark = Readonly<{ readSeq: number; receivedSeq: number; openedAt: string }>;

/** Marks by conversation id, and the number of events since they were last summarised. */
export type MarksState = Readonly<{ marks: PersistentMap<string, Mark>; sinceSummary: number }>;

/** Moves the mark and its time forward. `[]` for a stale mark: a lower number, or the same number without a later time. */
export function openConversation(
  { data, metadata }: CommandOf<MarksCommand, 'OpenConversation'>,
  state: MarksState,
): MarksEvent[] {
  const { userId, conversationId, seq, memberCount } = data;
  const { at } = metadata;
  const mark = state.marks.get(conversationId);
  if (mark !== undefined && (seq < mark.readSeq || (seq === mark.readSeq && at <= mark.openedAt))) return [];
  const receivedSeq = Math.max(mark?.receivedSeq ?? 0, seq);
  const openedAt = mark !== undefined && at < mark.openedAt ? mark.openedAt : at;
  return [
    {
      type: 'ConversationOpened',
      data: { userId, conversationId, readSeq: seq, receivedSeq, openedAt, memberCount },
    },
  ];
}

/**
 * Repeats all marks, ordered by conversation id, in as many events as needed; all earlier events can then be removed from the stream.
 * `[]` when there are no events since the last summary.
 */
export function summariseMarks({ data }: CommandOf<MarksCommand, 'SummariseMarks'>, state: MarksState): MarksEvent[] {
  if (state.sinceSummary === 0) return [];
  const marks = sorted(state.marks).map(([conversationId, mark]) => ({ conversationId, ...mark }));
  const events: MarksEvent[] = [];
  for (let first = 0; first < marks.length; first += MARKS_PER_SUMMARY) {
    const chunk = marks.slice(first, first + MARKS_PER_SUMMARY);
    events.push({ type: 'MarksSummarised', data: { userId: data.userId, marks: chunk } });
  }
  return events;
}

function sorted(marks: PersistentMap<string, Mark>): [string, Mark][] {
  return [...marks].sort(([a], [b]) => (a < b ? -1 : 1));
}

function evolve(state: MarksState, event: MarksEvent): MarksState {
  switch (event.type) {
    case 'ConversationOpened': {
      const { conversationId, readSeq, receivedSeq, openedAt } = event.data;
      const marks = state.marks.set(conversationId, { readSeq, receivedSeq, openedAt });
      return { marks, sinceSummary: state.sinceSummary + 1 };
    }
    case 'MarksSummarised': {
      const marks = event.data.marks.map(({ conversationId, ...mark }): [string, Mark] => [conversationId, mark]);
      return { marks: state.marks.concat(marks), sinceSummary: 0 };
    }
    default:
      event satisfies never;
      return state;
  }
}

/** Measured: a mark takes 300 bytes, in maps of any size. */
const MARK_BYTES = 300;
const BASE_BYTES = 200;

type Frozen = Readonly<{ marks: readonly (readonly [string, Mark])[]; sinceSummary: number }>;

function freeze({ marks, sinceSummary }: MarksState): Frozen {
  return { marks: sorted(marks), sinceSummary };
}

function thaw(frozen: Json): MarksState {
  // The version of the snapshot guarantees its shape.
  const { marks, sinceSummary } = frozen as Frozen;
  return { marks: PersistentMap(marks), sinceSummary };
}

/** How far one user has read in each conversation. */
export const marks: Aggregate<MarksState, MarksCommand, MarksEvent> = {
  category: 'marks',
  snapshotVersion: 1,
  initialState: { marks: PersistentMap(), sinceSummary: 0 },
  decide(command, state) {
    switch (command.type) {
      case 'OpenConversation':
        return openConversation(command, state);
      case 'SummariseMarks':
        return summariseMarks(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  freeze,
  thaw,
  weight: ({ marks }) => BASE_BYTES + marks.size * MARK_BYTES,
};
