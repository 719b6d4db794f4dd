import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EventStore, SubscribeOptions, SubscriptionBatch } from '../../src/ports/event-store.ts';
import { newEvent, newStream, note, notes } from '../contracts/events.ts';
import { DEADLINE_MS, follow, until, untilCaughtUp } from '../contracts/following.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
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
const drawn = (from: number, count: number) => numbers(count, from).map((n) => newEvent('NumberDrawn', { n }));

/** Appends numbers that go on where the last ones ended; tries again while the server is away. */
async function draw(stream: string, from: number, count: number): Promise<void> {
  const expected = from === 0 ? 'none' : BigInt(from - 1);
  await vi.waitFor(() => store.append(stream, drawn(from, count), { expect: expected }), {
    timeout: DEADLINE_MS,
    interval: 20,
  });
}

/** A subscription that is stepped by hand. */
function steps(options: SubscribeOptions, on: EventStore = store) {
  const batches = on.subscribe({ signal: AbortSignal.timeout(DEADLINE_MS), ...options })[Symbol.asyncIterator]();
  return {
    async take(): Promise<SubscriptionBatch> {
      const { done, value } = await batches.next();
      if (done === true) throw new Error('the subscription has ended');
      return value;
    },
    leave: () => batches.return?.(),
  };
}

