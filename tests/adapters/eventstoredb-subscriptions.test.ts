import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Clock } from '../../src/ports/clock.ts';
import type { EventStore, StoredRecord, SubscribeOptions, SubscriptionBatch } from '../../src/ports/event-store.ts';
import { dataOf, newRecord, newStream, note, notes } from '../contracts/events.ts';
import { DEADLINE_MS, follow, readAll, readStream, subscribe, until, untilCaughtUp } from '../contracts/following.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { system } from '../support/stores.ts';
import { foreign, type OnServer, open, openOnServer } from './eventstoredb.ts';

let opened: OnServer;
let server: EventStoreDbServer;
let store: EventStore;

beforeEach(async () => {
  opened = await openOnServer();
  ({ server, store } = opened);
});
afterEach(() => opened.dispose());

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, n) => n + from);
const drawn = (from: number, count: number) => numbers(count, from).map((n) => newRecord('NumberDrawn', { n }));
const numbersOf = (records: readonly StoredRecord[]) => records.map((record) => dataOf(record).n);

/** Appends the next `count` numbers to a stream that has `from` of them; retries while the server is down. */
async function draw(stream: string, from: number, count: number): Promise<void> {
  const expected = from === 0 ? 'none' : BigInt(from - 1);
  await vi.waitFor(() => store.append(stream, drawn(from, count), { expect: expected }), {
    timeout: DEADLINE_MS,
    interval: 20,
  });
}

/** A subscription whose batches are requested one by one. */
function steps(options: Partial<SubscribeOptions> = {}, on: EventStore = store) {
  const batches = subscribe(on, { signal: AbortSignal.timeout(DEADLINE_MS), ...options })[Symbol.asyncIterator]();
  return {
    async next(): Promise<SubscriptionBatch> {
      const { done, value } = await batches.next();
      if (done === true) throw new Error('the subscription has ended');
      return value;
    },
    leave: () => batches.return?.(),
  };
}

