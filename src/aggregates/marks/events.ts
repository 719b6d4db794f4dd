import { Type } from 'typebox';
import { closed, type EventsOf, event, ObjectId, Sequence, Time } from '../event-spec.ts';

/** Marks that one event summarises at most; more of them take several events. */
export const MARKS_PER_SUMMARY = 500;

const mark = { readSeq: Sequence, receivedSeq: Sequence, openedAt: Time };

/** How far one user has read, conversation by conversation; stream `marks-<userId>`. */
export const marksEvents = {
  /** The user opened the conversation and has read everything up to `readSeq`. `readSeq <= receivedSeq`. */
  ConversationOpened: event({
    userId: ObjectId,
    conversationId: ObjectId,
    ...mark,
    /** Members of the conversation then: in a large one, the mark is not sent to others. */
    memberCount: Type.Integer({ minimum: 1 }),
  }),
  /**
   * Repeats the current marks, ordered by conversation id. One append contains the events that together summarise all marks; the events before the
   * first of them can be removed from the stream.
   */
  MarksSummarised: event({
    userId: ObjectId,
    marks: Type.Array(closed({ conversationId: ObjectId, ...mark }), { minItems: 1, maxItems: MARKS_PER_SUMMARY }),
  }),
};

export type MarksEvent = EventsOf<typeof marksEvents>;
