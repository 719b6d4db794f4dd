/** Messages that a block has room for, and those that it takes memory for at first. */
export const BLOCK_MESSAGES = 512;
const FIRST_MESSAGES = 8;
const FIRST_SENDERS = 2;
/** 32-bit words of a message: its id (4), the low bits of its time, and `high time << 16 | reply << 15 | sender`. */
const WORDS = 6;
const SENDER_WORDS = 3;
const REPLY = 1 << 15;
const SENDER = REPLY - 1;
const HIGH = 0x1_0000_0000;
/** An entry of the hash table: six bits of the hash above the index of the message plus one; 0 where it is empty. */
const INDEX_BITS = 10;
const INDEX = (1 << INDEX_BITS) - 1;
/** What a block takes beside its arrays, in bytes: measured. */
const OVERHEAD_BYTES = 900;

/** A UUID as it is stored and looked up: four 32-bit words, and their hash. */
export type IdKey = Readonly<{ a: number; b: number; c: number; d: number; hash: number }>;

/** A message without its content. `sentMs`: ms since the epoch. */
export type BlockMessage = Readonly<{ senderId: string; isReply: boolean; sentMs: number }>;

export type FrozenBlock = Readonly<{ first: number; senders: string; messages: string }>;

/**
 * Up to 512 messages with consecutive sequence numbers in typed arrays: 24 bytes a message, 4 in the hash table, and 12 for each sender. Messages are
 * only ever added, so that states can share a block: each state knows how many of its messages are its own, and does not see those after them.
 * Snapshots hold the arrays in the byte order of the machine, which is the same on all platforms that Parley supports.
 */
export class MessageBlock {
  /** Sequence number of the first message. */
  readonly first: number;
  #count = 0;
  #words: Int32Array;
  #table: Uint16Array;
  #senders: Int32Array;
  #senderCount = 0;

  constructor(first: number, capacity = FIRST_MESSAGES, senders = FIRST_SENDERS) {
    this.first = first;
    this.#words = new Int32Array(capacity * WORDS);
    this.#table = new Uint16Array(capacity * 2);
    this.#senders = new Int32Array(senders * SENDER_WORDS);
  }

