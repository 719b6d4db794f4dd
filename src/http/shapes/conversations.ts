import { Type } from 'typebox';
import { Id, MessageIdShape, nullable, Time } from './answers.ts';

const Sequence = Type.Integer({ minimum: 0 });

export const MessageShape = Type.Object(
  {
    _id: MessageIdShape,
    conversationId: Id,
    seq: Type.Integer({ description: 'Counts the messages of the conversation from 1, the same for everyone' }),
    senderId: Id,
    content: nullable(Type.String({ examples: ['Hello!'] })),
    sentAt: Time,
    editedAt: nullable(Time),
    deletedAt: nullable(Time),
    replyTo: nullable(MessageIdShape),
    mentions: Type.Array(Id),
    reactions: Type.Record(Type.String(), Type.Array(Id)),
  },
  { description: 'A message' },
);

export const MemberShape = Type.Object(
  {
    userId: Id,
    joinedAt: Time,
    lastOpenedAt: nullable(Time),
    readSeq: nullable(Sequence),
    receivedSeq: nullable(Sequence),
  },
  { description: 'A member' },
);

const conversation = {
  _id: Id,
  kind: Type.Unsafe<'direct' | 'group'>({ type: 'string', enum: ['direct', 'group'] }),
  name: nullable(Type.String({ examples: ['Analytical engines'] })),
  ownerId: nullable(Id),
  memberCount: Type.Integer(),
  members: Type.Array(MemberShape, { description: 'At most 100; `memberCount` tells the whole' }),
  lastSeq: Sequence,
  lastMessage: Type.Unsafe<unknown>({ ...MessageShape, type: ['object', 'null'] }),
  unread: Type.Integer({ description: 'Messages of others above the one last opened' }),
  createdAt: nullable(Time),
  updatedAt: nullable(Time),
};

export const ConversationShape = Type.Object(conversation, { description: 'A conversation as its reader sees it' });

/** The 1-1 conversation with another user, which is not there before its first message. */
export const DirectConversationShape = Type.Object(
  {
    ...conversation,
    exists: Type.Boolean({ description: 'false before the first message' }),
    messages: Type.Array(MessageShape, { description: 'The latest 10, newest first' }),
  },
  { description: 'The 1-1 conversation with another user' },
);
