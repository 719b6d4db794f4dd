import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import type { MarksEvent } from '../../aggregates/marks/events.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { Position } from '../../kernel/position.ts';
import { type DocumentRef, defineProjection } from './projection.ts';

/** One member of one conversation; `memberships/memberships`, by `membershipId`. */
export type MembershipBody = Readonly<{
  conversationId: string;
  userId: string;
  /** The member reads messages with a sequence number above this. */
  joinedSeq: number;
  joinedAt: string;
  /** Position of the event that made the user a member. */
  since: Position;
  /** `readSeq <= receivedSeq`. Sending a message moves those of the sender. */
  readSeq: number;
  receivedSeq: number;
  lastOpenedAt: string | null;
}>;

type Mark = Readonly<{ readSeq: number; receivedSeq: number; openedAt: string }>;

const COLLECTION = 'memberships';

export const membershipId = (conversationId: string, userId: string): string => `${conversationId}:${userId}`;

/**
 * The members of conversations and how far each has read: the source of both for queries. The event that deletes a conversation does not name its
 * members, so their memberships stay; a membership without its conversation has no meaning.
 */
export const memberships = defineProjection<MembershipBody, ConversationEvent | MarksEvent>({
  name: 'memberships',
  version: 1,
  collections: [{ name: COLLECTION, indexes: [{ fields: ['userId'] }, { fields: ['conversationId', 'joinedAt'] }] }],
  on: {
    ConversationCreated: {
      touches: ({ data }) => data.members.map((userId) => ref(data.conversationId, userId, true)),
      // Replaces a membership that an earlier conversation with the same id has left.
      evolve: (_membership, event, { id }) => joined(id, event, 0, event.data.createdAt),
    },
    MemberAdded: {
      touches: ({ data }) => [ref(data.conversationId, data.userId, true)],
      evolve: (membership, event, { id }) => membership ?? joined(id, event, event.data.joinedSeq, event.data.addedAt),
    },
    MemberRemoved: {
      touches: ({ data }) => [ref(data.conversationId, data.userId)],
      evolve: () => undefined,
    },
    MessageSent: {
      touches: ({ data }) => [ref(data.conversationId, data.senderId)],
      evolve: (membership, { data }) =>
        membership && marked(membership, { readSeq: data.seq, receivedSeq: data.seq, openedAt: null }),
    },
    ConversationOpened: {
      touches: ({ data }) => [ref(data.conversationId, data.userId)],
      evolve: (membership, { data }) => membership && marked(membership, data),
    },
    MarksSummarised: {
      touches: (event) => [...marksById(event).keys()].map((id) => ({ collection: COLLECTION, id })),
      evolve: (membership, event, { id }) => {
        const mark = marksById(event).get(id);
        return membership === undefined || mark === undefined ? membership : marked(membership, mark);
      },
    },
  },
});

function ref(conversationId: string, userId: string, fresh = false): DocumentRef {
  return { collection: COLLECTION, id: membershipId(conversationId, userId), fresh };
}

type Joining = RecordedEvent<Extract<ConversationEvent, { type: 'ConversationCreated' | 'MemberAdded' }>>;

function joined(id: string, { data, position }: Joining, joinedSeq: number, joinedAt: string): MembershipBody {
  const { conversationId } = data;
  const userId = id.slice(conversationId.length + 1);
  const marks = { readSeq: joinedSeq, receivedSeq: joinedSeq, lastOpenedAt: null };
  return { conversationId, userId, joinedSeq, joinedAt, since: position, ...marks };
}

/** Marks only move forward. */
function marked(
  membership: MembershipBody,
  mark: Omit<Mark, 'openedAt'> & { openedAt: string | null },
): MembershipBody {
  const readSeq = Math.max(membership.readSeq, mark.readSeq);
  const receivedSeq = Math.max(membership.receivedSeq, mark.receivedSeq, readSeq);
  const opened = mark.openedAt !== null && mark.openedAt > (membership.lastOpenedAt ?? '');
  const lastOpenedAt = opened ? mark.openedAt : membership.lastOpenedAt;
  const same =
    readSeq === membership.readSeq &&
    receivedSeq === membership.receivedSeq &&
    lastOpenedAt === membership.lastOpenedAt;
  return same ? membership : { ...membership, readSeq, receivedSeq, lastOpenedAt };
}

type Summary = RecordedEvent<Extract<MarksEvent, { type: 'MarksSummarised' }>>;

/** The marks of a summary by the id of the membership: a summary touches many documents, and each needs its own mark. */
const byEvent = new WeakMap<Summary, ReadonlyMap<string, Mark>>();

function marksById(event: Summary): ReadonlyMap<string, Mark> {
  let marks = byEvent.get(event);
  if (marks === undefined) {
    marks = new Map(event.data.marks.map((mark) => [membershipId(mark.conversationId, event.data.userId), mark]));
    byEvent.set(event, marks);
  }
  return marks;
}