describe('a subscription goes on by itself', () => {
  it.each([
    ['without a filter', undefined],
    ['with a filter', { types: ['NumberDrawn'] }],
  ])('%s, after the server was restarted: no gap, no double', async (_name, filter) => {
    const stream = newStream();
    const restarts = [30, 45, 60];
    await draw(stream, 0, 30);
    let appended = 30;
    const busy: Promise<void>[] = [];
    const { events, batches } = await follow(
      store,
      { after: null, batchSize: 7, ...(filter && { filter }) },
      (seen) => {
        if (seen.events.length >= (restarts[0] ?? Number.POSITIVE_INFINITY)) {
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
        return seen.events.length >= 75;
      },
    );
    await Promise.all(busy);
    expect(events.map((event) => event.data.n)).toEqual(numbers(75));
    const positions = batches.map((batch) => batch.position ?? '');
    expect(positions).toEqual(positions.toSorted());
  });

  it('while it is cut off again and again in the past', { timeout: 60_000 }, async () => {
    const stream = newStream();
    await store.append(stream, drawn(0, 2_000), { expect: 'none' });
    server.log.append(
      'other-1',
      'any',
      numbers(700).map((n) => foreign('Else', `{"n":${n}}`)),
    );
    await store.append(stream, drawn(2_000, 1_000), { expect: 1_999n });
    let cuts = 0;
    const { events } = await follow(
      store,
      { after: null, filter: { types: ['NumberDrawn'] }, batchSize: 50 },
      (seen) => {
        if (seen.events.length > cuts * 300) {
          cuts++;
          server.cut();
        }
        return seen.events.length >= 3_000;
      },
    );
    expect(cuts).toBeGreaterThanOrEqual(10);
    expect(events.map((event) => event.data.n)).toEqual(numbers(3_000));
  });

  it('when the server refuses it for a while', async () => {
    const stream = newStream();
    await draw(stream, 0, 5);
    server.faults.reads.push('unavailable', 'break', 'unavailable');
    const { events } = await follow(store, { after: null }, until(5));
    expect(events.map((event) => event.data.n)).toEqual(numbers(5));
  });

  it('from before there is a server', async () => {
    await server.stop();
    const following = follow(store, { after: null }, until(3));
    await server.start();
    await draw(newStream(), 0, 3);
    expect((await following).events.map((event) => event.data.n)).toEqual(numbers(3));
  });
});

describe('checkpoints', () => {
  it('that come twice do no harm', async () => {
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
    const { events, batches } = await follow(store, { after: null, filter: { types: ['NumberDrawn'] } }, until(30));
    expect(events.map((event) => event.data.n)).toEqual(numbers(30));
    const positions = batches.map((batch) => batch.position ?? '');
    expect(positions).toEqual(positions.toSorted());
  });

  it('move through a past that the filter leaves out', async () => {
    for (let n = 0; n < 4; n++) await store.append(newStream(), notes(1_000), { expect: 'none' });
    const { batches } = await follow(store, { after: null, filter: { types: ['NumberDrawn'] } }, untilCaughtUp);
    expect(batches.flatMap((batch) => batch.events)).toEqual([]);
    expect(batches.at(-1)).toMatchObject({ position: await store.head(), caughtUp: true });
  });

  it('that lie between two events lose none of them, whatever is asked for behind them', async () => {
    const stream = newStream();
    await store.append(stream, notes(2_000), { expect: 'none' });
    // The page of a search that found nothing is marked by its beginning alone.
    server.faults.repeatCheckpoints = true;
    const { batches } = await follow(store, { after: null, filter: { types: ['NumberDrawn'] } }, untilCaughtUp);
    const between = batches.map((batch) => batch.position ?? '').filter((position) => /-0{20}$/.test(position));
    expect(between.length).toBeGreaterThan(0);
    const { events: all } = await follow(store, { after: null }, until(2_000));
    for (const position of between) {
      const next = all.find((event) => event.position > position);
      const [first] = (await follow(store, { after: position }, until(1))).events;
      expect(first).toEqual(next);
      const slice = await store.readAll({ direction: 'forwards', from: position, limit: 1 });
      expect(slice.events).toEqual([next]);
      const back = await store.readAll({ direction: 'backwards', from: position, limit: 1 });
      expect(back.events).toEqual([all.findLast((event) => event.position < position)]);
    }
  });

  it('move with each event of the log once it is live, also with those that the filter leaves out', async () => {
    const { take, leave } = steps({ after: null, filter: { types: ['NumberDrawn'] } });
    for (let batch = await take(); !batch.caughtUp; ) batch = await take();
    const { position } = await store.append(newStream(), [note('left out')], { expect: 'none' });
    expect(await take()).toEqual({ events: [], position, caughtUp: true });
    await leave();
  });
});

describe('what a subscription costs', () => {
  it('a consumer that leaves ends its call', async () => {
    await draw(newStream(), 0, 5);
    for await (const batch of store.subscribe({ after: null })) if (batch.events.length > 0) break;
    await vi.waitFor(() => expect(server.openReads).toBe(0));
  });

  it('one that is aborted or closed ends its call', async () => {
    const abort = new AbortController();
    const other = await open(server.url);
    const [a, b] = [steps({ after: null, signal: abort.signal }), steps({ after: null }, other)];
    await Promise.all([a.take(), b.take()]);
    expect(server.openReads).toBe(2);
    abort.abort();
    await other.close();
    await vi.waitFor(() => expect(server.openReads).toBe(0));
  });

  it('a consumer that stands still gets a little ahead, not all there is', async () => {
    const stream = newStream();
    const { take, leave } = steps({ after: null, batchSize: 10 });
    await take();
    for (let n = 0; n < 100; n++) await store.append(stream, notes(1, 'x'.repeat(100_000)), { expect: 'any' });
    // Once another one has got everything, so would this one.
    await follow(store, { after: null }, until(100));
    // Two batches, and what the connection itself holds.
    expect(server.eventsSent).toBeLessThan(100 + 75);
    const seen: number[] = [];
    const marks: boolean[] = [];
    while (seen.length < 100) {
      const { events, caughtUp } = await take();
      seen.push(...events.map((event) => Number(event.revision)));
      marks.push(caughtUp);
    }
    expect(seen).toEqual(numbers(100));
    // It has caught up again only with the last of them.
    expect(marks.slice(0, 3)).toEqual([false, false, false]);
    expect(marks.at(-1)).toBe(true);
    await leave();
  });
});

describe('what a subscription does not pass over', () => {
  it('an event of Parley that is damaged, behind everything before it', async () => {
    const stream = newStream();
    await draw(stream, 0, 3);
    const [first] = server.log.of(stream);
    server.log.append(stream, 'any', [
      { ...foreign('NumberDrawn', '{"n":'), metadata: first?.metadata ?? Buffer.alloc(0) },
    ]);
    const { take } = steps({ after: null });
    expect((await take()).events.map((event) => event.data.n)).toEqual(numbers(3));
    await expect(take()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /damaged/ });
    await expect(store.readStream(stream)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /damaged/ });
  });

  it('a position that this log does not have', async () => {
    const after = `${'7'.padStart(20, '0')}-${'7'.padStart(20, '0')}`;
    await expect(steps({ after }).take()).rejects.toMatchObject({ code: 'INVALID' });
  });
});
