import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Refusal, StoreError } from '../../src/kernel/errors.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { DocumentStore, WriteBatch } from '../../src/ports/documents.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { appendEvent, effectOf, recording, start, unless, until, untilAttempted } from './world.ts';

const HOUR = 60 * 60_000;
const CHECKPOINT = 'reactions/recording';

let stores: MemoryStores;
let log: EventLog;
let documents: DocumentStore;
const stops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  stores = await openMemoryStores();
  ({ log, documents } = stores);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await stores.close();
});

async function run(...args: Parameters<typeof start> extends [unknown, ...infer Rest] ? Rest : never) {
  const node = await start(stores, ...args);
  stops.push(node.stop);
  return node;
}

const statusIs = (id: string, status: string) => async () => (await effectOf(documents, id))?.status === status;
const checkpoint = async () => (await documents.getMany('checkpoints', [CHECKPOINT])).get(CHECKPOINT);

describe('an effect', () => {
  it('is performed once for each event, also when the log is read again', async () => {
    const { reaction, performed } = recording();
    const first = await run(reaction);
    const start = await checkpoint();
    const ids = [await appendEvent(log), await appendEvent(log), await appendEvent(log)];
    for (const id of ids) await until('it is done', statusIs(id, 'done'));
    await first.stop();

    // As if the later checkpoints had been lost.
    const last = await checkpoint();
    const write = { collection: 'checkpoints', id: CHECKPOINT, position: last?.position ?? '' };
    const batch = { writes: [{ ...write, guard: write.position, body: start?.body ?? null }] };
    expect(await documents.apply(batch)).toEqual({ rejected: [] });
    await run(reaction);
    const later = await appendEvent(log);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed.toSorted()).toEqual([...ids, later].toSorted());
  });

  it('is performed once when two nodes believe that they have the lease', async () => {
    const { reaction, performed } = recording();
    const clock = manualClock();
    await run(reaction, clock);
    await run(reaction, clock);
    const ids: string[] = [];
    for (let i = 0; i < 40; i++) ids.push(await appendEvent(log));
    for (const id of ids) {
      await until('it is done', async () => {
        // A node that was in the other's way goes on after a pause.
        if (!(await statusIs(id, 'done')())) await clock.advance(1_000);
        return statusIs(id, 'done')();
      });
    }
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });

  it('is performed once when the answers of the document store are lost', async () => {
    const { reaction, performed } = recording();
    let count = 0;
    const losing: DocumentStore = {
      ...unless(() => false, documents),
      async apply(batch) {
        const applied = await documents.apply(batch);
        if (++count % 2 === 0) throw new StoreError('UNAVAILABLE', 'the answer was lost, as the test wants it');
        return applied;
      },
    };
    const node = await start({ log, documents: losing }, reaction);
    stops.push(node.stop);
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await appendEvent(log));
    for (const id of ids) {
      await until('it is done', async () => {
        await node.clock.advance(1_000);
        return statusIs(id, 'done')();
      });
    }
    expect(count).toBeGreaterThan(40);
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });

  it.each([
    ['the beginning of its attempt is stored, and the answer is lost', 'pending', true],
    ['the beginning of its attempt cannot be stored', 'pending', false],
    ['its outcome cannot be stored', 'done', false],
  ] as const)('is performed once and done within 2 s when at first %s', async (_what, status, isWritten) => {
    const { reaction, performed } = recording();
    let left = 4;
    const losing: DocumentStore = {
      ...unless(() => false, documents),
      async apply(batch) {
        const isIt = batch.writes.some(({ body }) => body?.status === status && body.attempts === 1);
        const fails = isIt && left > 0;
        if (fails) left--;
        if (isWritten || !fails) {
          const applied = await documents.apply(batch);
          if (!fails) return applied;
        }
        throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      },
      async getMany(collection, ids) {
        // It cannot be read at once either.
        if (collection === 'effects' && left > 0 && left < 4) {
          left--;
          throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
        }
        return documents.getMany(collection, ids);
      },
    };
    const { clock, stop } = await start({ log, documents: losing }, reaction);
    stops.push(stop);
    const begunAt = clock.now();
    const id = await appendEvent(log);
    await until('it is done', async () => {
      await clock.advance(50);
      return statusIs(id, 'done')();
    });
    expect(clock.now() - begunAt).toBeLessThan(2_000);
    expect(left).toBe(0);
    expect(performed).toEqual([id]);
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 1, lastError: null });
  });

  it('is performed within a second after a long outage of the event log, and the attempts before do not count', async () => {
    const refusals = [
      new StoreError('UNAVAILABLE', 'as the test wants it'),
      new StoreError('UNKNOWN', 'as the test wants it'),
      new Refusal('unavailable', 'as the test wants it'),
    ];
    let isAway = true;
    let calls = 0;
    const { reaction, performed } = recording(async () => {
      if (isAway) throw refusals[calls++ % refusals.length];
    });
    const { clock } = await run(reaction);
    const id = await appendEvent(log);
    await until('it is attempted', () => performed.length === 1);
    const begunAt = clock.now();
    while (clock.now() - begunAt < HOUR / 6) {
      const { length } = performed;
      await until('it is attempted again', async () => {
        await clock.advance(500);
        return performed.length > length;
      });
    }
    isAway = false;
    const endedAt = clock.now();
    await until('it is done', async () => {
      if (!(await statusIs(id, 'done')())) await clock.advance(50);
      return statusIs(id, 'done')();
    });
    expect(clock.now() - endedAt).toBeLessThanOrEqual(1_500);
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 1, lastError: null });
  });

  it('that failed is attempted again after growing pauses', async () => {
    const { reaction, performed } = recording(async (_event, attempts) => {
      if (attempts < 4) throw new Error('not now');
    });
    const { clock } = await run(reaction);
    const id = await appendEvent(log);
    const pauses: number[] = [];
    for (let attempts = 1; attempts < 4; attempts++) {
      await until(
        'it failed',
        async () => (await effectOf(documents, id))?.lastError === 'not now' && performed.length === attempts,
      );
      await until('it waits', async () => ((await effectOf(documents, id))?.dueAt ?? 0) < clock.now() + 60_000);
      const effect = await effectOf(documents, id);
      expect(effect).toMatchObject({ status: 'pending', attempts, lastError: 'not now' });
      pauses.push((effect?.dueAt ?? 0) - clock.now());
      await untilAttempted(clock, performed, attempts + 1);
    }
    await until('it is done', statusIs(id, 'done'));
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 4, lastError: null });
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(2_500 * 2 ** i);
      expect(pause).toBeLessThanOrEqual(5_000 * 2 ** i);
    }
  });

  it('that keeps failing is parked after 24 hours', async () => {
    const { reaction, performed } = recording(async () => {
      throw new Error('not now');
    });
    const { clock } = await run(reaction);
    const createdAt = clock.now();
    const id = await appendEvent(log);
    await until('it is parked', async () => {
      await clock.advance(HOUR / 4);
      return statusIs(id, 'parked')();
    });
    const effect = await effectOf(documents, id);
    expect(effect).toMatchObject({ lastError: 'not now', attempts: performed.length });
    expect(effect?.createdAt).toBeGreaterThanOrEqual(createdAt);
    expect((effect?.dueAt ?? 0) - (effect?.createdAt ?? 0)).toBeGreaterThanOrEqual(24 * HOUR);
    expect(clock.now() - createdAt).toBeGreaterThanOrEqual(24 * HOUR);
    expect(clock.now() - createdAt).toBeLessThanOrEqual(26 * HOUR);
    const attempts = performed.length;
    await clock.advance(48 * HOUR);
    await clock.advance(48 * HOUR);
    expect(performed).toHaveLength(attempts);
  });

  it('with a permanent error is parked at once', async () => {
    const { reaction, performed } = recording(async () => {
      throw new RangeError('never');
    });
    await run(reaction);
    const id = await appendEvent(log);
    await until('it is parked', statusIs(id, 'parked'));
    expect(await effectOf(documents, id)).toMatchObject({ lastError: 'never', attempts: 1 });
    expect(performed).toEqual([id]);
  });

  it('that is slow does not hold up the others', async () => {
    const blocked: (() => void)[] = [];
    const { reaction, performed } = recording(async () => {
      if (performed.length <= 3) await new Promise<void>((resolve) => blocked.push(resolve));
    });
    await run(reaction);
    const slow = [await appendEvent(log), await appendEvent(log), await appendEvent(log)];
    await until('three are in progress', () => blocked.length === 3);
    const quick = await appendEvent(log);
    await until('the quick one is done', statusIs(quick, 'done'));
    for (const release of blocked) release();
    for (const id of slow) await until('it is done', statusIs(id, 'done'));
  });

  it('is not attempted a second time while its attempt is in progress, although the clock has jumped', async () => {
    const blocked = Promise.withResolvers<void>();
    const { reaction, performed } = recording(() => blocked.promise);
    const { clock } = await run(reaction);
    const id = await appendEvent(log);
    await until('it is in progress', () => performed.length === 1);
    await clock.advance(24 * HOUR);
    // Another one shows that the queue was read again.
    const later = await appendEvent(log);
    await until('the other one is in progress', () => performed.length === 2);
    for (let n = 0; n < 5; n++) await clock.advance(60_000);
    expect(performed).toEqual([id, later]);
    blocked.resolve();
    for (const each of [id, later]) await until('it is done', statusIs(each, 'done'));
    await clock.advance(HOUR);
    expect(performed).toEqual([id, later]);
  });

  it('is deleted 90 days after it was parked', async () => {
    const { reaction } = recording(async () => {
      throw new RangeError('never');
    });
    const { clock } = await run(reaction);
    const id = await appendEvent(log);
    await until('it is parked', statusIs(id, 'parked'));
    await clock.advance(90 * 24 * HOUR - 120_000);
    expect(await effectOf(documents, id)).toMatchObject({ status: 'parked' });
    await until('it is deleted', async () => {
      await clock.advance(60_000);
      return (await effectOf(documents, id)) === undefined;
    });
  });

  it('is deleted a week after it was done', async () => {
    const { reaction } = recording();
    const { clock } = await run(reaction);
    const id = await appendEvent(log);
    await until('it is done', statusIs(id, 'done'));
    await clock.advance(7 * 24 * HOUR - 120_000);
    expect(await effectOf(documents, id)).toMatchObject({ status: 'done' });
    await until('it is deleted', async () => {
      await clock.advance(60_000);
      return (await effectOf(documents, id)) === undefined;
    });
  });
});

