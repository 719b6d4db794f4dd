import type { ConversationEvent } from './events.ts';

type MessageSent = Extract<ConversationEvent, { type: 'MessageSent' }>;

/** A message as its readers see it (spec, section 9). `content` is `null` when it was deleted or its sender was erased. */
export type Message = Readonly<{
  _id: string;
  conversationId: string;
  /** Counts the messages of the conversation from 1. */
  seq: number;
  senderId: string;
  content: string | null;
  sentAt: string;
  editedAt: string | null;
  deletedAt: string | null;
  replyTo: string | null;
  mentions: readonly string[];
  reactions: Readonly<Record<string, readonly string[]>>;
}>;

type Sent = Omit<MessageSent['data'], 'mentions'> & Readonly<{ mentions: readonly string[] }>;

/** The message as it was sent. */
export function messageOf(sent: Sent): Message {
  const { messageId, conversationId, seq, senderId, content, sentAt, replyTo, mentions } = sent;
  return {
    _id: messageId,
    conversationId,
    seq,
    senderId,
    content,
    sentAt,
    editedAt: null,
    deletedAt: null,
    replyTo,
    mentions,
    reactions: {},
  };
}
