import { type Static, Type } from 'typebox';
import type { Message } from '../../aggregates/conversation/message.ts';
import type { MembershipBody } from '../../projections/models/memberships.ts';
import { type Conversation, lastMessage, type OwnConversation } from '../../projections/views/conversations.ts';
import { Id, MessageIdShape, nullable, Time } from './common.ts';

const Sequence = Type.Integer({ minimum: 0 });

/** A message (spec, section 9). `content` is `null` once it was deleted or its author was erased. */
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

/** A member. In a large conversation the marks of others are `null`. */
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
  members: Type.Array(MemberShape, { description: 'At most 100; `memberCount` counts all' }),
  lastSeq: Sequence,
  lastMessage: Type.Unsafe<unknown>({ ...MessageShape, type: ['object', 'null'] }),
  unread: Type.Integer({ description: 'Messages of others after the one last read' }),
  createdAt: nullable(Time),
  updatedAt: nullable(Time),
};

export const ConversationShape = Type.Object(conversation, { description: 'A conversation as the caller sees it' });

/** The 1-1 conversation with another user, which the first message creates. */
export const DirectConversationShape = Type.Object(
  {
    ...conversation,
    exists: Type.Boolean({ description: 'false before the first message' }),
    messages: Type.Array(MessageShape, { description: 'The latest 10, newest first' }),
  },
  { description: 'The 1-1 conversation with another user' },
);

export function toMessage(message: Message): Static<typeof MessageShape> {
  const reactions = Object.entries(message.reactions).map(([emoji, users]): [string, string[]] => [emoji, [...users]]);
  return { ...message, mentions: [...message.mentions], reactions: Object.fromEntries(reactions) };
}

/** A member as `readerId` sees them: in a large conversation, without how far others have read. */
export function toMember(
  member: MembershipBody,
  conversation: Conversation,
  readerId: string,
): Static<typeof MemberShape> {
  const { userId, joinedAt, lastOpenedAt, readSeq, receivedSeq } = member;
  if (userId !== readerId && conversation.flags.includes('large')) {
    return { userId, joinedAt, lastOpenedAt: null, readSeq: null, receivedSeq: null };
  }
  return { userId, joinedAt, lastOpenedAt, readSeq, receivedSeq };
}

/** A conversation as its reader sees it, without a message from before the reader joined. */
export function toConversation(
  { conversation, membership, unread }: OwnConversation,
  members: readonly MembershipBody[],
): Static<typeof ConversationShape> {
  const { _id, kind, name, ownerId, memberCount, lastSeq, createdAt, updatedAt } = conversation;
  const last = lastMessage(conversation);
  return {
    _id,
    kind,
    name,
    ownerId,
    memberCount,
    members: members.map((member) => toMember(member, conversation, membership.userId)),
    lastSeq,
    lastMessage: last !== null && last.seq > membership.joinedSeq ? toMessage(last) : null,
    unread,
    createdAt,
    updatedAt,
  };
}

export function toDirectConversation(
  own: OwnConversation,
  members: readonly MembershipBody[],
  latest: readonly Message[],
): Static<typeof DirectConversationShape> {
  return { ...toConversation(own, members), exists: true, messages: latest.map(toMessage) };
}

/** A 1-1 conversation before its first message. */
export function emptyDirectConversation(_id: string): Static<typeof DirectConversationShape> {
  return {
    _id,
    kind: 'direct',
    name: null,
    ownerId: null,
    memberCount: 0,
    members: [],
    lastSeq: 0,
    lastMessage: null,
    unread: 0,
    createdAt: null,
    updatedAt: null,
    exists: false,
    messages: [],
  };
}
