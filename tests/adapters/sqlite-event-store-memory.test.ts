import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import type { SubscriptionBatch } from '../../src/ports/event-store.ts';
import { newEvent, newStream, note, notes } from '../contracts/events.ts';
import { follow, readToEnd, untilCaughtUp } from '../contracts/following.ts';
import { open } from './sqlite-event-store.ts';

const START = Date.parse('2026-01-01T00:00:00.000Z');
const HOUR = 3_600_000;

let now: number;
let store: SqliteEventStore;

beforeEach(async () => {
  now = START;
  store = await open(':memory:', { now: () => now });
});
afterEach(() => store.close());

const whole = async () => (await readToEnd(store, { direction: 'forwards', from: null })).events;
const countIn = async (stream: string) => (await whole()).filter((event) => event.stream === stream).length;

describe('event ids', () => {
  const uuid = '0190a5d1-ac96-774b-bcce-b302099a8057';

  it.each([
    '',
    'x',
    uuid.toUpperCase(),
    uuid.slice(1),
    `${uuid}0`,
    uuid.replace('-', 'a'),
    uuid.replace('0', 'g'),
    uuid.replace('0', 'ß'),
  ])('%j is invalid', async (id) => {
    await expect(store.append('a-1', [{ ...note('a'), id }], { expect: 'any' })).rejects.toMatchObject({
      code: 'INVALID',
    });
  });

  it('may occur twice', async () => {
    const events = [note('a'), { ...note('b'), id: uuid }, { ...note('c'), id: uuid }];
    await store.append('a-1', events, { expect: 'none' });
    expect((await whole()).map((event) => event.id)).toEqual(events.map((event) => event.id));
  });
});

describe('time', () => {
  it('`recordedAt` is the clock at the commit', async () => {
    await store.append('a-1', [note('a')], { expect: 'none' });
    now += 1;
    await store.append('a-1', [note('b')], { expect: 0n });
    expect((await whole()).map((event) => event.recordedAt)).toEqual([
      '2026-01-01T00:00:00.000Z',
      '2026-01-01T00:00:00.001Z',
    ]);
  });
});

describe('removing what streams may forget', () => {
  it('takes it out of the whole log', async () => {
    const [counted, cut, aged] = [newStream(), newStream(), newStream()];
    for (const stream of [counted, cut, aged]) await store.append(stream, notes(5), { expect: 'none' });
    await store.setRetention(counted, { maxCount: 2 });
    await store.setRetention(cut, { truncateBefore: 4n });
    await store.setRetention(aged, { maxAgeMs: HOUR });
    now += HOUR + 1;
    await store.append('last-1', [note('the last of the log')], { expect: 'none' });
    expect(await store.scavenge()).toBe(3 + 4 + 5);
    expect(await Promise.all([counted, cut, aged].map(countIn))).toEqual([2, 1, 0]);
    expect(await store.scavenge()).toBe(0);
  });

  it('goes on as more is appended and as time goes on', async () => {
    const stream = newStream();
    await store.setRetention(stream, { maxCount: 10, maxAgeMs: HOUR });
    for (let n = 0; n < 4; n++) {
      await store.append(stream, notes(7), { expect: 'any' });
      await store.append('other-1', [note('the last of the log')], { expect: 'any' });
      await store.scavenge();
      expect(await countIn(stream)).toBe(Math.min(10, 7 * (n + 1)));
    }
    now += HOUR + 1;
    expect(await store.scavenge()).toBe(10);
    await store.append(stream, notes(3), { expect: 27n });
    await store.append('other-1', [note('the last of the log')], { expect: 'any' });
    now += HOUR + 1;
    expect(await store.scavenge()).toBe(3);
    expect((await store.readStream(stream)).events).toEqual([]);
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 30n });
  });

  it('never takes the last event of the log, so that no position is given out twice', async () => {
    const { position } = await store.append('a-1', notes(3), { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3n });
    expect(await store.scavenge()).toBe(2);
    expect(await store.head()).toBe(position);
    const next = await store.append('a-1', [note('a')], { expect: 2n });
    expect(next.position > position).toBe(true);
    now += HOUR;
    expect(await store.scavenge()).toBe(1);
    expect((await whole()).map((event) => Number(event.revision))).toEqual([3]);
  });

  it('is done in small steps that let appends in between', async () => {
    await store.append('a-1', notes(3_000), { expect: 'none' });
    await store.append('b-1', [note('the last of the log')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3_000n });
    const scavenging = store.scavenge();
    await store.append('b-1', [note('in between')], { expect: 0n });
    expect(await countIn('a-1')).toBeGreaterThan(1_000);
    expect(await scavenging).toBe(3_000);
    expect(await countIn('a-1')).toBe(0);
  });

  it('a subscription passes over what was removed', async () => {
    const last = await store.append('a-1', notes(600), { expect: 'none' });
    await store.append('b-1', [note('b')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 599n });
    await store.scavenge();
    const { events } = await follow(store, { after: null, batchSize: 10 }, untilCaughtUp);
    expect(events.map((event) => event.stream)).toEqual(['a-1', 'b-1']);
    expect(events[0]?.position).toBe(last.position);
  });
});

