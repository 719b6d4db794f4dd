import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  bytesOf,
  type FrozenMessages,
  freezeMessages,
  type KnownMessage,
  type KnownMessages,
  messageById,
  type NewMessage,
  noMessages,
  remember,
  sizeOf,
  thawMessages,
  whereMayBe,
} from '../../src/aggregates/conversation/known-messages.ts';
import { KNOWN_MESSAGES } from '../../src/aggregates/conversation/limits.ts';
import { BLOCK_MESSAGES } from '../../src/aggregates/conversation/message-block.ts';
import { at, id, uuid, uuidAt } from './fixtures.ts';

/** A message, and the latest time of those up to it. */
type Sent = NewMessage & Readonly<{ latestMs: number }>;

/** A state, and all of its messages as plain objects. */
type Version = Readonly<{ known: KnownMessages; messages: readonly Sent[] }>;

let made = 0;
/** Message `seq` with an id that no other has; half of the ids have a time. Every eighth was sent before the message before it. */
function message(seq: number, senders: number): NewMessage {
  const n = ++made;
  const seconds = seq % 8 === 0 ? seq - 3 : seq;
  return {
    messageId: n % 2 === 0 ? uuid(n) : uuidAt(seconds, n),
    senderId: id(0x100 + ((n * 7_919) % senders)),
    seq,
    replyTo: n % 5 === 0 ? uuid(1) : null,
    sentAt: at(seconds),
  };
}

function extended(version: Version, count: number, senders: number): Version {
  let { known } = version;
  const messages = [...version.messages];
  for (let i = 1; i <= count; i++) {
    const next = message(messages.length + 1, senders);
    known = remember(known, next);
    messages.push({ ...next, latestMs: Math.max(messages.at(-1)?.latestMs ?? 0, Date.parse(next.sentAt)) });
  }
  return { known, messages };
}

const empty: Version = { known: noMessages, messages: [] };
/** Around the ends of blocks, and around the first message that is forgotten; with the last one, the oldest known message is the last of its block. */
const sizes = [
  0,
  1,
  500,
  BLOCK_MESSAGES,
  4_990,
  KNOWN_MESSAGES,
  KNOWN_MESSAGES + 100,
  KNOWN_MESSAGES + BLOCK_MESSAGES - 1,
];
const roots = sizes.map((count) => extended(empty, count, 300));

/** What a state must answer, from its plain messages. */
function expected({ messages }: Version, messageId: string): KnownMessage | undefined {
  const index = messages.findLastIndex((one) => one.messageId === messageId);
  const found = messages[index];
  if (found === undefined || index < messages.length - KNOWN_MESSAGES) return undefined;
  return { senderId: found.senderId, seq: found.seq, isReply: found.replyTo !== null, sentMs: found.latestMs };
}

/** Compares a state with its messages: for each message next to an edge, a few others, and messages that only other states have. */
function check(version: Version, others: readonly string[]): void {
  const { known, messages } = version;
  expect(sizeOf(known)).toBe(Math.min(messages.length, KNOWN_MESSAGES));
  const oldest = messages.length - KNOWN_MESSAGES;
  const edges = [0, 1, oldest - 1, oldest, oldest + 1, messages.length - 2, messages.length - 1];
  const some = Array.from({ length: 8 }, (_, i) => (i * 631) % Math.max(1, messages.length));
  const own = [...edges, ...some].flatMap((index) => messages[index]?.messageId ?? []);
  for (const messageId of [...own, ...others]) {
    expect(messageById(known, messageId)).toStrictEqual(expected(version, messageId));
  }
  // An id of its own that is no longer known may be where it is, unless it was searched for beyond that; a new one is nowhere.
  for (const { messageId, seq } of [0, 1, oldest - BLOCK_MESSAGES, oldest - 1].flatMap(
    (index) => messages[index] ?? [],
  )) {
    const isForgotten = seq <= oldest && messageId[14] === '7';
    const includes = (after: number) =>
      whereMayBe(known, messageId, after).some(({ first, last }) => first <= seq && seq <= last);
    expect(includes(0)).toBe(isForgotten);
    expect(includes(seq - 1)).toBe(isForgotten);
    expect(includes(seq)).toBe(false);
  }
  expect(whereMayBe(known, uuidAt(messages.length + 1), 0)).toEqual([]);
  expect(whereMayBe(known, uuid(1), 0)).toEqual([]);
}

