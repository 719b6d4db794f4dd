import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { UUID } from '../../src/kernel/ids.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { SubscriptionBatch } from '../../src/ports/event-store.ts';
import { newRecord, newStream, note, notes, textsOf, withSource } from '../contracts/events.ts';
import { follow, readAll, readStream, readToEnd, subscribe, untilCaughtUp } from '../contracts/following.ts';
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

const readLog = async () => (await readToEnd(store)).records;
const countIn = async (stream: string) => (await readLog()).filter((record) => record.stream === stream).length;

it('an id may occur twice, and is returned as it was appended', async () => {
  const id = '0190a5d1-ac96-774b-bcce-b302099a8057';
  const nil = '00000000-0000-0000-0000-000000000000';
  const max = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  const ids = [note('a').id, id, id, nil, max];
  await store.append(
    'a-1',
    ids.map((each) => ({ ...note('a'), id: each })),
    { expect: 'none' },
  );
  expect((await readLog()).map((record) => record.id)).toEqual(ids);
});

it('`recordedAt` is the time of the clock at the commit', async () => {
  await store.append('a-1', [note('a')], { expect: 'none' });
  now += 1;
  await store.append('a-1', [note('b')], { expect: 0n });
  expect((await readLog()).map((record) => record.recordedAt)).toEqual([
    '2026-01-01T00:00:00.000Z',
    '2026-01-01T00:00:00.001Z',
  ]);
});

it('the epoch is a UUID of the time at which the store was created', async () => {
  const epoch = await store.epoch();
  expect(epoch).toMatch(UUID);
  expect(Number.parseInt(epoch.replaceAll('-', '').slice(0, 12), 16)).toBe(START);
});

it('only positions of 16 digits from 1 on are valid', async () => {
  await store.append('a-1', notes(2), { expect: 'none' });
  for (const position of [
    '',
    '1',
    '0'.repeat(16),
    '9'.repeat(16),
    '1'.padStart(17, '0'),
    '-000000000000001',
    '0x00000000000001',
  ]) {
    await expect(store.idAt(position)).rejects.toMatchObject({ code: 'INVALID' });
    await expect(store.countAfter(position)).rejects.toMatchObject({ code: 'INVALID' });
    await expect(readAll(store, { from: position })).rejects.toMatchObject({ code: 'INVALID' });
  }
});

it('`countAfter` is exact until records are removed, and an upper bound afterwards', async () => {
  const at = (place: number) => String(place).padStart(16, '0');
  const counts = () => Promise.all([null, at(1), at(5), at(6), at(9)].map((position) => store.countAfter(position)));
  expect(await store.countAfter(null)).toBe(0);
  await store.append('a-1', notes(6), { expect: 'none' });
  expect(await counts()).toEqual([6, 5, 1, 0, 0]);
  await store.setRetention('a-1', { truncateBefore: 4n });
  expect(await store.scavenge()).toBe(4);
  expect(await counts()).toEqual([6, 5, 1, 0, 0]);
});

