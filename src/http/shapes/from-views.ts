import type { Static } from 'typebox';
import type { Message } from '../../aggregates/conversation/message.ts';
import type { MembershipBody } from '../../projections/models/memberships.ts';
import { type Conversation, lastMessage, type OwnConversation } from '../../projections/views/conversations.ts';
import type { User } from '../../projections/views/users.ts';
import type { ConversationShape, MemberShape, MessageShape } from './conversations.ts';
import type { OwnUserShape, UserShape } from './users.ts';

/** From what the views give to what the contract shows (spec, section 9). */

/** A user as others see one. */
export function toUser({ _id, username, firstname, lastname, displayName }: User): Static<typeof UserShape> {
  return { _id, username, firstname, lastname, displayName, online: null, lastSeenAt: null };
}

/** A user as they see themselves. */
export function toOwnUser(user: User): Static<typeof OwnUserShape> {
  const { email, roles, createdAt } = user;
  return { ...toUser(user), email, roles: [...roles], createdAt };
}

export function toMessage(message: Message): Static<typeof MessageShape> {
  const reactions = Object.entries(message.reactions).map(([emoji, users]): [string, string[]] => [emoji, [...users]]);
  return { ...message, mentions: [...message.mentions], reactions: Object.fromEntries(reactions) };
}

/** A member as `reader` sees one: in a large conversation how far others have read is not told. */
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

/** A conversation as its reader sees it: nothing from before the reader joined. */
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
