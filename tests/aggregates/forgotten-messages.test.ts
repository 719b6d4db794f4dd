import { describe, expect, it } from 'vitest';
import {
  type ForgottenMessages,
  forget,
  freezeForgotten,
  noneForgotten,
  spanOf,
  thawForgotten,
  timeOf,
  whereForgotten,
} from '../../src/aggregates/conversation/forgotten-messages.ts';
import { BLOCK_MESSAGES, keyOf, MessageBlock } from '../../src/aggregates/conversation/message-block.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { alice, at, uuid, uuidAt } from './fixtures.ts';

const START_MS = Date.parse(at(0));
const random = seededRandom('forgotten messages');
/** Made this many seconds after the start, with random digits. */
const idAt = (seconds: number): string => random.uuid(START_MS + Math.round(seconds * 1_000));

/** A full block; its messages are sent one a second, and have the ids `idOf(seq)`. */
function blockOf(first: number, idOf: (seq: number) => string): MessageBlock {
  const block = new MessageBlock(first);
  for (let seq = first; seq < first + BLOCK_MESSAGES; seq++) {
    block.add(keyOf(idOf(seq)), { senderId: alice, isReply: false, sentMs: START_MS + seq * 1_000 });
  }
  return block;
}

/** So many blocks forgotten, and the ids in them by their sequence numbers. */
function forgotten(blocks: number, made: (seq: number) => string): { ids: string[]; messages: ForgottenMessages } {
  const ids: string[] = [''];
  let messages = noneForgotten;
  for (let i = 0; i < blocks; i++) {
    const block = blockOf(i * BLOCK_MESSAGES + 1, (seq) => {
      ids[seq] = made(seq);
      return ids[seq];
    });
    messages = forget(messages, spanOf(block));
  }
  return { ids, messages };
}

function where(messages: ForgottenMessages, id: string, after = 0) {
  const key = keyOf(id);
  return whereForgotten(messages, key, timeOf(key) ?? Number.NaN, after);
}

const restored = (messages: ForgottenMessages): ForgottenMessages =>
  thawForgotten(JSON.parse(JSON.stringify(freezeForgotten(messages))));

/** An hour ahead, an hour late, or right. */
const skewOf = (seq: number): number => [0, 0, 0, 0, 3_600, 0, 0, -3_600, 0, 0][seq % 10] ?? 0;

describe('forgotten messages', () => {
  it.each([
    ['clocks are right', (seq: number) => idAt(seq)],
    ['the clocks of some clients are an hour off', (seq: number) => idAt(seq + skewOf(seq))],
    ['ids have any time', (seq: number) => idAt((seq * 7_919) % 1_000_000)],
  ])('always include a message by its id, also after a restart, when %s', (_, made) => {
    const { ids, messages } = forgotten(80, made);
    for (const version of [messages, restored(messages)]) {
      const some = ids.keys().filter((seq) => seq > 0 && (seq % 97 === 0 || seq % BLOCK_MESSAGES === 0));
      for (const seq of some) {
        const id = ids[seq] ?? '';
        const includes = (after: number) =>
          where(version, id, after).some(({ first, last }) => first <= seq && seq <= last);
        expect(includes(0)).toBe(true);
        expect(includes(seq - 1)).toBe(true);
        expect(where(version, id, seq).every(({ first, last }) => seq < first && first <= last)).toBe(true);
      }
    }
    expect(restored(messages)).toStrictEqual(messages);
  });

  it('exclude every new id without a search while the clock of its client is right, and nearly every other', () => {
    const { ids, messages } = forgotten(80, (seq) => idAt(seq));
    for (let i = 0; i < 1_000; i++) expect(where(messages, idAt(ids.length + i / 100))).toEqual([]);
    // 30 seconds to 8 hours late: of the newest 64 spans, each holds 512 s.
    const late = Array.from({ length: 2_000 }, (_, i) => where(messages, idAt(ids.length - 30 - i * 14)));
    expect(late.filter((ranges) => ranges.length > 0).length).toBeLessThan(10);
  });

  it('exclude every new id although some clients send ids with any time', () => {
    const { ids, messages } = forgotten(200, (seq) => idAt(seq % 100 === 0 ? seq + 86_400 * (seq % 7) : seq));
    const found = Array.from({ length: 1_000 }, (_, i) => where(messages, idAt(ids.length + i)).length);
    expect(found.reduce((sum, each) => sum + each, 0)).toBe(0);
  });

  it('exclude nearly every new id when all ids have any time', () => {
    const { ids, messages } = forgotten(100, (seq) => idAt((seq * 7_919) % 1_000_000));
    const found = Array.from({ length: 1_000 }, (_, i) => where(messages, idAt(ids.length + i)).length);
    expect(found.reduce((sum, each) => sum + each, 0)).toBeLessThan(200);
  });

  it('do not count ids without a time', () => {
    const { messages } = forgotten(2, (seq) => uuid(seq));
    expect(messages.times.maxMs).toBe(-1);
    expect(whereForgotten(messages, keyOf(uuidAt(5)), START_MS + 5_000, 0)).toEqual([]);
  });

  it.each([
    ['right', 0, 600],
    ['off for 1 % of the messages', 5, 900],
    ['off for all messages', BLOCK_MESSAGES, 1_700],
  ])('take bounded memory for millions of messages when clocks are %s', (_, odd, kibibytes) => {
    const template = spanOf(blockOf(1, (seq) => idAt(seq <= odd ? seq + 3_600 : seq)));
    let messages = noneForgotten;
    const blocks = 2_400;
    for (let i = 0; i < blocks; i++) {
      const shift = i * BLOCK_MESSAGES * 1_000;
      const shifted = ({ minMs, maxMs }: { minMs: number; maxMs: number }) =>
        maxMs < minMs ? { minMs, maxMs } : { minMs: minMs + shift, maxMs: maxMs + shift };
      const { odd: oddIds } = template;
      const span = { ...template, ...shifted(template), first: i * BLOCK_MESSAGES + 1 };
      messages = forget(messages, { ...span, odd: { ...oddIds, ...shifted(oddIds) } });
      if (i % 500 === 0) expect(messages.bytes).toBeLessThanOrEqual(kibibytes * 1024);
    }
    const { spans } = messages;
    expect(spans.length).toBeLessThanOrEqual(2_048);
    expect(messages.bytes).toBeLessThanOrEqual(kibibytes * 1024);
    // All messages, without a gap, and no span far larger than the others.
    for (const [i, { first }] of spans.entries()) {
      const before = spans[i - 1];
      expect(first).toBe(before === undefined ? 1 : before.first + before.count);
    }
    expect(spans.reduce((sum, { count }) => sum + count, 0)).toBe(blocks * BLOCK_MESSAGES);
    expect(Math.max(...spans.map(({ count }) => count))).toBeLessThanOrEqual(16 * BLOCK_MESSAGES);
    expect(restored(messages)).toStrictEqual(messages);
    // A new id is still excluded, except that odd ids which had to be dropped leave ranges behind.
    expect(where(messages, idAt(blocks * BLOCK_MESSAGES + 7_200))).toEqual([]);
  });
});
