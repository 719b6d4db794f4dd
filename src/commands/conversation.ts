import { Type } from 'typebox';
import { type CommandsOf, ConversationId, closed, MessageId, UserId, visibleContent, visibleName } from './fields.ts';

/** Limits of one command, in characters and members; the limits of a conversation are in its aggregate. */
export const CONTENT_MAX = 16_384;
export const NAME_MAX = 200;
/** Members that a new group can have, including its owner. */
export const FIRST_MEMBERS_MAX = 100;

/**
 * The conversation has no message with this id up to this sequence number (0 when left out). Never from a client: set where the stream was searched for
 * it, because the state could not exclude it.
 */
const UnusedUpTo = Type.Optional(Type.Integer({ minimum: 0 }));

/** Commands of a conversation. */
export const conversationCommands = {
  CreateGroup: closed({
    conversationId: ConversationId,
    name: visibleName(NAME_MAX),
    /** Further members; the actor becomes the owner. */
    participants: Type.Array(UserId, { maxItems: FIRST_MEMBERS_MAX - 1 }),
  }),
  DeleteConversation: closed({ conversationId: ConversationId }),
  AddMember: closed({ conversationId: ConversationId, userId: UserId }),
  RemoveMember: closed({ conversationId: ConversationId, userId: UserId }),
  /** An erased person leaves the conversation. `successors`: members in the order of joining; the first who is still a member becomes the owner. */
  RemoveErasedMember: closed({
    conversationId: ConversationId,
    userId: UserId,
    successors: Type.Array(UserId, { maxItems: 100 }),
  }),
  LeaveConversation: closed({ conversationId: ConversationId }),
  SendMessage: closed({
    conversationId: ConversationId,
    messageId: MessageId,
    content: visibleContent(CONTENT_MAX),
    replyTo: Type.Union([MessageId, Type.Null()]),
    mentions: Type.Array(UserId, { maxItems: 100 }),
    unusedUpTo: UnusedUpTo,
  }),
  /** To the 1-1 conversation with another user, which the first message creates. */
  SendDirectMessage: closed({
    conversationId: ConversationId,
    otherUserId: UserId,
    messageId: MessageId,
    content: visibleContent(CONTENT_MAX),
    replyTo: Type.Union([MessageId, Type.Null()]),
    mentions: Type.Array(UserId, { maxItems: 100 }),
    unusedUpTo: UnusedUpTo,
  }),
};

export type ConversationCommand = CommandsOf<typeof conversationCommands>;
