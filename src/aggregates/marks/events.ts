import { Type } from 'typebox';
import { closed, type EventsOf, event, ObjectId, Sequence, Time } from '../event-spec.ts';

/** Marks that one event repeats at most. */
export const MARKS_PER_SUMMARY = 256;

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
   * Repeats the marks that were recorded longest ago, unchanged, so that the events with them can be removed from the stream. `dropped`: conversations
   * that the user has left, whose marks are forgotten.
   */
  MarksSummarised: event(
    {
      userId: ObjectId,
      marks: Type.Array(closed({ conversationId: ObjectId, ...mark }), { maxItems: 500 }),
      dropped: Type.Array(ObjectId, { maxItems: 500 }),
    },
    // Before, marks were never dropped.
    { upcasters: [(data) => ({ ...data, dropped: [] })] },
  ),
};

export type MarksEvent = EventsOf<typeof marksEvents>;
