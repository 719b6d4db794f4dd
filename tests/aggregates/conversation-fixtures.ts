import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { KNOWN_MESSAGES } from '../../src/aggregates/conversation/limits.ts';
import type { ConversationState, LiveConversation } from '../../src/aggregates/conversation/state.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import type { CommandOf } from '../../src/kernel/command.ts';
import { directConversationId } from '../../src/kernel/ids.ts';
import { alice, at, bob, by, carol, id, uuid } from './fixtures.ts';

export const groupId = id(0x9);
export const directId = directConversationId(alice, bob);

type Of<Type extends ConversationCommand['type']> = CommandOf<ConversationCommand, Type>;
type EventOf<Type extends ConversationEvent['type']> = Extract<ConversationEvent, { type: Type }>;
type Message = EventOf<'MessageSent'>['data'];

/** Commands, by default to the group. */
export const create = (actor: string | null, participants: string[] = [], seconds = 0): Of<'CreateGroup'> => ({
  type: 'CreateGroup',
  data: { conversationId: groupId, name: 'Team', participants },
  metadata: by(actor, seconds),
});
export const remove = (actor: string, conversationId = groupId): Of<'DeleteConversation'> => ({
  type: 'DeleteConversation',
  data: { conversationId },
  metadata: by(actor, 30),
});
export const add = (actor: string, userId: string, conversationId = groupId): Of<'AddMember'> => ({
  type: 'AddMember',
  data: { conversationId, userId },
  metadata: by(actor, 20),
});
export const expel = (actor: string, userId: string, conversationId = groupId): Of<'RemoveMember'> => ({
  type: 'RemoveMember',
  data: { conversationId, userId },
  metadata: by(actor, 20),
});
/** The time is that of `removed`. */
export const removeErased = (
  userId: string,
  successors: string[] = [],
  conversationId = groupId,
): Of<'RemoveErasedMember'> => ({
  type: 'RemoveErasedMember',
  data: { conversationId, userId, successors },
  metadata: by(userId, 20),
});
export const leave = (actor: string, conversationId = groupId): Of<'LeaveConversation'> => ({
  type: 'LeaveConversation',
  data: { conversationId },
  metadata: by(actor, 20),
});
export const send = (
  actor: string | null,
  messageId: string,
  { seconds = 10, ...more }: Partial<Of<'SendMessage'>['data']> & { seconds?: number } = {},
): Of<'SendMessage'> => ({
  type: 'SendMessage',
  data: { conversationId: groupId, messageId, content: 'Hello', replyTo: null, mentions: [], ...more },
  metadata: by(actor, seconds),
});
export const sendTo = (
  actor: string,
  otherUserId: string,
  messageId: string,
  more: Partial<Of<'SendDirectMessage'>['data']> = {},
): Of<'SendDirectMessage'> => ({
  type: 'SendDirectMessage',
  data: {
    conversationId: directConversationId(actor, otherUserId),
    otherUserId,
    messageId,
    content: 'Hello',
    replyTo: null,
    mentions: [],
    ...more,
  },
  metadata: by(actor, 10),
});

/** Alice is the owner, Bob a member. */
export const group: EventOf<'ConversationCreated'> = {
  type: 'ConversationCreated',
  data: {
    conversationId: groupId,
    kind: 'group',
    name: 'Team',
    ownerId: alice,
    members: [alice, bob],
    createdAt: at(0),
  },
};
export const direct: EventOf<'ConversationCreated'> = {
  type: 'ConversationCreated',
  data: {
    conversationId: directId,
    kind: 'direct',
    name: null,
    ownerId: null,
    members: [alice, bob],
    createdAt: at(10),
  },
};
export const added = (userId: string, joinedSeq = 0): EventOf<'MemberAdded'> => ({
  type: 'MemberAdded',
  data: { conversationId: groupId, userId, joinedSeq, addedAt: at(20) },
});
export const removed = (
  userId: string,
  reason: EventOf<'MemberRemoved'>['data']['reason'] = 'removed',
  nextOwnerId?: string,
): EventOf<'MemberRemoved'> => ({
  type: 'MemberRemoved',
  data: {
    conversationId: groupId,
    userId,
    reason,
    ...(nextOwnerId !== undefined && { nextOwnerId }),
    removedAt: at(20),
  },
});
export const deleted: EventOf<'ConversationDeleted'> = {
  type: 'ConversationDeleted',
  data: { conversationId: groupId, deletedAt: at(30) },
};
/** Message `seq` with the id `uuid(seq)`, by default from Alice. */
export const sent = (seq: number, more: Partial<Message> = {}): EventOf<'MessageSent'> => ({
  type: 'MessageSent',
  data: {
    conversationId: groupId,
    messageId: uuid(seq),
    seq,
    senderId: alice,
    content: 'Hello',
    replyTo: null,
    mentions: [],
    sentAt: at(10),
    ...more,
  },
});

/** A group with `beyond` more messages of Alice than it knows; message `n` was sent at second `n`, and has the id `idOf(n)`. */
export const longGroup = (beyond: number, idOf: (seq: number) => string = uuid): readonly ConversationEvent[] => [
  group,
  added(carol),
  ...Array.from({ length: KNOWN_MESSAGES + beyond }, (_, i) =>
    sent(i + 1, { messageId: idOf(i + 1), sentAt: at(i + 1) }),
  ),
];

/** The state of a conversation that was not deleted. */
export function live(state: ConversationState): LiveConversation {
  if (state.status !== 'live') throw new Error(`the conversation is ${state.status}`);
  return state;
}
