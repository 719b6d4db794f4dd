import { Type } from 'typebox';
import { closed, type EventsOf, ObjectId, Sequence, Time } from '../schema.ts';

/** Marks that one event sums up at most; more of them take several events. */
export const MARKS_PER_SUMMARY = 500;

const mark = { readSeq: Sequence, receivedSeq: Sequence, openedAt: Time };

/** How far one user has read, conversation by conversation; stream `marks-<userId>`. */
export const marksEvents = {
  /** The user had the conversation open, with everything up to `readSeq` before them. `readSeq <= receivedSeq`. */
  ConversationOpened: closed({
    userId: ObjectId,
    conversationId: ObjectId,
    ...mark,
    /** Members of the conversation then: among many, others are not told. */
    memberCount: Type.Integer({ minimum: 1 }),
  }),
  /**
   * Closes the books: the marks as they stand, by conversation id. One append holds the events that together sum up all of them; what is
   * before the first of those in the stream may be forgotten.
   */
  MarksSummarised: closed({
    userId: ObjectId,
    marks: Type.Array(closed({ conversationId: ObjectId, ...mark }), { minItems: 1, maxItems: MARKS_PER_SUMMARY }),
  }),
};

export type MarksEvent = EventsOf<typeof marksEvents>;
