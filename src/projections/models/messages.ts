import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import { type StoredMessage, storeMessage } from './stored-message.ts';
import type { ProjectionOf } from './projection.ts';

/** One message; `messages/messages`, by `messageDocumentId`. */
export type MessageBody = StoredMessage & Readonly<{ conversationId: string }>;

/** Digits of a sequence number in an id: ids of one conversation sort by it. */
const DIGITS = 12;
/** Above every sequence number. */
export const LAST_SEQ = 10 ** DIGITS - 1;

/**
 * A message is known by its place in its conversation: pages are then read off the ids themselves, and no index has to be kept for them.
 * `seq` may also be one that no message has, as the end of a range.
 */
export const messageDocumentId = (conversationId: string, seq: number): string =>
  `${conversationId}:${String(seq).padStart(DIGITS, '0')}`;

/**
 * Every message. Those of a deleted conversation stay behind, since its last event does not name them: whoever reads them looks at the
 * conversation first.
 */
export const messages: ProjectionOf<Extract<ConversationEvent, { type: 'MessageSent' }>, MessageBody> = {
  name: 'messages',
  version: 1,
  collections: [{ name: 'messages', indexes: [{ fields: ['messageId'] }] }],
  handles: ['MessageSent'],
  touches: ({ data }) => [
    { collection: 'messages', id: messageDocumentId(data.conversationId, data.seq), fresh: true },
  ],
  evolve: (_ref, message, event) => message ?? { conversationId: event.data.conversationId, ...storeMessage(event) },
};
