import type { Message } from '../../aggregates/conversation/message.ts';
import { LAST_SEQ, type MessageBody, messageDocumentId } from '../models/messages.ts';
import { type StoredMessage, toMessage } from '../models/stored-message.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { MESSAGES } from './collections.ts';
import type { Conversation } from './conversations.ts';

/**
 * Which messages of a conversation, by sequence number: those below `before` (default: up to the last), newest first, or those above `after`, oldest
 * first; in both cases only those above `above`, where the reader joined.
 */
export type MessageRange = Readonly<{ above: number; limit: number }> &
  (Readonly<{ before?: number | undefined }> | Readonly<{ after: number }>);

/** `next`: the `before` or `after` of the following messages, `null` when there are none. */
export type MessageList = Readonly<{ items: readonly Message[]; next: number | null }>;

/**
 * Reads messages; the projections are `conversations` and `messages`. Messages stay when their conversation is deleted or a member is removed, so
 * callers must check both first.
 */
export interface MessagesView {
  /** The latest ones are taken from the conversation itself, without a query. */
  range(conversation: Conversation, range: MessageRange): Promise<MessageList>;
  message(conversationId: string, messageId: string): Promise<Message | null>;
}

export function createMessagesView(readModels: ReadModels): MessagesView {
  type Reading = Readonly<{ above: number; below: number; direction: 'asc' | 'desc'; limit: number }>;
  const read = async (conversationId: string, { above, below, direction, limit }: Reading) => {
    const query = { filter: { _id: idsBetween(conversationId, above, below) }, sort: { fields: [], direction }, limit };
    const { items } = await readModels.find<MessageBody>(MESSAGES, query);
    return items.map(({ body }) => body);
  };
  return {
    async range(conversation, range) {
      const { _id: conversationId, lastSeq } = conversation;
      const { above, limit } = range;
      if ('after' in range) {
        const found = await read(conversationId, {
          above: Math.max(range.after, above),
          below: lastSeq + 1,
          direction: 'asc',
          limit,
        });
        const last = found.at(-1)?.seq ?? lastSeq;
        return { items: found.map((stored) => toMessage(conversationId, stored)), next: last < lastSeq ? last : null };
      }
      const before = Math.min(range.before ?? lastSeq + 1, lastSeq + 1);
      const found =
        fromSummary(conversation, before, above, limit) ??
        (await read(conversationId, { above, below: before, direction: 'desc', limit }));
      const last = found.at(-1)?.seq ?? 0;
      return { items: found.map((stored) => toMessage(conversationId, stored)), next: last > above + 1 ? last : null };
    },
    async message(conversationId, messageId) {
      // An id is unique only within its conversation.
      const filter = { messageId, _id: idsBetween(conversationId, 0, LAST_SEQ) };
      const { items } = await readModels.find<MessageBody>(MESSAGES, { filter, limit: 1 });
      const [found] = items;
      return found === undefined ? null : toMessage(conversationId, found.body);
    },
  };
}

/** The ids of the messages between two sequence numbers, which are not included. */
const idsBetween = (conversationId: string, above: number, below: number) => ({
  gt: messageDocumentId(conversationId, above),
  lt: messageDocumentId(conversationId, below),
});

/** The range, newest first, when the conversation's own document contains all of it. */
function fromSummary(
  { latest }: Conversation,
  before: number,
  above: number,
  limit: number,
): readonly StoredMessage[] | null {
  const fitting = latest.filter(({ seq }) => seq < before && seq > above);
  const reachesDown = (latest[0]?.seq ?? 1) <= above + 1;
  return fitting.length >= limit || reachesDown ? fitting.toReversed().slice(0, limit) : null;
}
