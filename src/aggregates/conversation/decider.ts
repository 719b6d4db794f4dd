import type { ConversationCommand } from '../../commands/conversation.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Event } from '../../kernel/event.ts';
import { directConversationId } from '../../kernel/ids.ts';
import { SearchNeeded } from '../../kernel/stream-search.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { ConversationEvent } from './events.ts';
import { firstSeq, messageById, whereMayBe } from './known-messages.ts';
import { KNOWN_MESSAGES, MEMBERS_MAX, SEARCHED_MESSAGES } from './limits.ts';
import {
  type ConversationState,
  created,
  evolve,
  freeze,
  initialState,
  type LiveConversation,
  thaw,
  weight,
} from './state.ts';

type MessageSent = Extract<ConversationEvent, { type: 'MessageSent' }>;

/** Creates a group that the actor owns. `[]` when the owner repeats it; refused with `already-exists` when another conversation has the id. */
export function createGroup(
  command: CommandOf<ConversationCommand, 'CreateGroup'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId, name, participants } = command.data;
  const actor = actorOf(command);
  if (state.status === 'deleted') throw notFound();
  if (state.status === 'live') {
    if (state.ownerId === actor) return [];
    throw new Refusal('already-exists', 'another conversation already has this id');
  }
  const members = [...new Set([actor, ...participants])];
  return [
    {
      type: 'ConversationCreated',
      data: { conversationId, kind: 'group', name, ownerId: actor, members, createdAt: command.metadata.at },
    },
  ];
}

/** For the owner (others: `forbidden`) of a group (1-1 conversations: `rule-broken`). `[]` when the owner repeats it. */
export function deleteConversation(
  command: CommandOf<ConversationCommand, 'DeleteConversation'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId } = command.data;
  const actor = actorOf(command);
  if (state.status === 'deleted' && state.ownerId === actor) return [];
  const group = groupOf(state, actor);
  if (group.ownerId !== actor) throw new Refusal('forbidden', 'only the owner may delete the conversation');
  return [{ type: 'ConversationDeleted', data: { conversationId, deletedAt: command.metadata.at } }];
}

/** For any member of a group. Refused with `rule-broken` in a 1-1 conversation and in a full group. `[]` when the user is a member already. */
export function addMember(
  command: CommandOf<ConversationCommand, 'AddMember'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId, userId } = command.data;
  const group = groupOf(state, actorOf(command));
  if (group.members.has(userId)) return [];
  if (group.members.size >= MEMBERS_MAX) {
    throw new Refusal('rule-broken', `a conversation can have at most ${MEMBERS_MAX} members`);
  }
  const { at } = command.metadata;
  return [{ type: 'MemberAdded', data: { conversationId, userId, joinedSeq: group.lastSeq, addedAt: at } }];
}

/** For the owner (others: `forbidden`); to remove oneself is to leave. `[]` when the user is not a member. */
export function removeMember(
  command: CommandOf<ConversationCommand, 'RemoveMember'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId, userId } = command.data;
  const actor = actorOf(command);
  const group = groupOf(state, actor);
  const { at } = command.metadata;
  if (userId === actor) return [left(group, conversationId, actor, at)];
  if (group.ownerId !== actor) throw new Refusal('forbidden', 'only the owner may remove other members');
  if (!group.members.has(userId)) return [];
  return [{ type: 'MemberRemoved', data: { conversationId, userId, reason: 'removed', removedAt: at } }];
}

/**
 * For the erasure of a person, who leaves the group: an owner is followed by the first of the `successors` who is a member, else by the member who
 * joined at the earliest message; without other members the group is deleted. `[]` for others than members, and in a 1-1 conversation, which remains
 * with the other user.
 */