describe('an effect whose process dies', () => {
  it('after the attempt began is attempted by the next process, after two minutes', async () => {
    // The attempt of the first process does not end, and nothing of it reaches the documents any more.
    const { reaction: hanging, performed: attempted } = recording(() => new Promise(() => {}));
    const clock = manualClock();
    let isDead = false;
    const first = await start({ log, documents: unless(() => isDead, documents) }, hanging, clock);
    const id = await appendEvent(log);
    await until('it is attempted', () => attempted.length === 1);
    isDead = true;

    const { reaction, performed } = recording();
    await run(reaction, clock);
    await clock.advance(60_000);
    expect(performed).toEqual([]);
    await untilAttempted(clock, performed, 1);
    expect(clock.now() - Date.parse('2026-01-01T00:00:00.000Z')).toBeGreaterThanOrEqual(120_000);
    await until('it is done', statusIs(id, 'done'));
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 2 });

    // A runner that is stopped waits 10 s at most for an attempt that does not end.
    const stoppedAt = clock.now();
    let hasStopped = false;
    const stopped = first.stop().then(() => {
      hasStopped = true;
    });
    await until('it has stopped', async () => {
      await clock.advance(1_000);
      return hasStopped;
    });
    await stopped;
    expect(clock.now() - stoppedAt).toBeLessThanOrEqual(10_000);
  });

  it('before its outcome was stored is performed a second time, and not a third', async () => {
    const { reaction, performed } = recording();
    const clock = manualClock();
    // The outcome does not reach the documents.
    const dead: DocumentStore = {
      ...unless(() => false, documents),
      apply: (batch) =>
        batch.writes.some(({ body }) => body?.status === 'done')
          ? Promise.reject(new Error('the process died here'))
          : documents.apply(batch),
    };
    const dying = await start({ log, documents: dead }, reaction, clock);
    const id = await appendEvent(log);
    await until('it was performed', () => performed.length === 1);
    await dying.stop();

    await run(reaction, clock);
    await untilAttempted(clock, performed, 2);
    await until('the outcome is stored', statusIs(id, 'done'));
    await clock.advance(HOUR);
    await clock.advance(HOUR);
    expect(performed).toEqual([id, id]);
  });

  it('before it was stored is added by the next process, together with the checkpoint', async () => {
    const { reaction, performed } = recording();
    const clock = manualClock();
    // Writes the effects of a batch, and dies before the checkpoint.
    let hasDied = false;
    const apply = async (batch: WriteBatch) => {
      if (hasDied) throw new StoreError('UNAVAILABLE', 'the process died, as the test wants it');
      hasDied = batch.writes.some(({ collection }) => collection === 'effects');
      return documents.apply(hasDied ? { writes: batch.writes.slice(0, 1) } : batch);
    };
    const dying = await start({ log, documents: { ...unless(() => hasDied, documents), apply } }, reaction, clock);
    const ids = await Promise.all([appendEvent(log), appendEvent(log), appendEvent(log)]);
    await until('it died', () => hasDied);
    await dying.stop();

    await run(reaction, clock);
    for (const id of ids) await until('it is done', statusIs(id, 'done'));
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });
});
