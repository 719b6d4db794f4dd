import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import type { UserEvent } from '../../aggregates/user/events.ts';
import { defineProjection } from './projection.ts';
import { type StoredMessage, storeMessage } from './stored-message.ts';

/** One message; `messages/messages`, by `messageDocumentId`. */
export type MessageBody = StoredMessage & Readonly<{ conversationId: string }>;

const COLLECTION = 'messages';
/** Digits of a sequence number in an id, so that the ids of one conversation sort by it. */
const DIGITS = 12;
/** Above every sequence number. */
export const LAST_SEQ = 10 ** DIGITS - 1;

/**
 * A message is identified by its place in its conversation: pages are then read by the ids themselves, and no index has to be kept for them.
 * `seq` may also be one that no message has, as the end of a range.
 */
export const messageDocumentId = (conversationId: string, seq: number): string =>
  `${conversationId}:${String(seq).padStart(DIGITS, '0')}`;

/**
 * All messages. Those of a deleted conversation stay, because its last event does not name them: a reader checks the conversation first.
 */
export const messages = defineProjection<MessageBody, ConversationEvent | UserEvent>({
  name: 'messages',
  version: 1,
  collections: [{ name: COLLECTION, indexes: [{ fields: ['messageId'] }, { fields: ['senderId'] }] }],
  on: {
    MessageSent: {
      touches: ({ data }) => [
        { collection: COLLECTION, id: messageDocumentId(data.conversationId, data.seq), fresh: true },
      ],
      evolve: (message, event) => message ?? { conversationId: event.data.conversationId, ...storeMessage(event) },
    },
    UserErased: {
      touches: () => [],
      finds: ({ data }) => [{ collection: COLLECTION, filter: { senderId: data.userId } }],
      evolve: (message) => message && { ...message, content: null },
    },
  },
});
