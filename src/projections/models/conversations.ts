import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import type { UserEvent } from '../../aggregates/user/events.ts';
import type { Event, RecordedEvent } from '../../kernel/event.ts';
import type { Position } from '../../kernel/position.ts';
import { type DocumentRef, defineProjection } from './projection.ts';
import { type StoredMessage, storeMessage } from './stored-message.ts';

/** Messages that a conversation's document contains. */
export const LATEST_MESSAGES = 10;
/** Members up to which a conversation's document names them all. */
export const NAMED_MEMBERS = 200;

const COLLECTION = 'conversations';

/** A conversation's summary; `conversations/conversations`, by its id. A deleted conversation has none. */
export type ConversationBody = Readonly<{
  kind: 'direct' | 'group';
  /** `null` in a 1-1 conversation, and once the person who chose it was erased. */
  name: string | null;
  /** Who chose the name. */
  namedBy: string | null;
  ownerId: string | null;
  memberCount: number;
  /** In the order of joining; empty once the conversation is large. */
  memberIds: readonly string[];
  /** Senders of the latest messages who are not in `memberIds`: an erasure finds the document by them. */
  otherSenders: readonly string[];
  /**
   * `large`: it has had more members than are named here. It stays so when it shrinks again, because the document does not know who is left;
   * memberships do. An array, so that only the few large ones are in the index.
   */
  flags: readonly 'large'[];
  /** Sequence number of the last message, 0 before the first. */
  lastSeq: number;
  /** Oldest first. */
  latest: readonly StoredMessage[];
  createdAt: string;
  /** Of the last activity: a message, or a member who was added or removed. */
  updatedAt: string;
  /** Position of the latest activity, by which lists are sorted: two conversations may have been updated in the same millisecond. */
  activity: Position;
  /** Of the conversation's last event. */
  revision: number;
}>;

type Recorded<Type extends ConversationEvent['type']> = RecordedEvent<Extract<ConversationEvent, { type: Type }>>;

const summary = ({ data }: { data: { conversationId: string } }): readonly DocumentRef[] => [
  { collection: COLLECTION, id: data.conversationId },
];

const BY_ACTIVITY = { fields: ['activity'], direction: 'asc' } as const;

export const conversations = defineProjection<ConversationBody, ConversationEvent | UserEvent>({
  name: 'conversations',
  version: 2,
  collections: [
    {
      name: COLLECTION,
      indexes: [
        { array: 'memberIds', fields: ['activity'] },
        { array: 'flags', fields: [] },
        { array: 'otherSenders', fields: [] },
        { fields: ['namedBy'] },
      ],
    },
  ],
  on: {
    ConversationCreated: {
      touches: ({ data }) => [{ collection: COLLECTION, id: data.conversationId, fresh: true }],
      evolve: (conversation, event) => conversation ?? created(event),
    },
    MemberAdded: { touches: summary, evolve: changing(withMember) },
    MemberRemoved: { touches: summary, evolve: changing(withoutMember) },
    MessageSent: { touches: summary, evolve: changing(withMessage) },
    ConversationDeleted: { touches: summary, evolve: () => undefined },
    UserErased: {
      touches: () => [],
      finds: ({ data: { userId } }) => [
        { collection: COLLECTION, filter: { memberIds: { contains: userId } }, sort: BY_ACTIVITY },
        { collection: COLLECTION, filter: { otherSenders: { contains: userId } } },
        { collection: COLLECTION, filter: { namedBy: userId } },
      ],
      evolve: (conversation, { data }) => conversation && withoutTextOf(conversation, data.userId),
    },
  },
});

function created({ data, position, revision }: Recorded<'ConversationCreated'>): ConversationBody {
  const { kind, name, ownerId, members, createdAt } = data;
  return {
    kind,
    name,
    namedBy: ownerId,
    ownerId,
    memberCount: members.length,
    memberIds: members,
    otherSenders: [],
    flags: [],
    lastSeq: 0,
    latest: [],
    createdAt,
    updatedAt: createdAt,
    activity: position,
    revision: Number(revision),
  };
}

/** Applies a change to the document, if there is one, and notes the event's revision and, with `updatedAt`, its position. */
function changing<E extends Event>(
  change: (conversation: ConversationBody, event: RecordedEvent<E>) => Partial<ConversationBody>,
) {
  return (conversation: ConversationBody | undefined, event: RecordedEvent<E>): ConversationBody | undefined => {
    if (conversation === undefined) return undefined;
    const changed = change(conversation, event);
    const activity = changed.updatedAt === undefined ? conversation.activity : event.position;
    return { ...conversation, ...changed, activity, revision: Number(event.revision) };
  };
}

function withMessage(conversation: ConversationBody, event: Recorded<'MessageSent'>): Partial<ConversationBody> {
  const { seq, sentAt } = event.data;
  if (seq <= conversation.lastSeq) return {};
  const latest = [...conversation.latest.slice(1 - LATEST_MESSAGES), storeMessage(event)];
  const isUsual = conversation.otherSenders.length === 0 && conversation.memberIds.includes(event.data.senderId);
  const otherSenders = isUsual ? conversation.otherSenders : otherSendersOf(conversation, latest);
  return { lastSeq: seq, latest, otherSenders, updatedAt: later(conversation, sentAt) };
}

function withMember(conversation: ConversationBody, { data }: Recorded<'MemberAdded'>): Partial<ConversationBody> {
  const { memberIds, flags, memberCount, latest } = conversation;
  if (memberIds.includes(data.userId)) return {};
  const isLarge = flags.length > 0 || memberCount >= NAMED_MEMBERS;
  const named = { memberIds: isLarge ? [] : [...memberIds, data.userId], otherSenders: conversation.otherSenders };
  return {
    ...named,
    memberCount: memberCount + 1,
    otherSenders: otherSendersOf(named, latest),
    flags: isLarge ? ['large'] : [],
    updatedAt: later(conversation, data.addedAt),
  };
}

function withoutMember(conversation: ConversationBody, { data }: Recorded<'MemberRemoved'>): Partial<ConversationBody> {
  const { memberIds, flags, memberCount, latest, otherSenders, ownerId } = conversation;
  if (flags.length === 0 && !memberIds.includes(data.userId)) return {};
  const named = { memberIds: memberIds.filter((id) => id !== data.userId), otherSenders };
  return {
    memberIds: named.memberIds,
    ownerId: data.nextOwnerId ?? ownerId,
    memberCount: Math.max(0, memberCount - 1),
    otherSenders: otherSendersOf(named, latest),
    updatedAt: later(conversation, data.removedAt),
  };
}

function withoutTextOf(conversation: ConversationBody, userId: string): ConversationBody {
  const latest = conversation.latest.map((message) =>
    message.senderId === userId ? { ...message, content: null } : message,
  );
  return { ...conversation, latest, name: conversation.namedBy === userId ? null : conversation.name };
}

type Named = Pick<ConversationBody, 'memberIds' | 'otherSenders'>;

/** The same array when nothing changes: most messages are from named members. */
function otherSendersOf({ memberIds, otherSenders }: Named, latest: readonly StoredMessage[]): readonly string[] {
  const found = new Set<string>();
  for (const { senderId } of latest) if (!memberIds.includes(senderId)) found.add(senderId);
  if (found.size === otherSenders.length && otherSenders.every((id) => found.has(id))) return otherSenders;
  return [...found].sort();
}

/** Clocks of nodes differ a little; the time of activity never goes back. */
const later = ({ updatedAt }: ConversationBody, at: string): string => (at > updatedAt ? at : updatedAt);