const stored = (known: KnownMessages): string => JSON.stringify(freezeMessages(known));
const restored = (text: string): KnownMessages => thawMessages(JSON.parse(text) as FrozenMessages);

it('a state knows its own latest messages, whatever was added to the states that it shares memory with', () => {
  const step = fc.record({
    from: fc.nat(),
    count: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 9 }) },
      { weight: 2, arbitrary: fc.integer({ min: 500, max: 1_100 }) },
    ),
    senders: fc.constantFrom(1, 3, 1_000),
    restore: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.constantFrom(...roots), fc.array(step, { minLength: 2, maxLength: 8 }), (root, steps) => {
      const versions: Version[] = [root];
      for (const { from, count, senders, restore } of steps) {
        const base = versions[from % versions.length] ?? root;
        const before = stored(base.known);
        const start = restore ? { ...base, known: restored(before) } : base;
        versions.push(extended(start, count, senders));
        expect(stored(base.known)).toBe(before);
      }
      const latest = versions.flatMap(({ messages }) => messages.at(-1)?.messageId ?? []);
      for (const version of versions) {
        check(version, latest);
        check({ ...version, known: restored(stored(version.known)) }, latest);
        expect(bytesOf(version.known)).toBeLessThanOrEqual(256 * 1024);
      }
      const [last] = versions.slice(-1);
      if (last !== undefined) expect(stored(last.known)).toBe(stored(last.messages.reduce(remember, noMessages)));
    }),
    { numRuns: 25 },
  );
});

it('a full conversation takes at most 256 KiB, also when each message has another sender, and little for older messages', () => {
  const { known } = extended(empty, 3 * KNOWN_MESSAGES, 100_000);
  expect(sizeOf(known)).toBe(KNOWN_MESSAGES);
  expect(known.blocks.length).toBeLessThanOrEqual(11);
  const { forgotten } = known;
  expect(bytesOf({ ...known, forgotten: noMessages.forgotten })).toBeLessThanOrEqual(256 * 1024);
  expect(bytesOf({ ...noMessages, forgotten })).toBeLessThanOrEqual(24 * 1024);
  expect(bytesOf(extended(empty, 1_000, 10).known)).toBeLessThanOrEqual(32 * 1024);
  expect(bytesOf(extended(empty, 8, 2).known)).toBeLessThanOrEqual(1_200);
});

it('ids that differ in a single digit are different messages', () => {
  const base = '01234567-89ab-7def-8123-456789abcdef';
  const ids = [...base].flatMap((digit, index) => {
    if (digit === '-') return [];
    return [`${base.slice(0, index)}${digit === '0' ? 'f' : '0'}${base.slice(index + 1)}`];
  });
  let known = noMessages;
  for (const [i, messageId] of [base, ...ids].entries()) {
    expect(messageById(known, messageId)).toBeUndefined();
    known = remember(known, { ...message(i + 1, 1), messageId });
  }
  for (const [i, messageId] of [base, ...ids].entries()) expect(messageById(known, messageId)?.seq).toBe(i + 1);
});

it('a message whose sequence number does not follow is known alone', () => {
  const { known } = extended(empty, 600, 2);
  const later = { ...message(900, 1), messageId: uuid(0xffff) };
  for (const after of [remember(known, later), remember(noMessages, later)]) {
    expect(sizeOf(after)).toBe(1);
    expect(messageById(after, later.messageId)?.seq).toBe(900);
  }
});