describe('bounds', () => {
  it('large events come in smaller slices', async () => {
    for (let n = 0; n < 8; n++) await store.append('large-1', [note('x'.repeat(900_000))], { expect: 'any' });
    const { events, end } = await store.readStream('large-1');
    expect({ count: events.length, end }).toEqual({ count: 5, end: false });
    const rest = await store.readStream('large-1', { from: 5n });
    expect({ count: rest.events.length, end: rest.end }).toEqual({ count: 3, end: true });
  });

  it('a filter that fits nothing looks at a part of the log at a time', async () => {
    for (let n = 0; n < 5; n++) await store.append('a-1', notes(2_000), { expect: 'any' });
    await store.append('b-1', [newEvent('NumberDrawn', { n: 1 })], { expect: 'none' });
    const first = await store.readAll({ direction: 'forwards', from: null, filter: { categories: ['b'] } });
    expect(first).toEqual({ events: [], next: String(8_192).padStart(16, '0'), end: false });
    const second = await store.readAll({ direction: 'forwards', from: first.next, filter: { categories: ['b'] } });
    expect({ count: second.events.length, end: second.end }).toEqual({ count: 1, end: true });
  });
});

describe('live', () => {
  /** A subscription that has caught up; `take` waits for its next batch. */
  async function caughtUp(filter?: { types: string[] }, batchSize = 512) {
    const batches = store
      .subscribe({ after: await store.head(), batchSize, ...(filter && { filter }) })
      [Symbol.asyncIterator]();
    const take = async (): Promise<SubscriptionBatch> => (await batches.next()).value as SubscriptionBatch;
    expect(await take()).toMatchObject({ events: [], caughtUp: true });
    return { take, end: () => batches.return?.() };
  }

  it('events come straight from memory, those of one commit in one batch', async () => {
    const { take } = await caughtUp();
    const events = notes(20);
    await Promise.all(events.map((event, n) => store.append(`a-${n}`, [event], { expect: 'none' })));
    const batch = await take();
    expect(batch.events.map((event) => event.data === events[Number(event.stream.slice(2))]?.data)).toEqual(
      Array(20).fill(true),
    );
    expect(batch).toMatchObject({ position: await store.head(), caughtUp: true });
  });

  it('the checkpoint moves also past what the filter leaves out', async () => {
    const { take } = await caughtUp({ types: ['NumberDrawn'] });
    const batch = take();
    const { position } = await store.append('a-1', notes(3), { expect: 'none' });
    expect(await batch).toEqual({ events: [], position, caughtUp: true });
    await store.append('a-1', notes(3), { expect: 2n });
    const drawn = await store.append('a-1', [newEvent('NumberDrawn', { n: 1 })], { expect: 5n });
    const last = await store.append('a-1', notes(3), { expect: 6n });
    const rest = await take();
    expect(rest.events.map((event) => event.position)).toEqual([drawn.position]);
    expect(rest.position).toBe(last.position);
  });

  it('two batches wait in memory, what is beyond is read again from the log', async () => {
    const { take } = await caughtUp(undefined, 2);
    const events = notes(5);
    for (const [n, event] of events.entries()) await store.append(`a-${n}`, [event], { expect: 'none' });
    const taken = [await take(), await take(), await take()];
    expect(taken.map((batch) => [batch.events.length, batch.caughtUp])).toEqual([
      [2, false],
      [2, false],
      [1, true],
    ]);
    const fromMemory = taken.flatMap((batch) => batch.events).map((event, n) => event.data === events[n]?.data);
    expect(fromMemory).toEqual([true, true, true, true, false]);
    const live = note('live again');
    await store.append('a-6', [live], { expect: 'none' });
    expect((await take()).events[0]?.data).toBe(live.data);
  });

  it('leaving while it waits ends it at once', async () => {
    const { take, end } = await caughtUp();
    const waiting = take();
    await end();
    expect(await waiting).toBeUndefined();
  });

  it('a position beyond the end waits until the log has reached it', async () => {
    const { position } = await store.append('a-1', notes(2), { expect: 'none' });
    const beyond = String(Number(position) + 2).padStart(16, '0');
    const batches = store.subscribe({ after: beyond })[Symbol.asyncIterator]();
    expect(await batches.next()).toMatchObject({ value: { events: [], position: beyond } });
    const next = batches.next();
    await store.append('a-1', [note('not yet')], { expect: 1n });
    await store.append('a-1', notes(3), { expect: 2n });
    expect((await next).value).toMatchObject({ events: [{ revision: 4n }, { revision: 5n }] });
  });
});
