import { OrderedMap } from 'immutable';
import type { MarksCommand } from '../../commands/marks.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import type { Event } from '../../kernel/event.ts';
import type { Json } from '../../kernel/json.ts';
import { unknownCommand } from '../unknown-command.ts';
import { MARKS_PER_SUMMARY, type MarksEvent } from './events.ts';

/** How far the user has read and received, and when the conversation was last open. `0 <= readSeq <= receivedSeq`; none of them decreases. */
export type Mark = Readonly<{ readSeq: number; receivedSeq: number; openedAt: string }>;

/** `event`: the number of the event that recorded the mark last, counted from the first one that was folded. */
type RecordedMark = Mark & Readonly<{ event: number }>;

/** Marks by conversation id, those that were recorded longest ago first, and the number of events that were folded. */
export type MarksState = Readonly<{ marks: OrderedMap<string, RecordedMark>; events: number }>;

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
 * Repeats the marks that were recorded longest ago, so that the events that recorded them can be removed: however many marks there are, each summary is
 * one event of limited size. Drops the marks of conversations that the user has left, unless they have changed since: then the user is a member
 * again. `[]` when all marks are in the latest event.
 */
export function summariseMarks({ data }: CommandOf<MarksCommand, 'SummariseMarks'>, state: MarksState): MarksEvent[] {
  const { userId, left } = data;
  const dropped = left
    .filter(({ conversationId, readSeq, openedAt }) => {
      const mark = state.marks.get(conversationId);
      return mark?.readSeq === readSeq && mark.openedAt === openedAt;
    })
    .map(({ conversationId }) => conversationId);
  if (dropped.length === 0 && neededEvents(state) === 1) return [];
  const kept = oldestMarks(state).filter(({ conversationId }) => !dropped.includes(conversationId));
  return [{ type: 'MarksSummarised', data: { userId, marks: kept, dropped } }];
}

/** The marks that the next summary repeats. */
export function oldestMarks({ marks }: MarksState): readonly (Mark & Readonly<{ conversationId: string }>)[] {
  const oldest = [];
  for (const [conversationId, { readSeq, receivedSeq, openedAt }] of marks) {
    if (oldest.length === MARKS_PER_SUMMARY) break;
    oldest.push({ conversationId, readSeq, receivedSeq, openedAt });
  }
  return oldest;
}

/** The latest events, back to the one that holds the mark that was recorded longest ago. */
function neededEvents({ marks, events }: MarksState): number {
  return events - (marks.first()?.event ?? events) + 1;
}

/** Whether the event holds the mark that was recorded longest ago. */
function holdsOldest({ marks }: MarksState, recorded: Event): boolean {
  const oldest = marks.keySeq().first();
  // A type that is unknown here matches neither.
  const event = recorded as MarksEvent;
  if (event.type === 'ConversationOpened') return event.data.conversationId === oldest;
  if (event.type !== 'MarksSummarised') return false;
  return oldest === undefined || event.data.marks.some(({ conversationId }) => conversationId === oldest);
}

function evolve(state: MarksState, event: MarksEvent): MarksState {
  const events = state.events + 1;
  switch (event.type) {
    case 'ConversationOpened': {
      const { conversationId, readSeq, receivedSeq, openedAt } = event.data;
      const mark = { readSeq, receivedSeq, openedAt, event: events };
      return { marks: state.marks.delete(conversationId).set(conversationId, mark), events };
    }
    case 'MarksSummarised': {
      const marks = state.marks.withMutations((mutable) => {
        for (const conversationId of event.data.dropped) mutable.delete(conversationId);
        for (const { conversationId, ...mark } of event.data.marks) {
          mutable.delete(conversationId).set(conversationId, { ...mark, event: events });
        }
      });
      return { marks, events };
    }
    default:
      event satisfies never;
      return state;
  }
}

/** Measured: a mark takes 370 to 400 bytes, in maps of any size. */
const MARK_BYTES = 400;
const BASE_BYTES = 200;

type Frozen = Readonly<{ marks: readonly (readonly [string, RecordedMark])[]; events: number }>;

function freeze({ marks, events }: MarksState): Frozen {
  return { marks: [...marks], events };
}

function thaw(frozen: Json): MarksState {
  // The version of the snapshot guarantees its shape.
  const { marks, events } = frozen as Frozen;
  return { marks: OrderedMap(marks.map(([id, mark]): [string, RecordedMark] => [id, mark])), events };
}

/** How far one user has read in each conversation. */
export const marks: Aggregate<MarksState, MarksCommand, MarksEvent> = {
  category: 'marks',
  snapshotVersion: 2,
  initialState: { marks: OrderedMap(), events: 0 },
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
  books: { every: 256n, needed: neededEvents, isFirstNeeded: holdsOldest },
};
