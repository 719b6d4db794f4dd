import { Type } from 'typebox';
import { closed, type EventsOf, ObjectId, Sequence, Time, Uuid } from '../schema.ts';

/** What happens in a conversation; stream `conversation-<conversationId>`. */
export const conversationEvents = {
  /** A 1-1 conversation (`direct`: two members, no owner, no name) or a group. */
  ConversationCreated: closed({
    conversationId: ObjectId,
    kind: Type.Enum(['direct', 'group']),
    name: Type.Union([Type.String({ minLength: 1, maxLength: 200 }), Type.Null()]),
    ownerId: Type.Union([ObjectId, Type.Null()]),
    /** In order, without doubles; the owner is the first. */
    members: Type.Array(ObjectId, { minItems: 1, maxItems: 100 }),
    createdAt: Time,
  }),
  /** From now on a member; reads the messages with a sequence number above `joinedSeq`. */
  MemberAdded: closed({ conversationId: ObjectId, userId: ObjectId, joinedSeq: Sequence, addedAt: Time }),
  /** No member any more. */
  MemberRemoved: closed({
    conversationId: ObjectId,
    userId: ObjectId,
    reason: Type.Enum(['removed', 'left']),
    removedAt: Time,
  }),
  /** `seq` counts the messages of the conversation from 1 without gaps. */
  MessageSent: closed({
    conversationId: ObjectId,
    messageId: Uuid,
    seq: Sequence,
    senderId: ObjectId,
    content: Type.String({ minLength: 1, maxLength: 16_384 }),
    /** The message it answers, of the same conversation, itself no answer. */
    replyTo: Type.Union([Uuid, Type.Null()]),
    mentions: Type.Array(ObjectId, { maxItems: 100 }),
    sentAt: Time,
  }),
  ConversationDeleted: closed({ conversationId: ObjectId, deletedAt: Time }),
};

export type ConversationEvent = EventsOf<typeof conversationEvents>;
