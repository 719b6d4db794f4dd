import type { ConversationCommand } from '../../commands/conversation.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { directConversationId } from '../../kernel/ids.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { ConversationEvent } from './events.ts';
import { mayBeForgotten } from './known-messages.ts';
import { KNOWN_MESSAGES, MEMBERS_MAX } from './limits.ts';
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

type Asked<Type extends ConversationCommand['type']> = Extract<ConversationCommand, { type: Type }>;

/** A group that the actor owns. `[]` when the owner repeats it; refused with `already-exists` when the id is another's. */
export function createGroup(command: Asked<'CreateGroup'>, state: ConversationState): ConversationEvent[] {
  const { conversationId, name, participants } = command.data;
  const actor = actorOf(command);
  if (state.status === 'deleted') throw unknown();
  if (state.status === 'live') {
    if (state.ownerId === actor) return [];
    throw new Refusal('already-exists', 'there is another conversation with this id');
  }
  const members = [...new Set([actor, ...participants])];
  return [
    {
      type: 'ConversationCreated',
      data: { conversationId, kind: 'group', name, ownerId: actor, members, createdAt: command.metadata.at },
    },
  ];
}

/** By the owner only (`forbidden`), and of groups only (`rule-broken`). `[]` when the owner repeats it. */
export function deleteConversation(
  command: Asked<'DeleteConversation'>,
  state: ConversationState,
): ConversationEvent[] {
  const { conversationId } = command.data;
  const actor = actorOf(command);
  if (state.status === 'deleted' && state.ownerId === actor) return [];
  const group = groupOf(state, actor);
  if (group.ownerId !== actor) throw new Refusal('forbidden', 'only the owner may delete the conversation');
  return [{ type: 'ConversationDeleted', data: { conversationId, deletedAt: command.metadata.at } }];
}

/** By any member, to a group (`rule-broken`: a 1-1 conversation, or a full one). `[]` for somebody who is in it. */
export function addMember(command: Asked<'AddMember'>, state: ConversationState): ConversationEvent[] {
  const { conversationId, userId } = command.data;
  const group = groupOf(state, actorOf(command));
  if (group.members.has(userId)) return [];
  if (group.members.size >= MEMBERS_MAX) {
    throw new Refusal('rule-broken', `a conversation has at most ${MEMBERS_MAX} members`);
  }
  const { at } = command.metadata;
  return [{ type: 'MemberAdded', data: { conversationId, userId, joinedSeq: group.lastSeq, addedAt: at } }];
}

/** Others by the owner only (`forbidden`); oneself is leaving. `[]` for somebody who is not in it. */
export function removeMember(command: Asked<'RemoveMember'>, state: ConversationState): ConversationEvent[] {
  const { conversationId, userId } = command.data;
  const actor = actorOf(command);
  const group = groupOf(state, actor);
  const { at } = command.metadata;
  if (userId === actor) return [left(group, conversationId, actor, at)];
  if (group.ownerId !== actor) throw new Refusal('forbidden', 'only the owner may remove others');
  if (!group.members.has(userId)) return [];
  return [{ type: 'MemberRemoved', data: { conversationId, userId, reason: 'removed', removedAt: at } }];
}

/** By any member of a group but its owner (`rule-broken`). */
export function leaveConversation(command: Asked<'LeaveConversation'>, state: ConversationState): ConversationEvent[] {
  const actor = actorOf(command);
  return [left(groupOf(state, actor), command.data.conversationId, actor, command.metadata.at)];
}

/**
 * By members. `[]` for an id that the sender used: it names the message, whatever the repetition says. Refused with `already-exists` for the id of
 * another's message, `send-uncertain` for one so old that it may be of a message no longer known, `rule-broken` for a reply to what is no
 * message among the latest that the sender reads, or to a reply. Mentions of who is no member are left out: somebody may be leaving just now.
 */
export function sendMessage(command: Asked<'SendMessage'>, state: ConversationState): ConversationEvent[] {
  const actor = actorOf(command);
  return send(command, memberView(state, actor), actor);
}

/** As `sendMessage`, to the 1-1 conversation with the other user, which comes into being with it. `rule-broken` to oneself. */
export function sendDirectMessage(command: Asked<'SendDirectMessage'>, state: ConversationState): ConversationEvent[] {
  const { conversationId, otherUserId } = command.data;
  const actor = actorOf(command);
  if (otherUserId === actor) throw new Refusal('rule-broken', 'a 1-1 conversation needs another user');
  if (conversationId !== directConversationId(actor, otherUserId)) throw unknown();
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
  { data, metadata }: Asked<'SendMessage' | 'SendDirectMessage'>,
  conversation: LiveConversation,
  senderId: string,
): ConversationEvent[] {
  const { conversationId, messageId, content, replyTo } = data;
  const { members, messages, lastSeq } = conversation;
  const same = messages.byId.get(messageId);
  if (same?.senderId === senderId) return [];
  if (same !== undefined) throw new Refusal('already-exists', 'there is another message with this id');
  if (mayBeForgotten(messages, messageId, lastSeq)) {
    const words = `this id is older than the latest ${KNOWN_MESSAGES} messages, so it may have been sent already: look it up`;
    throw new Refusal('send-uncertain', words);
  }
  if (replyTo !== null) mustBeOpenToReplies(conversation, replyTo, senderId);
  const mentions = [...new Set(data.mentions)].filter((userId) => members.has(userId));
  const seq = lastSeq + 1;
  return [
    {
      type: 'MessageSent',
      data: { conversationId, messageId, seq, senderId, content, replyTo, mentions, sentAt: metadata.at },
    },
  ];
}

function mustBeOpenToReplies({ members, messages }: LiveConversation, replyTo: string, senderId: string): void {
  const message = messages.byId.get(replyTo);
  const readsAbove = members.get(senderId) ?? 0;
  if (message === undefined || message.seq <= readsAbove) {
    throw new Refusal(
      'rule-broken',
      `a reply is to one of the latest ${KNOWN_MESSAGES} messages that its sender can read`,
    );
  }
  if (message.isReply) throw new Refusal('rule-broken', 'a reply is to a message that is no reply itself');
}

function left(group: LiveConversation, conversationId: string, userId: string, removedAt: string): ConversationEvent {
  if (group.ownerId === userId) {
    throw new Refusal('rule-broken', 'the owner cannot leave the conversation, only delete it');
  }
  return { type: 'MemberRemoved', data: { conversationId, userId, reason: 'left', removedAt } };
}

function actorOf({ metadata }: ConversationCommand): string {
  if (metadata.actor === null) throw new Refusal('unauthenticated', 'conversations are among users');
  return metadata.actor;
}

/** The conversation, for its members only: others may not know whether it exists. */
function memberView(state: ConversationState, userId: string): LiveConversation {
  if (state.status !== 'live' || !state.members.has(userId)) throw unknown();
  return state;
}

/** As `memberView`, for what can be done to groups only. */
function groupOf(state: ConversationState, userId: string): LiveConversation {
  const conversation = memberView(state, userId);
  if (conversation.kind === 'group') return conversation;
  throw new Refusal('rule-broken', 'a 1-1 conversation keeps its two members and cannot be deleted');
}

function unknown(): Refusal {
  return new Refusal('not-found', 'there is no such conversation');
}

/** A 1-1 conversation or a group. */
export const conversation: Aggregate<ConversationState, ConversationCommand, ConversationEvent> = {
  category: 'conversation',
  snapshotVersion: 1,
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
