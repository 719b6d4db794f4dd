import type { Message } from '../../aggregates/conversation/message.ts';
import { Refusal } from '../../kernel/errors.ts';
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

/**
 * `next`: the `before` or `after` of the following messages, `null` when there are none: never because `messages` lags, so that a page may also be
 * empty and have a `next`.
 */
export type MessageList = Readonly<{ items: readonly Message[]; next: number | null }>;

/**
 * Reads messages; the projections are `conversations` and `messages`, of which either may lag. Messages stay when their conversation is deleted or a
 * member is removed, so callers must check both first.
 */
export interface MessagesView {
  /**
   * The latest ones are taken from the conversation itself, without a query. Throws `not-yet-visible` when messages before others of the page cannot be
   * read in time, because `messages` lags.
   */
  range(conversation: Conversation, range: MessageRange): Promise<MessageList>;
  message(conversation: Pick<Conversation, '_id' | 'latest'>, messageId: string): Promise<Message | null>;
}

/** How long a page waits for `messages` to reach what the conversation contains, in ms. */
const PATIENCE_MS = 5_000;

export function createMessagesView(readModels: ReadModels): MessagesView {
  type Reading = Readonly<{ above: number; below: number; direction: 'asc' | 'desc'; limit: number }>;
  const read = async (conversationId: string, { above, below, direction, limit }: Reading) => {
    const query = { filter: { _id: idsBetween(conversationId, above, below) }, sort: { fields: [], direction }, limit };
    const { items } = await readModels.find<MessageBody>(MESSAGES, query);
    return items.map(({ body }) => body);
  };
  /** The messages below `below`, newest first, without a gap: waits for `messages` when it does not have the first of them yet. */
  const readBack = async ({ _id, activity }: Conversation, above: number, below: number, limit: number) => {
    const reading: Reading = { above, below, direction: 'desc', limit };
    const isWhole = (found: readonly StoredMessage[]): boolean => found[0]?.seq === below - 1;
    if (below <= above + 1) return [];
    let found = await read(_id, reading);
    if (isWhole(found)) return found;
    if (await readModels.waitFor(['messages'], activity, PATIENCE_MS)) found = await read(_id, reading);
    if (isWhole(found)) return found;
    throw new Refusal('not-yet-visible', 'these messages are not visible yet', { retryAfterMs: 1_000 });
  };
  return {
    async range(conversation, range) {
      const { _id: conversationId, lastSeq } = conversation;
      const { above, limit } = range;
      if ('after' in range) {
        const after = Math.max(range.after, above);
        const found = await read(conversationId, { above: after, below: lastSeq + 1, direction: 'asc', limit });
        const last = found.at(-1)?.seq ?? after;
        return { items: found.map((stored) => toMessage(conversationId, stored)), next: last < lastSeq ? last : null };
      }
      const before = Math.min(range.before ?? lastSeq + 1, lastSeq + 1);
      const found = fromSummary(conversation, before, above, limit);
      if (found.length < limit) {
        const below = found.at(-1)?.seq ?? before;
        found.push(...(await readBack(conversation, above, below, limit - found.length)));
      }
      const last = found.at(-1)?.seq ?? 0;
      return { items: found.map((stored) => toMessage(conversationId, stored)), next: last > above + 1 ? last : null };
    },
    async message({ _id: conversationId, latest }, messageId) {
      const shown = latest.find((message) => message.messageId === messageId);
      if (shown !== undefined) return toMessage(conversationId, shown);
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

/** What the conversation's own document contains of a range, newest first. */
function fromSummary({ latest }: Conversation, before: number, above: number, limit: number): StoredMessage[] {
  const fitting = latest.filter(({ seq }) => seq < before && seq > above);
  // The latest messages are consecutive: those that fit are the newest of the range, or none of them is.
  return fitting.at(-1)?.seq === before - 1 ? fitting.toReversed().slice(0, limit) : [];
}