export function removeErasedMember(
  { data, metadata }: CommandOf<ConversationCommand, 'RemoveErasedMember'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId, userId, successors } = data;
  const { at } = metadata;
  if (state.status !== 'live' || state.kind === 'direct' || !state.members.has(userId)) return [];
  const removed = { conversationId, userId, reason: 'erased' as const, removedAt: at };
  if (state.ownerId !== userId) return [{ type: 'MemberRemoved', data: removed }];
  const others = state.members.delete(userId);
  if (others.size === 0) return [{ type: 'ConversationDeleted', data: { conversationId, deletedAt: at } }];
  const nextOwnerId = successors.find((successor) => others.has(successor)) ?? earliestOf(others);
  return [{ type: 'MemberRemoved', data: { ...removed, nextOwnerId } }];
}

/** The member with the lowest sequence number of joining; of several, the one with the lowest id. Of at least one member. */
function earliestOf(members: LiveConversation['members']): string {
  const joined = ([id, seq]: readonly [string, number]) => `${String(seq).padStart(16, '0')} ${id}`;
  return [...members].reduce((a, b) => (joined(a) < joined(b) ? a : b))[0];
}

/** For every member of a group except its owner (`rule-broken`). */
export function leaveConversation(
  command: CommandOf<ConversationCommand, 'LeaveConversation'>,
  state: ConversationState,
): ConversationEvent[] {
  const actor = actorOf(command);
  return [left(groupOf(state, actor), command.data.conversationId, actor, command.metadata.at)];
}

/**
 * For members. `[]` when the sender has used the message id before, even if the rest of the command differs. Refused with `already-exists` when the id
 * belongs to another sender's message, with `send-uncertain` when it belongs to a message of the sender that is no longer known (`SearchNeeded` where
 * only the stream can show that), and with `rule-broken` for a reply to a reply, or to a message that is not among the latest ones the sender can
 * read. Mentions of users who are not members are dropped instead of refused, because a member may leave at the same time.
 */
export function sendMessage(
  command: CommandOf<ConversationCommand, 'SendMessage'>,
  state: ConversationState,
): ConversationEvent[] {
  const actor = actorOf(command);
  return send(command, memberView(state, actor), actor);
}

/** Like `sendMessage`, to the 1-1 conversation with another user, which the first message creates. `rule-broken` for a message to oneself. */
export function sendDirectMessage(
  command: CommandOf<ConversationCommand, 'SendDirectMessage'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId, otherUserId } = command.data;
  const actor = actorOf(command);
  if (otherUserId === actor) throw new Refusal('rule-broken', 'a 1-1 conversation must be with another user');
  if (conversationId !== directConversationId(actor, otherUserId)) throw notFound();
  if (state.status !== 'none') return send(command, memberView(state, actor), actor);
  const data = {
    conversationId,
    kind: 'direct' as const,
    name: null,
    ownerId: null,
    members: [actor, otherUserId].sort(),
    createdAt: command.metadata.at,
  };
  return [{ type: 'ConversationCreated', data }, ...send(command, created(data), actor)];
}

function send(
  command: CommandOf<ConversationCommand, 'SendMessage' | 'SendDirectMessage'>,
  conversation: LiveConversation,
  senderId: string,
): ConversationEvent[] {
  const { conversationId, messageId, content, replyTo } = command.data;
  const { members, messages, lastSeq } = conversation;
  const known = messageById(messages, messageId);
  if (known?.senderId === senderId) return [];
  if (known !== undefined) throw idTaken();
  requireUnused(command, messages, senderId);
  if (replyTo !== null) requireRepliable(conversation, replyTo, senderId);
  const mentions = [...new Set(command.data.mentions)].filter((userId) => members.has(userId));
  const seq = lastSeq + 1;
  const sentAt = command.metadata.at;
  return [
    {
      type: 'MessageSent',
      data: { conversationId, messageId, seq, senderId, content, replyTo, mentions, sentAt },
    },
  ];
}

