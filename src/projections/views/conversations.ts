import type { Message } from '../../aggregates/conversation/message.ts';
import type { StoredDocument } from '../../ports/documents.ts';
import type { ConversationBody } from '../models/conversations.ts';
import { type MembershipBody, membershipId } from '../models/memberships.ts';
import { toMessage } from '../models/stored-message.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { CONVERSATIONS, MEMBERSHIPS } from './collections.ts';
import { listConversations } from './conversation-list.ts';
import { afterOption, type List, type PageRequest } from './list.ts';

/** A conversation's summary. `members` of the contract's shape come from `firstMembers`. */
export type Conversation = Readonly<{ _id: string }> & ConversationBody;

/** A conversation as one of its members sees it. `unread`: messages of others that the member has not read. */
export type OwnConversation = Readonly<{ conversation: Conversation; membership: MembershipBody; unread: number }>;

/** Members that are shown with a conversation. */
export const SHOWN_MEMBERS = 100;

/** Reads conversations and their members; the projections are `conversations` and `memberships`. */
export interface ConversationsView {
  /** The conversation as this member sees it; `null` when it does not exist, or the user is not a member. */
  ofMember(conversationId: string, userId: string): Promise<OwnConversation | null>;
  /** The user's conversations, newest activity first. */
  ofUser(userId: string, page: PageRequest): Promise<List<OwnConversation>>;
  /** The first 100 members of each, in the order of joining. */
  firstMembers(conversations: readonly Conversation[]): Promise<ReadonlyMap<string, readonly MembershipBody[]>>;
  /** All members in the order of joining. */
  members(conversation: Conversation, page: PageRequest): Promise<List<MembershipBody>>;
  /** Those of the users who are members. At most 4,096. */
  membersAmong(conversationId: string, userIds: readonly string[]): Promise<readonly MembershipBody[]>;
}

/** Ids in one call. */
const IDS_MAX = 4_096;

export function createConversationsView(readModels: ReadModels): ConversationsView {
  const memberships = async (ids: readonly string[]): Promise<ReadonlyMap<string, MembershipBody>> => {
    const found = new Map<string, MembershipBody>();
    for (let from = 0; from < ids.length; from += IDS_MAX) {
      const some = await readModels.getMany<MembershipBody>(MEMBERSHIPS, ids.slice(from, from + IDS_MAX));
      for (const [id, { body }] of some) found.set(id, body);
    }
    return found;
  };
  const members: ConversationsView['members'] = async (conversation, { limit, after }) => {
    const sort = { fields: ['joinedAt'], direction: 'asc' } as const;
    const query = { filter: { conversationId: conversation._id }, sort, limit, ...afterOption(after) };
    const { items, next } = await readModels.find<MembershipBody>(MEMBERSHIPS, query);
    return { items: items.map(({ body }) => body).map(alignedWith(conversation)), next };
  };
  return {
    members,
    async ofMember(conversationId, userId) {
      const [conversation, membership] = await Promise.all([
        readModels.get<ConversationBody>(CONVERSATIONS, conversationId),
        readModels.get<MembershipBody>(MEMBERSHIPS, membershipId(conversationId, userId)),
      ]);
      if (conversation === undefined || membership === undefined) return null;
      return asSeenBy(toConversation(conversation), membership.body);
    },
    async ofUser(userId, page) {
      const { items, next } = await listConversations(readModels, userId, page);
      const found = await memberships(items.map(({ id }) => membershipId(id, userId)));
      // One of the two projections may lag a little; memberships decide who is a member.
      const own = items.flatMap((document) => {
        const membership = found.get(membershipId(document.id, userId));
        return membership === undefined ? [] : [asSeenBy(toConversation(document), membership)];
      });
      return { items: own, next };
    },
    async firstMembers(conversations) {
      const named = conversations.filter(({ flags }) => !flags.includes('large'));
      const ids = (conversation: Conversation): readonly string[] =>
        conversation.memberIds.slice(0, SHOWN_MEMBERS).map((userId) => membershipId(conversation._id, userId));
      const found = await memberships(named.flatMap(ids));
      const shown = new Map<string, readonly MembershipBody[]>();
      for (const conversation of conversations) {
        shown.set(
          conversation._id,
          named.includes(conversation)
            ? ids(conversation)
                .flatMap((id) => found.get(id) ?? [])
                .map(alignedWith(conversation))
            : (await members(conversation, { limit: SHOWN_MEMBERS })).items,
        );
      }
      return shown;
    },
    async membersAmong(conversationId, userIds) {
      return [...(await memberships(userIds.map((userId) => membershipId(conversationId, userId)))).values()];
    },
  };
}

/** The last message of a conversation, `null` before the first. */
export function lastMessage({ _id, latest }: Conversation): Message | null {
  const last = latest.at(-1);
  return last === undefined ? null : toMessage(_id, last);
}

function asSeenBy(conversation: Conversation, membership: MembershipBody): OwnConversation {
  const own = alignedWith(conversation)(membership);
  // A member's own messages never count, because sending moves the mark.
  return { conversation, membership: own, unread: conversation.lastSeq - own.readSeq };
}

/**
 * Memberships as they fit the conversation when one of the two projections lags: `read <= received <= last`, and own messages are read although their
 * mark is not there yet.
 */
function alignedWith({ lastSeq, latest }: Conversation): (membership: MembershipBody) => MembershipBody {
  return (membership) => {
    const sentSeq = latest.findLast(({ senderId }) => senderId === membership.userId)?.seq ?? 0;
    const readSeq = Math.min(Math.max(membership.readSeq, sentSeq), lastSeq);
    const receivedSeq = Math.min(Math.max(membership.receivedSeq, readSeq), lastSeq);
    return { ...membership, readSeq, receivedSeq };
  };
}

const toConversation = ({ id, body }: StoredDocument<ConversationBody>): Conversation => ({ _id: id, ...body });
