import { Type } from 'typebox';
import { type EventsOf, event, ObjectId, Sequence, Time, Uuid } from '../event-spec.ts';

/** What happens in a conversation; stream `conversation-<conversationId>`. */
export const conversationEvents = {
  /** A 1-1 conversation (`direct`: two members, no owner, no name) or a group, whose name is its owner's text. */
  ConversationCreated: event(
    {
      conversationId: ObjectId,
      kind: Type.Enum(['direct', 'group']),
      name: Type.Union([Type.String({ minLength: 1, maxLength: 200 }), Type.Null()]),
      ownerId: Type.Union([ObjectId, Type.Null()]),
      /** In order, without duplicates; the owner is the first. */
      members: Type.Array(ObjectId, { minItems: 1, maxItems: 100 }),
      createdAt: Time,
    },
    { personal: { name: 'ownerId' } },
  ),
  /** The user is a member from now on, and reads the messages with a sequence number above `joinedSeq`. */
  MemberAdded: event({ conversationId: ObjectId, userId: ObjectId, joinedSeq: Sequence, addedAt: Time }),
  /** The user is no longer a member. `nextOwnerId`: who owns the group from now on, when the user was its owner. */
  MemberRemoved: event({
    conversationId: ObjectId,
    userId: ObjectId,
    reason: Type.Enum(['removed', 'left', 'erased']),
    nextOwnerId: Type.Optional(ObjectId),
    removedAt: Time,
  }),
  /** `seq` counts the messages of the conversation from 1 without gaps. */
  MessageSent: event(
    {
      conversationId: ObjectId,
      messageId: Uuid,
      seq: Sequence,
      senderId: ObjectId,
      content: Type.String({ minLength: 1, maxLength: 16_384 }),
      /** The message it replies to, of the same conversation, itself not a reply. */
      replyTo: Type.Union([Uuid, Type.Null()]),
      mentions: Type.Array(ObjectId, { maxItems: 100 }),
      sentAt: Time,
    },
    { personal: { content: 'senderId' } },
  ),
  ConversationDeleted: event({ conversationId: ObjectId, deletedAt: Time }),
};

export type ConversationEvent = EventsOf<typeof conversationEvents>;