/** Unless the state shows that no forgotten message has the id, the stream has to be searched. */
function requireUnused(
  command: CommandOf<ConversationCommand, 'SendMessage' | 'SendDirectMessage'>,
  messages: LiveConversation['messages'],
  senderId: string,
): void {
  const { messageId, unusedUpTo = 0 } = command.data;
  const ranges = whereMayBe(messages, messageId, unusedUpTo);
  if (ranges.length === 0) return;
  const count = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const text = `it may have been sent before the latest ${KNOWN_MESSAGES} messages: look it up by its id`;
  if (count > SEARCHED_MESSAGES) throw new Refusal('send-uncertain', text);
  throw new SearchNeeded('send-uncertain', text, {
    ranges,
    numberOf: (event) => (isMessage(event) ? event.data.seq : undefined),
    refusal(event) {
      if (!isMessage(event) || event.data.messageId !== messageId) return null;
      return event.data.senderId === senderId ? alreadySent() : idTaken();
    },
    searched: { ...command, data: { ...command.data, unusedUpTo: firstSeq(messages) - 1 } },
  });
}

/** Events in the stream of a conversation are a conversation's events. */
const isMessage = (event: Event): event is MessageSent => event.type === 'MessageSent';

function idTaken(): Refusal {
  return new Refusal('already-exists', 'another message already has this id');
}

/** The code is the one that clients know for ids older than the known messages. */
function alreadySent(): Refusal {
  const text = `it was sent already, before the latest ${KNOWN_MESSAGES} messages: look it up by its id`;
  return new Refusal('send-uncertain', text);
}

function requireRepliable({ members, messages }: LiveConversation, replyTo: string, senderId: string): void {
  const message = messageById(messages, replyTo);
  const joinedSeq = members.get(senderId) ?? 0;
  if (message === undefined || message.seq <= joinedSeq) {
    throw new Refusal(
      'rule-broken',
      `a reply must be to one of the latest ${KNOWN_MESSAGES} messages, and its sender must be able to read it`,
    );
  }
  if (message.isReply) throw new Refusal('rule-broken', 'a reply cannot be to another reply');
}

function left(group: LiveConversation, conversationId: string, userId: string, removedAt: string): ConversationEvent {
  if (group.ownerId === userId) {
    throw new Refusal('rule-broken', 'the owner cannot leave the conversation, only delete it');
  }
  return { type: 'MemberRemoved', data: { conversationId, userId, reason: 'left', removedAt } };
}

function actorOf({ metadata }: ConversationCommand): string {
  if (metadata.actor === null) throw new Refusal('unauthenticated', 'only a signed-in user can do this');
  return metadata.actor;
}

/** The conversation as its member `userId` sees it. Refused with `not-found` for others: they must not learn whether it exists. */
function memberView(state: ConversationState, userId: string): LiveConversation {
  if (state.status !== 'live' || !state.members.has(userId)) throw notFound();
  return state;
}

/** Like `memberView`, for commands that only groups allow. */
function groupOf(state: ConversationState, userId: string): LiveConversation {
  const conversation = memberView(state, userId);
  if (conversation.kind === 'group') return conversation;
  throw new Refusal('rule-broken', 'a 1-1 conversation cannot be deleted, and its members cannot be changed');
}

function notFound(): Refusal {
  return new Refusal('not-found', 'there is no such conversation');
}

/** A 1-1 conversation or a group. */
export const conversation: Aggregate<ConversationState, ConversationCommand, ConversationEvent> = {
  category: 'conversation',
  snapshotVersion: 5,
  initialState,
  decide(command, state) {
    switch (command.type) {
      case 'CreateGroup':
        return createGroup(command, state);
      case 'DeleteConversation':
        return deleteConversation(command, state);
      case 'AddMember':
        return addMember(command, state);
      case 'RemoveMember':
        return removeMember(command, state);
      case 'RemoveErasedMember':
        return removeErasedMember(command, state);
      case 'LeaveConversation':
        return leaveConversation(command, state);
      case 'SendMessage':
        return sendMessage(command, state);
      case 'SendDirectMessage':
        return sendDirectMessage(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  freeze,
  thaw,
  weight,
};
