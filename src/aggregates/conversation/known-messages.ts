import { List, Map as PersistentMap } from 'immutable';
import { KNOWN_MESSAGES } from './limits.ts';

/** `sentMs`: ms since the epoch, never less than that of the message before, even if the clocks of nodes differ. */
export type KnownMessage = Readonly<{ senderId: string; seq: number; isReply: boolean; sentMs: number }>;

/** The latest messages of a conversation, at most `KNOWN_MESSAGES`, without their content. */
export type KnownMessages = Readonly<{
  byId: PersistentMap<string, KnownMessage>;
  /** Their ids: message `seq` has index `seq % KNOWN_MESSAGES`, where it replaces the oldest one. */
  ring: List<string | undefined>;
  /** The `sentMs` of the latest message. */
  latestMs: number;
}>;

export const noMessages: KnownMessages = { byId: PersistentMap(), ring: List(), latestMs: 0 };

/** What is remembered of `MessageSent`. */
export type NewMessage = Readonly<{
  messageId: string;
  senderId: string;
  seq: number;
  replyTo: string | null;
  sentAt: string;
}>;

/** Adds a message, and removes the oldest one when there would be too many. */
export function remember(known: KnownMessages, message: NewMessage): KnownMessages {
  const { messageId, senderId, seq, replyTo, sentAt } = message;
  const latestMs = Math.max(known.latestMs, Date.parse(sentAt));
  const oldest = replacedBy(known, seq);
  const others = oldest === undefined ? known.byId : known.byId.delete(oldest);
  return {
    byId: others.set(messageId, { senderId, seq, isReply: replyTo !== null, sentMs: latestMs }),
    ring: known.ring.set(seq % KNOWN_MESSAGES, messageId),
    latestMs,
  };
}

/**
 * Whether an unknown id may belong to a message that is no longer known, judged by the time in the id (UUIDv7): a client makes the id before it sends
 * the message, so an id made after the oldest known message was sent is new. Ids without a time are derived from an `Idempotency-Key` by the
 * server; repetitions of those are detected by their claim.
 */
export function mayBeForgotten(known: KnownMessages, messageId: string, lastSeq: number): boolean {
  const oldest = replacedBy(known, lastSeq + 1);
  const madeMs = uuidv7Time(messageId);
  if (oldest === undefined || madeMs === null) return false;
  return madeMs <= (known.byId.get(oldest)?.sentMs ?? 0);
}

/** The id that message `seq` replaces; `undefined` while there is room. */
function replacedBy(known: KnownMessages, seq: number): string | undefined {
  return known.ring.get(seq % KNOWN_MESSAGES);
}

/** The time in a UUIDv7 (RFC 9562, section 5.7), ms since the epoch; `null` for other versions. */
function uuidv7Time(uuid: string): number | null {
  return uuid[14] === '7' ? Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16) : null;
}

/** Each sender is listed once. Messages: id, sequence number, index of the sender, 1 for a reply, `sentMs`. */
export type FrozenMessages = Readonly<{
  senders: readonly string[];
  messages: readonly (readonly [string, number, number, number, number])[];
  latestMs: number;
}>;

export function freezeMessages(known: KnownMessages): FrozenMessages {
  const senders = new Map<string, number>();
  const messages = [...known.byId]
    .sort(([, a], [, b]) => a.seq - b.seq)
    .map(([id, { senderId, seq, isReply, sentMs }]) => {
      const sender = senders.get(senderId) ?? senders.size;
      senders.set(senderId, sender);
      return [id, seq, sender, isReply ? 1 : 0, sentMs] as const;
    });
  return { senders: [...senders.keys()], messages, latestMs: known.latestMs };
}

export function thawMessages({ senders, messages, latestMs }: FrozenMessages): KnownMessages {
  const byId = messages.map(([id, seq, sender, reply, sentMs]): [string, KnownMessage] => [
    id,
    { senderId: senders[sender] ?? '', seq, isReply: reply === 1, sentMs },
  ]);
  const ring = List<string | undefined>().withMutations((slots) => {
    for (const [id, seq] of messages) slots.set(seq % KNOWN_MESSAGES, id);
  });
  return { byId: PersistentMap(byId), ring, latestMs };
}
