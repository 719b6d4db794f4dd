import {
  type ForgottenMessages,
  type FrozenSpan,
  forget,
  freezeForgotten,
  noneForgotten,
  type SeqRange,
  spanOf,
  thawForgotten,
  timeOf,
  unknownSpan,
  whereForgotten,
} from './forgotten-messages.ts';
import { KNOWN_MESSAGES } from './limits.ts';
import { BLOCK_MESSAGES, type FrozenBlock, keyOf, MessageBlock } from './message-block.ts';

/** `sentMs`: ms since the epoch, never less than that of the message before, even if the clocks of nodes differ. */
export type KnownMessage = Readonly<{ senderId: string; seq: number; isReply: boolean; sentMs: number }>;

/**
 * The latest messages of a conversation, at most `KNOWN_MESSAGES`, without their content. It takes 30 bytes a message, about 150 KiB when full, and
 * at most 230 KiB when each message has another sender. States share the blocks; adding to a state that is not the latest one copies the last block.
 * Of the messages before them it keeps what shows that an id is new: 64 KiB, half a byte a message, and 8 bytes for an id
 * whose time is far from that of its message, at most 1 MiB for all of those.
 */
export type KnownMessages = Readonly<{
  /** In the order of their messages, without a gap. The first one may begin with messages that are no longer known. */
  blocks: readonly MessageBlock[];
  /** Messages in the last block. */
  count: number;
  /** The messages before the blocks. */
  forgotten: ForgottenMessages;
}>;

export const noMessages: KnownMessages = { blocks: [], count: 0, forgotten: noneForgotten };

type Blocks = Pick<KnownMessages, 'blocks' | 'count'>;

/** What is remembered of `MessageSent`. */
export type NewMessage = Readonly<{
  messageId: string;
  senderId: string;
  seq: number;
  replyTo: string | null;
  sentAt: string;
}>;

/** The sequence number of the latest message, 0 when there is none. */
function lastSeq({ blocks, count }: Blocks): number {
  return (blocks.at(-1)?.first ?? 1) + count - 1;
}

/** The sequence number of the oldest known message. */
export function firstSeq(known: Blocks): number {
  return Math.max(lastSeq(known) - KNOWN_MESSAGES + 1, known.blocks[0]?.first ?? 1);
}

/** How many messages are known. */
export function sizeOf(known: Blocks): number {
  return lastSeq(known) - firstSeq(known) + 1;
}

/** The message with this id, `undefined` when it is not known. */
export function messageById(known: KnownMessages, messageId: string): KnownMessage | undefined {
  const { blocks, count } = known;
  const key = keyOf(messageId);
  const oldest = firstSeq(known);
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
  const { blocks, block, forgotten } = blockFor(known, seq);
  block.add(keyOf(messageId), {
    senderId,
    isReply: replyTo !== null,
    sentMs: Math.max(latestMs(known), Date.parse(sentAt)),
  });
  const [oldest] = blocks;
  const { count } = block;
  if (oldest === undefined || oldest.first + oldest.count > seq - KNOWN_MESSAGES + 1)
    return { blocks, count, forgotten };
  return { blocks: blocks.slice(1), count, forgotten: forget(forgotten, spanOf(oldest)) };
}

/** The block that message `seq` is added to, and what includes it. */
function blockFor(
  { blocks, count, forgotten }: KnownMessages,
  seq: number,
): Pick<KnownMessages, 'blocks' | 'forgotten'> & { block: MessageBlock } {
  const last = blocks.at(-1);
  if (last === undefined || seq !== last.first + count) {
    // Sequence numbers have no gaps; after one, the messages before it would not be the latest ones.
    const block = new MessageBlock(seq);
    return { blocks: [block], block, forgotten: seq > 1 ? forget(noneForgotten, unknownSpan(1, seq - 1)) : forgotten };
  }
  if (count === BLOCK_MESSAGES) {
    const block = new MessageBlock(seq);
    return { blocks: [...blocks, block], block, forgotten };
  }
  if (last.count === count) return { blocks, block: last, forgotten };
  // Another state has added messages after those of this one.
  const block = last.copy(count);
  return { blocks: [...blocks.slice(0, -1), block], block, forgotten };
}

function latestMs({ blocks, count }: Blocks): number {
  return blocks.at(-1)?.sentMs(count - 1) ?? 0;
}

/**
 * Where a message with this unknown id may be, among those that are no longer known and have a sequence number above `after`. `[]`, nearly always: there
 * is none. Ids without a time are derived from an `Idempotency-Key` by the server; repetitions of those are detected by their claim.
 */
export function whereMayBe(known: KnownMessages, messageId: string, after: number): readonly SeqRange[] {
  const oldest = firstSeq(known);
  if (oldest <= after + 1) return [];
  const key = keyOf(messageId);
  const madeMs = timeOf(key);
  if (madeMs === null) return [];
  const ranges = whereForgotten(known.forgotten, key, madeMs, after);
  // The first block may begin with messages that are no longer known.
  const [block] = known.blocks;
  const seq = (block?.first ?? 0) + (block?.indexOf(key, block.count) ?? -1);
  return seq >= (block?.first ?? 1) && seq < oldest && seq > after ? [...ranges, { first: seq, last: seq }] : ranges;
}

/** The memory that the messages take, in bytes. */
export function bytesOf({ blocks, forgotten }: KnownMessages): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes, forgotten.bytes);
}

export type FrozenMessages = Readonly<{ forgotten: readonly FrozenSpan[]; blocks: readonly FrozenBlock[] }>;

export function freezeMessages({ blocks, count, forgotten }: KnownMessages): FrozenMessages {
  const frozen = blocks.map((block, i) => block.freeze(i === blocks.length - 1 ? count : block.count));
  return { forgotten: freezeForgotten(forgotten), blocks: frozen };
}

export function thawMessages(frozen: FrozenMessages): KnownMessages {
  const blocks = frozen.blocks.map((block) => MessageBlock.thaw(block));
  return { blocks, count: blocks.at(-1)?.count ?? 0, forgotten: thawForgotten(frozen.forgotten) };
}
