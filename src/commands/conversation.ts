import { Type } from 'typebox';
import { type CommandsOf, ConversationId, closed, MessageId, text, UserId } from './fields.ts';

/** Limits of what one command may hold, in characters and members; those of the conversation are in its aggregate. */
export const CONTENT_MAX = 16_384;
export const NAME_MAX = 200;
/** Members that one creation may bring along, the owner among them. */
export const FIRST_MEMBERS_MAX = 100;

/** What may be asked of a conversation. */
export const conversationCommands = {
  CreateGroup: closed({
    conversationId: ConversationId,
    name: text(1, NAME_MAX),
    /** Beside the actor, who becomes the owner. */
    participants: Type.Array(UserId, { maxItems: FIRST_MEMBERS_MAX - 1 }),
  }),
  DeleteConversation: closed({ conversationId: ConversationId }),
  AddMember: closed({ conversationId: ConversationId, userId: UserId }),
  RemoveMember: closed({ conversationId: ConversationId, userId: UserId }),
  LeaveConversation: closed({ conversationId: ConversationId }),
  SendMessage: closed({
    conversationId: ConversationId,
    messageId: MessageId,
    content: text(1, CONTENT_MAX),
    replyTo: Type.Union([MessageId, Type.Null()]),
    mentions: Type.Array(UserId, { maxItems: 100 }),
  }),
  /** To the 1-1 conversation with the other user, which comes into being with its first message. */
  SendDirectMessage: closed({
    conversationId: ConversationId,
    otherUserId: UserId,
    messageId: MessageId,
    content: text(1, CONTENT_MAX),
    replyTo: Type.Union([MessageId, Type.Null()]),
    mentions: Type.Array(UserId, { maxItems: 100 }),
  }),
};

export type ConversationCommand = CommandsOf<typeof conversationCommands>;
