import { KNOWN_MESSAGES } from './limits.ts';
import { BLOCK_MESSAGES, type FrozenBlock, keyOf, MessageBlock } from './message-block.ts';

/** `sentMs`: ms since the epoch, never less than that of the message before, even if the clocks of nodes differ. */
export type KnownMessage = Readonly<{ senderId: string; seq: number; isReply: boolean; sentMs: number }>;

/**
 * The latest messages of a conversation, at most `KNOWN_MESSAGES`, without their content. It takes 30 bytes a message, about 150 KiB when full, and
 * at most 230 KiB when each message has another sender. States share the blocks; adding to a state that is not the latest one copies the last block.
 */
export type KnownMessages = Readonly<{
  /** In the order of their messages, without a gap. The first one may begin with messages that are no longer known. */
  blocks: readonly MessageBlock[];
  /** Messages in the last block. */
  count: number;
}>;

export const noMessages: KnownMessages = { blocks: [], count: 0 };

/** What is remembered of `MessageSent`. */
export type NewMessage = Readonly<{
  messageId: string;
  senderId: string;
  seq: number;
  replyTo: string | null;
  sentAt: string;
}>;

/** The sequence number of the latest message, 0 when there is none. */
function lastSeq({ blocks, count }: KnownMessages): number {
  return (blocks.at(-1)?.first ?? 1) + count - 1;
}

/** The sequence number of the oldest known message. */
function firstSeq(known: KnownMessages): number {
  return Math.max(lastSeq(known) - KNOWN_MESSAGES + 1, known.blocks[0]?.first ?? 1);
}

/** How many messages are known. */
export function sizeOf(known: KnownMessages): number {
  return lastSeq(known) - firstSeq(known) + 1;
}

/** The message with this id, `undefined` when it is not known. */
export function messageById({ blocks, count }: KnownMessages, messageId: string): KnownMessage | undefined {
  const key = keyOf(messageId);
  const oldest = firstSeq({ blocks, count });
  for (let i = blocks.length - 1; i >= 0; i--) {
    const block = blocks[i];
    const index = block?.indexOf(key, i === blocks.length - 1 ? count : block.count) ?? -1;
    if (block === undefined || index === -1 || block.first + index < oldest) continue;
    return { seq: block.first + index, ...block.at(index) };
  }
  return undefined;
}

/** Adds a message, and removes the oldest one when there would be too many. */
export function remember(
  known: KnownMessages,
  { messageId, senderId, seq, replyTo, sentAt }: NewMessage,
): KnownMessages {
  const { blocks, block } = blockFor(known, seq);
  block.add(keyOf(messageId), {
    senderId,
    isReply: replyTo !== null,
    sentMs: Math.max(latestMs(known), Date.parse(sentAt)),
  });
  const [oldest] = blocks;
  const isForgotten = oldest !== undefined && oldest.first + oldest.count <= seq - KNOWN_MESSAGES + 1;
  return { blocks: isForgotten ? blocks.slice(1) : blocks, count: block.count };
}

/** The block that message `seq` is added to, and the blocks that include it. */
function blockFor(
  { blocks, count }: KnownMessages,
  seq: number,
): { blocks: readonly MessageBlock[]; block: MessageBlock } {
  const last = blocks.at(-1);
  if (last === undefined || seq !== last.first + count) {
    // Sequence numbers have no gaps; after one, the messages before it would not be the latest ones.
    const block = new MessageBlock(seq);
    return { blocks: [block], block };
  }
  if (count === BLOCK_MESSAGES) {
    const block = new MessageBlock(seq);
    return { blocks: [...blocks, block], block };
  }
  if (last.count === count) return { blocks, block: last };
  // Another state has added messages after those of this one.
  const block = last.copy(count);
  return { blocks: [...blocks.slice(0, -1), block], block };
}

function latestMs({ blocks, count }: KnownMessages): number {
  return blocks.at(-1)?.sentMs(count - 1) ?? 0;
}

/**
 * Whether an unknown id may belong to a message that is no longer known, judged by the time in the id (UUIDv7): a client makes the id before it sends
 * the message, so an id made after the oldest known message was sent is new. Ids without a time are derived from an `Idempotency-Key` by the
 * server; repetitions of those are detected by their claim.
 */
export function mayBeForgotten(known: KnownMessages, messageId: string): boolean {
  const [oldest] = known.blocks;
  if (oldest === undefined || sizeOf(known) < KNOWN_MESSAGES) return false;
  const madeMs = uuidv7Time(messageId);
  return madeMs !== null && madeMs <= oldest.sentMs(firstSeq(known) - oldest.first);
}

/** The time in a UUIDv7 (RFC 9562, section 5.7), ms since the epoch; `null` for other versions. */
function uuidv7Time(uuid: string): number | null {
  return uuid[14] === '7' ? Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16) : null;
}

/** The memory that the messages take, in bytes. */
export function bytesOf({ blocks }: KnownMessages): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function freezeMessages({ blocks, count }: KnownMessages): readonly FrozenBlock[] {
  return blocks.map((block, i) => block.freeze(i === blocks.length - 1 ? count : block.count));
}

export function thawMessages(frozen: readonly FrozenBlock[]): KnownMessages {
  const blocks = frozen.map((block) => MessageBlock.thaw(block));
  return { blocks, count: blocks.at(-1)?.count ?? 0 };
}
