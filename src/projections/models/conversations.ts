import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import type { Position } from '../../kernel/position.ts';
import { type StoredMessage, storeMessage } from './stored-message.ts';
import type { ProjectionOf } from './projection.ts';

/** Messages that a conversation's document carries. */
export const LATEST_MESSAGES = 10;
/** Members up to which a conversation's document names them all. */
export const NAMED_MEMBERS = 200;

/** A conversation's summary; `conversations/conversations`, by its id. A deleted conversation has none. */
export type ConversationBody = Readonly<{
  kind: 'direct' | 'group';
  name: string | null;
  ownerId: string | null;
  memberCount: number;
  /** In the order of joining; empty once the conversation is large. */
  memberIds: readonly string[];
  /**
   * `large`: it has had more members than are named here. It stays so when it shrinks again, for the document does not know who is left;
   * memberships do. An array, so that only the few large ones are in the index.
   */
  flags: readonly 'large'[];
  /** Sequence number of the last message, 0 before the first. */
  lastSeq: number;
  /** Oldest first; the last one is the last message. */
  latest: readonly StoredMessage[];
  createdAt: string;
  /** Of the last activity: a message, or a member who came or went. */
  updatedAt: string;
  /** Position of the latest activity, which lists go by: two conversations may have been updated in the same millisecond. */
  activity: Position;
  /** Of the conversation's last event. */
  revision: number;
}>;

export const conversations: ProjectionOf<ConversationEvent, ConversationBody> = {
  name: 'conversations',
  version: 1,
  collections: [
    {
      name: 'conversations',
      indexes: [
        { array: 'memberIds', fields: ['activity'] },
        { array: 'flags', fields: [] },
      ],
    },
  ],
  handles: ['ConversationCreated', 'MemberAdded', 'MemberRemoved', 'MessageSent', 'ConversationDeleted'],
  touches: ({ type, data }) => [
    { collection: 'conversations', id: data.conversationId, fresh: type === 'ConversationCreated' },
  ],
  evolve(_ref, conversation, event) {
    const revision = Number(event.revision);
    if (event.type === 'ConversationCreated') {
      return conversation ?? { ...created(event.data), activity: event.position, revision };
    }
    if (conversation === undefined || event.type === 'ConversationDeleted') return undefined;
    const changed = changes(conversation, event);
    const activity = changed.updatedAt === undefined ? conversation.activity : event.position;
    return { ...conversation, ...changed, activity, revision };
  },
};

type Change = Exclude<ConversationEvent, { type: 'ConversationCreated' | 'ConversationDeleted' }>;

function changes(conversation: ConversationBody, event: Change): Partial<ConversationBody> {
  switch (event.type) {
    case 'MemberAdded':
      return withMember(conversation, event.data.userId, event.data.addedAt);
    case 'MemberRemoved':
      return withoutMember(conversation, event.data.userId, event.data.removedAt);
    case 'MessageSent':
      return withMessage(conversation, event);
    default:
      return {};
  }
}

type Creation = Extract<ConversationEvent, { type: 'ConversationCreated' }>['data'];

function created({
  kind,
  name,
  ownerId,
  members,
  createdAt,
}: Creation): Omit<ConversationBody, 'activity' | 'revision'> {
  return {
    kind,
    name,
    ownerId,
    memberCount: members.length,
    memberIds: members,
    flags: [],
    lastSeq: 0,
    latest: [],
    createdAt,
    updatedAt: createdAt,
  };
}

function withMessage(
  conversation: ConversationBody,
  event: Extract<Change, { type: 'MessageSent' }>,
): Partial<ConversationBody> {
  const { seq, sentAt } = event.data;
  if (seq <= conversation.lastSeq) return {};
  const latest = [...conversation.latest.slice(1 - LATEST_MESSAGES), storeMessage(event)];
  return { lastSeq: seq, latest, updatedAt: later(conversation, sentAt) };
}

function withMember(conversation: ConversationBody, userId: string, at: string): Partial<ConversationBody> {
  const { memberIds, flags, memberCount } = conversation;
  if (memberIds.includes(userId)) return {};
  const large = flags.length > 0 || memberCount >= NAMED_MEMBERS;
  return {
    memberCount: memberCount + 1,
    memberIds: large ? [] : [...memberIds, userId],
    flags: large ? ['large'] : [],
    updatedAt: later(conversation, at),
  };
}

function withoutMember(conversation: ConversationBody, userId: string, at: string): Partial<ConversationBody> {
  const { memberIds, flags, memberCount } = conversation;
  if (flags.length === 0 && !memberIds.includes(userId)) return {};
  return {
    memberCount: Math.max(0, memberCount - 1),
    memberIds: memberIds.filter((id) => id !== userId),
    updatedAt: later(conversation, at),
  };
}

/** Clocks of nodes differ a little; activity never goes back. */
const later = ({ updatedAt }: ConversationBody, at: string): string => (at > updatedAt ? at : updatedAt);