describe('scavenging', () => {
  it('removes records from the whole log as the retention of their streams allows', async () => {
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

  it('removes more after later appends and as time passes', async () => {
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
    expect((await readStream(store, stream)).records).toEqual([]);
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 30n });
  });

  it('removes a disposable stream of which nothing is left, which then starts again', async () => {
    await store.append('once-1', notes(3), { expect: 'none' });
    await store.setRetention('once-1', { maxAgeMs: HOUR, disposable: true });
    now += HOUR / 2;
    await store.append('once-1', [note('later')], { expect: 2n });
    await store.append('other-1', [note('the last of the log')], { expect: 'none' });
    now += HOUR / 2 + 1;
    expect(await store.scavenge()).toBe(3);
    // One of its records is left, so it goes on.
    await expect(store.append('once-1', [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 3n });
    now += HOUR / 2;
    expect(await store.scavenge()).toBe(1);
    const { revision } = await store.append('once-1', [note('new')], { expect: 'none' });
    expect(revision).toBe(0n);
    expect(textsOf((await readStream(store, 'once-1')).records)).toEqual(['new']);
    now += 2 * HOUR;
    // Its retention was removed with it.
    expect(await store.scavenge()).toBe(0);
  });

  it('lets a disposable stream start again in the same commit as its removal', async () => {
    await store.append('once-1', notes(2), { expect: 'none' });
    await store.append('other-1', [note('the last of the log')], { expect: 'none' });
    await store.setRetention('once-1', { maxAgeMs: HOUR, disposable: true });
    now += HOUR + 1;
    const scavenging = store.scavenge();
    // In the same group as the removal.
    const appending = store.append('once-1', [note('again')], { expect: 'none' });
    expect(await scavenging).toBe(2);
    expect(await appending).toMatchObject({ revision: 0n });
    expect(textsOf((await readStream(store, 'once-1')).records)).toEqual(['again']);
  });

  it('never removes the last record of the log, so that no position is assigned twice', async () => {
    const { position } = await store.append('a-1', notes(3), { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3n });
    expect(await store.scavenge()).toBe(2);
    expect(await store.head()).toBe(position);
    const next = await store.append('a-1', [note('a')], { expect: 2n });
    expect(next.position > position).toBe(true);
    now += HOUR;
    expect(await store.scavenge()).toBe(1);
    expect((await readLog()).map((record) => Number(record.revision))).toEqual([3]);
  });

  it('runs in small steps between appends', async () => {
    await store.append('a-1', notes(3_000), { expect: 'none' });
    await store.append('b-1', [note('the last of the log')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3_000n });
    const scavenging = store.scavenge();
    await store.append('b-1', [note('between the steps')], { expect: 0n });
    expect(await countIn('a-1')).toBeGreaterThan(1_000);
    expect(await scavenging).toBe(3_000);
    expect(await countIn('a-1')).toBe(0);
  });

  it('runs every minute until the store is closed', async () => {
    const timers: { ms: number; callback(): void; cancelled: boolean }[] = [];
    const every: Clock['every'] = (ms, callback) => {
      const timer = { ms, callback, cancelled: false };
      timers.push(timer);
      return {
        cancel() {
          timer.cancelled = true;
        },
      };
    };
    const other = await open(':memory:', { every });
    await other.append('a-1', notes(3), { expect: 'none' });
    await other.setRetention('a-1', { truncateBefore: 2n });
    expect(timers).toMatchObject([{ ms: 60_000, cancelled: false }]);
    timers[0]?.callback();
    await vi.waitFor(async () => expect((await readToEnd(other)).records).toHaveLength(1));
    await other.close();
    expect(timers).toMatchObject([{ cancelled: true }]);
  });

  it('leaves gaps that subscriptions and `idAt` handle', async () => {
    const last = await store.append('a-1', notes(600), { expect: 'none' });
    await store.append('b-1', [note('b')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 599n });
    await store.scavenge();
    const { records } = await follow(store, { batchSize: 10 }, untilCaughtUp);
    expect(records.map((record) => record.stream)).toEqual(['a-1', 'b-1']);
    expect(records[0]?.position).toBe(last.position);
    expect(await store.idAt(last.position)).toBe(records[0]?.id);
    expect(await store.idAt(String(Number(last.position) - 1).padStart(16, '0'))).toBeNull();
  });
});

describe('the size of a slice', () => {
  it('is smaller for large records', async () => {
    for (let n = 0; n < 8; n++) await store.append('large-1', [note('x'.repeat(900_000))], { expect: 'any' });
    const { records, end } = await readStream(store, 'large-1');
    expect({ count: records.length, end }).toEqual({ count: 5, end: false });
    const rest = await readStream(store, 'large-1', { from: 5n });
    expect({ count: rest.records.length, end: rest.end }).toEqual({ count: 3, end: true });
  });

  it('is limited to a range of the log when a filter has few matches', async () => {
    for (let n = 0; n < 5; n++) await store.append('a-1', notes(2_000), { expect: 'any' });
    await store.append('b-1', [newRecord('NumberDrawn', { n: 1 })], { expect: 'none' });
    const first = await readAll(store, { filter: { categories: ['b'] } });
    expect(first).toEqual({ records: [], next: String(8_192).padStart(16, '0'), end: false });
    const second = await readAll(store, { from: first.next, filter: { categories: ['b'] } });
    expect({ count: second.records.length, end: second.end }).toEqual({ count: 1, end: true });
  });
});

describe('a live subscription', () => {
  /** A subscription that has caught up; `take` resolves with its next batch. */
  async function caughtUp(filter?: { types: string[] }, batchSize = 512) {
    const batches = subscribe(store, { after: await store.head(), batchSize, filter })[Symbol.asyncIterator]();
    const take = async (): Promise<SubscriptionBatch> => (await batches.next()).value as SubscriptionBatch;
    expect(await take()).toMatchObject({ records: [], caughtUp: true });
    return { take, end: () => batches.return?.() };
  }

  it('delivers the records of one commit in one batch, from memory with their `source`', async () => {
    const { take } = await caughtUp();
    const appended = notes(20).map(withSource);
    await Promise.all(appended.map((record, n) => store.append(`a-${n}`, [record], { expect: 'none' })));
    const batch = await take();
    expect(batch.records.map((record) => record.source === appended[Number(record.stream.slice(2))]?.source)).toEqual(
      Array(20).fill(true),
    );
    expect(batch).toMatchObject({ position: await store.head(), caughtUp: true });
  });

  it('delivers records from memory without a `source` when they were appended without it', async () => {
    const { take } = await caughtUp();
    await store.append('a-1', [note('a')], { expect: 'none' });
    expect((await take()).records).toStrictEqual((await readStream(store, 'a-1')).records);
  });

  it('reports checkpoints also past records that the filter leaves out', async () => {
    const { take } = await caughtUp({ types: ['NumberDrawn'] });
    const batch = take();
    const { position } = await store.append('a-1', notes(3), { expect: 'none' });
    expect(await batch).toEqual({ records: [], position, caughtUp: true });
    await store.append('a-1', notes(3), { expect: 2n });
    const drawn = await store.append('a-1', [newRecord('NumberDrawn', { n: 1 })], { expect: 5n });
    const last = await store.append('a-1', notes(3), { expect: 6n });
    const rest = await take();
    expect(rest.records.map((record) => record.position)).toEqual([drawn.position]);
    expect(rest.position).toBe(last.position);
  });

  it('buffers 16 batches in memory, and reads further records from the log', async () => {
    const { take } = await caughtUp(undefined, 2);
    const appended = notes(33).map(withSource);
    for (const [n, record] of appended.entries()) await store.append(`a-${n}`, [record], { expect: 'none' });
    const taken = [];
    do taken.push(await take());
    while (taken.at(-1)?.caughtUp === false);
    expect(taken.map((batch) => [batch.records.length, batch.caughtUp])).toEqual([
      ...Array(16).fill([2, false]),
      [1, true],
    ]);
    const sources = taken.flatMap((batch) => batch.records).map((record) => record.source);
    expect(sources.map((source, n) => source === appended[n]?.source)).toEqual([...Array(32).fill(true), false]);
    expect(sources[32]).toBeUndefined();
    const live = withSource(note('live again'));
    await store.append('a-33', [live], { expect: 'none' });
    expect((await take()).records[0]?.source).toBe(live.source);
  });

  it('ends immediately when the consumer leaves while it waits', async () => {
    const { take, end } = await caughtUp();
    const waiting = take();
    await end();
    expect(await waiting).toBeUndefined();
  });

  it('rejects a position that the log has not reached, until it has', async () => {
    const { position } = await store.append('a-1', notes(2), { expect: 'none' });
    const beyond = String(Number(position) + 2).padStart(16, '0');
    const start = () => subscribe(store, { after: beyond })[Symbol.asyncIterator]();
    expect(start).toThrow(expect.objectContaining({ name: 'StoreError', code: 'INVALID' }));
    await store.append('a-1', [note('not yet')], { expect: 1n });
    expect(start).toThrow(expect.objectContaining({ name: 'StoreError', code: 'INVALID' }));
    await store.append('a-1', [note('reached')], { expect: 2n });
    const batches = start();
    expect(await batches.next()).toMatchObject({ value: { records: [], position: beyond } });
    const next = batches.next();
    await store.append('a-1', notes(2), { expect: 3n });
    expect((await next).value).toMatchObject({ records: [{ revision: 4n }, { revision: 5n }] });
    await batches.return?.();
  });
});