  /** Messages of all states that share the block. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return OVERHEAD_BYTES + this.#words.byteLength + this.#table.byteLength + this.#senders.byteLength;
  }

  /** Only for a state that has all messages of the block, and not when it is full. */
  add(key: IdKey, { senderId, isReply, sentMs }: BlockMessage): void {
    const index = this.#count;
    if (index * WORDS === this.#words.length) this.#grow();
    const words = this.#words;
    const at = index * WORDS;
    words[at] = key.a;
    words[at + 1] = key.b;
    words[at + 2] = key.c;
    words[at + 3] = key.d;
    words[at + 4] = sentMs | 0;
    words[at + 5] = (Math.floor(sentMs / HIGH) << 16) | (isReply ? REPLY : 0) | this.#senderIndex(senderId);
    this.#enter(key.hash, index);
    this.#count++;
  }

  /** The index of a message among the first `count`, -1 when it is not among them. */
  indexOf({ a, b, c, d, hash }: IdKey, count: number): number {
    const table = this.#table;
    const words = this.#words;
    const mask = table.length - 1;
    // At most half of the table is used, so that the search ends.
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = table[slot] ?? 0;
      if (entry === 0) return -1;
      if (entry >>> INDEX_BITS !== hash >>> 26) continue;
      const index = (entry & INDEX) - 1;
      const at = index * WORDS;
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) {
        return index < count ? index : -1;
      }
    }
  }

  keyAt(index: number): IdKey {
    const at = index * WORDS;
    const [a, b] = [this.#words[at] ?? 0, this.#words[at + 1] ?? 0];
    const [c, d] = [this.#words[at + 2] ?? 0, this.#words[at + 3] ?? 0];
    return { a, b, c, d, hash: hashOf(a, b, c, d) };
  }

  at(index: number): BlockMessage {
    const flags = this.#words[index * WORDS + 5] ?? 0;
    const sender = (flags & SENDER) * SENDER_WORDS;
    const senderId =
      hex(this.#senders[sender] ?? 0) + hex(this.#senders[sender + 1] ?? 0) + hex(this.#senders[sender + 2] ?? 0);
    return { senderId, isReply: (flags & REPLY) !== 0, sentMs: this.sentMs(index) };
  }

  sentMs(index: number): number {
    const at = index * WORDS;
    return ((this.#words[at + 5] ?? 0) >>> 16) * HIGH + ((this.#words[at + 4] ?? 0) >>> 0);
  }

  /** A block of the first `count` messages, for a state that adds others than those that follow here. */
  copy(count: number): MessageBlock {
    return MessageBlock.#of(this.first, this.#words.subarray(0, count * WORDS), this.#sendersOf(count));
  }

  freeze(count: number): FrozenBlock {
    const messages = toBase64(this.#words.subarray(0, count * WORDS));
    return { first: this.first, senders: toBase64(this.#sendersOf(count)), messages };
  }

  static thaw({ first, senders, messages }: FrozenBlock): MessageBlock {
    return MessageBlock.#of(first, fromBase64(messages), fromBase64(senders));
  }

  static #of(first: number, words: Int32Array, senders: Int32Array): MessageBlock {
    const capacity = powerOfTwo(words.length / WORDS, FIRST_MESSAGES);
    const block = new MessageBlock(first, capacity, powerOfTwo(senders.length / SENDER_WORDS, FIRST_SENDERS));
    block.#words.set(words);
    block.#senders.set(senders);
    block.#senderCount = senders.length / SENDER_WORDS;
    block.#count = words.length / WORDS;
    block.#enterAll();
    return block;
  }

  /** The senders of the first `count` messages: those who first sent later have higher indexes. */
  #sendersOf(count: number): Int32Array {
    let senders = 0;
    for (let at = 5; at < count * WORDS; at += WORDS) {
      senders = Math.max(senders, ((this.#words[at] ?? 0) & SENDER) + 1);
    }
    return this.#senders.subarray(0, senders * SENDER_WORDS);
  }

  #senderIndex(senderId: string): number {
    const [a, b, c] = [word(senderId, 0), word(senderId, 8), word(senderId, 16)];
    const senders = this.#senders;
    let at = 0;
    for (; at < this.#senderCount * SENDER_WORDS; at += SENDER_WORDS) {
      if (senders[at + 2] === c && senders[at + 1] === b && senders[at] === a) return at / SENDER_WORDS;
    }
    if (at === senders.length) this.#senders = doubled(senders);
    this.#senders[at] = a;
    this.#senders[at + 1] = b;
    this.#senders[at + 2] = c;
    return this.#senderCount++;
  }

  #enter(hash: number, index: number): void {
    const table = this.#table;
    const mask = table.length - 1;
    let slot = hash & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = ((hash >>> 26) << INDEX_BITS) | (index + 1);
  }

  #enterAll(): void {
    const words = this.#words;
    for (let index = 0; index < this.#count; index++) {
      const at = index * WORDS;
      this.#enter(hashOf(words[at] ?? 0, words[at + 1] ?? 0, words[at + 2] ?? 0, words[at + 3] ?? 0), index);
    }
  }

  #grow(): void {
    this.#words = doubled(this.#words);
    this.#table = new Uint16Array(this.#table.length * 2);
    this.#enterAll();
  }
}

/** The key of a UUID, whose digits are in lower case. */
export function keyOf(uuid: string): IdKey {
  const a = word(uuid, 0);
  const b = (half(uuid, 9) << 16) | half(uuid, 14);
  const c = (half(uuid, 19) << 16) | half(uuid, 24);
  const d = word(uuid, 28);
  return { a, b, c, d, hash: hashOf(a, b, c, d) };
}

/** Spreads ids of any version. Ids that collide on purpose cost at most a scan of the blocks, a few microseconds. */
function hashOf(a: number, b: number, c: number, d: number): number {
  let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ Math.imul(d, 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}

/** Eight hexadecimal digits as a signed 32-bit number, four as an unsigned one. */
const word = (text: string, at: number): number => (half(text, at) << 16) | half(text, at + 4);
const half = (text: string, at: number): number =>
  (digit(text, at) << 12) | (digit(text, at + 1) << 8) | (digit(text, at + 2) << 4) | digit(text, at + 3);

/** Of a digit or a lower-case letter: `0` to `9` are 0x30 to 0x39, `a` to `f` 0x61 to 0x66. */
function digit(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return (code & 0xf) + (code >> 6) * 9;
}

const hex = (signed: number): string => (signed >>> 0).toString(16).padStart(8, '0');

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function powerOfTwo(atLeast: number, min: number): number {
  let power = min;
  while (power < atLeast) power *= 2;
  return power;
}

export function toBase64({ buffer, byteOffset, byteLength }: Int32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

export function fromBase64(text: string): Int32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Int32Array(bytes.buffer);
}
