import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import { type Message, messageOf } from '../../aggregates/conversation/message.ts';

type MessageSent = Extract<ConversationEvent, { type: 'MessageSent' }>;

/** A message as it is stored. `replyTo` and `mentions` are left out where there are none, which is usual. */
export type StoredMessage = Readonly<{
  messageId: string;
  seq: number;
  senderId: string;
  /** `null` once its sender was erased. */
  content: string | null;
  sentAt: string;
  replyTo?: string;
  mentions?: readonly string[];
}>;

export function storeMessage({ data }: MessageSent): StoredMessage {
  const { messageId, seq, senderId, content, sentAt, replyTo, mentions } = data;
  return {
    messageId,
    seq,
    senderId,
    content,
    sentAt,
    ...(replyTo === null ? {} : { replyTo }),
    ...(mentions.length === 0 ? {} : { mentions }),
  };
}

export function toMessage(conversationId: string, stored: StoredMessage): Message {
  return messageOf({ replyTo: null, mentions: [], ...stored, conversationId });
}