describe('a subscription resumes by itself', () => {
  it.each([
    ['without a filter', undefined],
    ['with a filter', { types: ['NumberDrawn'] }],
  ])('%s, after restarts of the server, without gap and without duplicate', async (_name, filter) => {
    const stream = newStream();
    const restarts = [30, 45, 60];
    await draw(stream, 0, 30);
    let appended = 30;
    const busy: Promise<void>[] = [];
    const { records, batches } = await follow(store, { batchSize: 7, ...(filter && { filter }) }, (seen) => {
      if (seen.records.length >= (restarts[0] ?? Number.POSITIVE_INFINITY)) {
        restarts.shift();
        busy.push(
          (async () => {
            await server.stop();
            await server.start();
            await draw(stream, appended, 15);
            appended += 15;
          })(),
        );
      }
      return seen.records.length >= 75;
    });
    await Promise.all(busy);
    expect(numbersOf(records)).toEqual(numbers(75));
    const positions = batches.map((batch) => batch.position ?? '');
    expect(positions).toEqual(positions.toSorted());
  });

  it('after many cuts while it reads the past', { timeout: 60_000 }, async () => {
    const stream = newStream();
    await store.append(stream, drawn(0, 2_000), { expect: 'none' });
    server.log.append(
      'other-1',
      'any',
      numbers(700).map((n) => foreign('Else', `{"n":${n}}`)),
    );
    await store.append(stream, drawn(2_000, 1_000), { expect: 1_999n });
    let cuts = 0;
    const { records } = await follow(store, { filter: { types: ['NumberDrawn'] }, batchSize: 50 }, (seen) => {
      if (seen.records.length > cuts * 300) {
        cuts++;
        server.cut();
      }
      return seen.records.length >= 3_000;
    });
    expect(cuts).toBeGreaterThanOrEqual(10);
    expect(numbersOf(records)).toEqual(numbers(3_000));
  });

  it('after the server has rejected it several times', async () => {
    const stream = newStream();
    await draw(stream, 0, 5);
    server.faults.reads.push('unavailable', 'break', 'unavailable');
    const { records } = await follow(store, {}, until(5));
    expect(numbersOf(records)).toEqual(numbers(5));
  });

  it('within a second after a long outage', async () => {
    const sleeps: number[] = [];
    const clock: Clock = {
      ...system.clock,
      sleep(ms) {
        sleeps.push(ms);
        return system.clock.nextTurn();
      },
    };
    await draw(newStream(), 0, 3);
    const patient = await open(server.url, { clock });
    const isLive = Promise.withResolvers<void>();
    const following = follow(patient, {}, (seen) => {
      if (seen.records.length === 3) isLive.resolve();
      return seen.records.length >= 6;
    });
    await Promise.race([isLive.promise, following]);
    await server.stop();
    await vi.waitFor(() => expect(sleeps.length).toBeGreaterThan(30), { timeout: DEADLINE_MS });
    await server.start();
    await draw(newStream(), 0, 3);
    expect(numbersOf((await following).records)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(Math.max(...sleeps)).toBeLessThanOrEqual(1_000);
    expect(Math.max(...sleeps)).toBeGreaterThanOrEqual(500);
    await patient.close();
  });

  it('when it was started while the server is down', async () => {
    await server.stop();
    const following = follow(store, {}, until(3));
    await server.start();
    await draw(newStream(), 0, 3);
    expect(numbersOf((await following).records)).toEqual(numbers(3));
  });
});

describe('checkpoints', () => {
  it('that are sent twice do no harm', async () => {
    server.faults.repeatCheckpoints = true;
    const stream = newStream();
    for (let n = 0; n < 3; n++) {
      server.log.append(
        'other-1',
        'any',
        numbers(600).map(() => foreign('Else', '{}')),
      );
      await draw(stream, n * 10, 10);
    }
    const { records, batches } = await follow(store, { filter: { types: ['NumberDrawn'] } }, until(30));
    expect(numbersOf(records)).toEqual(numbers(30));
    const positions = batches.map((batch) => batch.position ?? '');
    expect(positions).toEqual(positions.toSorted());
  });

  it('move through a past that does not match the filter', async () => {
    for (let n = 0; n < 4; n++) await store.append(newStream(), notes(1_000), { expect: 'none' });
    const { batches, records } = await follow(store, { filter: { types: ['NumberDrawn'] } }, untilCaughtUp);
    expect(records).toEqual([]);
    expect(batches.at(-1)).toMatchObject({ position: await store.head(), caughtUp: true });
  });

  it('between two records can be resumed and read from without losing a record', async () => {
    const stream = newStream();
    await store.append(stream, notes(2_000), { expect: 'none' });
    // The checkpoint of a page without a matching record is only the start of the page.
    server.faults.repeatCheckpoints = true;
    const { batches } = await follow(store, { filter: { types: ['NumberDrawn'] } }, untilCaughtUp);
    const between = batches.map((batch) => batch.position ?? '').filter((position) => /-0{20}$/.test(position));
    expect(between.length).toBeGreaterThan(0);
    const { records: all } = await follow(store, {}, until(2_000));
    for (const position of between) {
      const next = all.find((record) => record.position > position);
      const [first] = (await follow(store, { after: position }, until(1))).records;
      expect(first).toEqual(next);
      const slice = await readAll(store, { from: position, limit: 1 });
      expect(slice.records).toEqual([next]);
      const back = await readAll(store, { direction: 'backwards', from: position, limit: 1 });
      expect(back.records).toEqual([all.findLast((record) => record.position < position)]);
      expect(await store.idAt(position)).toBeNull();
    }
  });

  it('move with every record of the log once live, including those that do not match the filter', async () => {
    const { next, leave } = steps({ filter: { types: ['NumberDrawn'] } });
    for (let batch = await next(); !batch.caughtUp; ) batch = await next();
    const { position } = await store.append(newStream(), [note('does not match')], { expect: 'none' });
    expect(await next()).toEqual({ records: [], position, caughtUp: true });
    await leave();
  });
});

describe('the resources of a subscription', () => {
  it('its call ends when the consumer leaves the loop', async () => {
    await draw(newStream(), 0, 5);
    for await (const batch of subscribe(store)) if (batch.records.length > 0) break;
    await vi.waitFor(() => expect(server.openReads).toBe(0));
  });

  it('its call ends when it is aborted or the store is closed', async () => {
    const abort = new AbortController();
    const other = await open(server.url);
    const [a, b] = [steps({ signal: abort.signal }), steps({}, other)];
    await Promise.all([a.next(), b.next()]);
    expect(server.openReads).toBe(2);
    abort.abort();
    await other.close();
    await vi.waitFor(() => expect(server.openReads).toBe(0));
  });

  it('read-ahead is limited while the consumer is paused', async () => {
    const stream = newStream();
    const { next, leave } = steps({ batchSize: 10 });
    await next();
    for (let n = 0; n < 100; n++) await store.append(stream, notes(1, 'x'.repeat(100_000)), { expect: 'any' });
    // Once another subscription has received everything, this one would have too.
    await follow(store, {}, until(100));
    // Two batches, and what the connection buffers.
    expect(server.eventsSent).toBeLessThan(100 + 75);
    const seen: number[] = [];
    const caughtUpMarks: boolean[] = [];
    while (seen.length < 100) {
      const { records, caughtUp } = await next();
      seen.push(...records.map((record) => Number(record.revision)));
      caughtUpMarks.push(caughtUp);
    }
    expect(seen).toEqual(numbers(100));
    // It has caught up again only with the last record.
    expect(caughtUpMarks.slice(0, 3)).toEqual([false, false, false]);
    expect(caughtUpMarks.at(-1)).toBe(true);
    await leave();
  });
});

describe('a subscription fails', () => {
  const nothing = Buffer.alloc(0);

  it.each([
    ['cut off', Buffer.from('{"n":')],
    ['empty', nothing],
    ['not an object', Buffer.from('[1]')],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x22, 0x3a, 0x31, 0x7d])],
  ])('at a damaged record of Parley (%s), after delivering every record before it', async (_name, data) => {
    const stream = newStream();
    await draw(stream, 0, 3);
    const metadata = server.log.of(stream)[0]?.metadata ?? nothing;
    server.log.append(stream, 'any', [foreign('NumberDrawn', data, metadata)]);
    const { next } = steps();
    expect(numbersOf((await next()).records)).toEqual(numbers(3));
    await expect(next()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /damaged/ });
    await expect(readStream(store, stream)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /damaged/ });
  });

  it('at a position that this log does not have', async () => {
    const after = `${'7'.padStart(20, '0')}-${'7'.padStart(20, '0')}`;
    await expect(steps({ after }).next()).rejects.toMatchObject({ code: 'INVALID' });
  });
});
