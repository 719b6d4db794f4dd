import type { Message } from '../../aggregates/conversation/message.ts';
import type { Page } from '../../ports/documents.ts';
import type { MembershipBody } from '../models/memberships.ts';
import type { MessageBody } from '../models/messages.ts';
import { toMessage } from '../models/stored-message.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { MEMBERSHIPS, MESSAGES } from './collections.ts';
import { createConversationsView } from './conversations.ts';
import { afterOption } from './list.ts';

/** A conversation that a person is in, and what is stored of them in it. */
export type PersonalConversation = Readonly<{
  _id: string;
  kind: 'direct' | 'group';
  name: string | null;
  ownerId: string | null;
}> &
  Omit<MembershipBody, 'conversationId' | 'userId' | 'since'>;

/** Everything about one person in the read models, in pages; the projections are `conversations`, `messages` and `memberships`. */
export interface PersonalDataView {
  conversationsOf(userId: string): AsyncIterable<readonly PersonalConversation[]>;
  /** All messages that the person has sent, also in conversations that they have left. */
  messagesOf(userId: string): AsyncIterable<readonly Message[]>;
}

/** Documents in memory at once. A message has up to 16 KiB of characters. */
const PAGE = 100;

export function createPersonalDataView(readModels: ReadModels): PersonalDataView {
  const conversations = createConversationsView(readModels);

  async function conversationOf({ conversationId }: MembershipBody, userId: string): Promise<PersonalConversation[]> {
    const own = await conversations.ofMember(conversationId, userId);
    if (own === null) return [];
    const { _id, kind, name, ownerId } = own.conversation;
    const { joinedSeq, joinedAt, readSeq, receivedSeq, lastOpenedAt } = own.membership;
    return [{ _id, kind, name, ownerId, joinedSeq, joinedAt, readSeq, receivedSeq, lastOpenedAt }];
  }

  return {
    async *conversationsOf(userId) {
      let next: string | null = null;
      do {
        const query = { filter: { userId }, limit: PAGE, ...afterOption(next) };
        const page: Page<MembershipBody> = await readModels.find<MembershipBody>(MEMBERSHIPS, query);
        yield (await Promise.all(page.items.map(({ body }) => conversationOf(body, userId)))).flat();
        next = page.next;
      } while (next !== null);
    },

    async *messagesOf(userId) {
      let next: string | null = null;
      do {
        const query = { filter: { senderId: userId }, limit: PAGE, ...afterOption(next) };
        const page: Page<MessageBody> = await readModels.find<MessageBody>(MESSAGES, query);
        yield page.items.map(({ body }) => toMessage(body.conversationId, body));
        next = page.next;
      } while (next !== null);
    },
  };
}
