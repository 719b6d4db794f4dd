import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { createReactionRunner } from '../../src/reactions/reaction-runner.ts';
import { manualClock } from '../support/manual-clock.ts';
import { effectOf, happen, noting, openStores, start, until } from './world.ts';

const HOUR = 60 * 60_000;

let stores: Awaited<ReturnType<typeof openStores>>;
let events: EventStore;
let documents: DocumentStore;
const stops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  stores = await openStores();
  ({ events, documents } = stores);
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

/** Lets the node look at what the moved clock made due, until the effect was tried so often. */
async function untilTried(clock: ReturnType<typeof manualClock>, performed: string[], times: number): Promise<void> {
  await until(`it was tried ${times} times`, async () => {
    if (performed.length < times) await clock.advance(1_000);
    return performed.length >= times;
  });
}

describe('where a reaction starts', () => {
  const prepare = (reaction: ReturnType<typeof noting>['reaction']) =>
    createReactionRunner(
      { events, documents, clock: manualClock(), logger: silentLogger, lease: { acquire: async () => null } },
      reaction,
    ).prepare();

  it('a new one leaves alone what was in the log before', async () => {
    await happen(events);
    const { reaction, performed } = noting();
    await prepare(reaction);
    const later = await happen(events);
    await run(reaction);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed).toEqual([later]);
  });

  it('on a new log it misses nothing that comes after it was prepared, however late it runs', async () => {
    const { reaction, performed } = noting();
    await prepare(reaction);
    const ids = [await happen(events), await happen(events)];
    await prepare(reaction);
    await run(reaction);
    await until('both are done', async () =>
      (await Promise.all(ids.map((id) => statusIs(id, 'done')()))).every(Boolean),
    );
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });

  it('with documents of another log it starts at the end of this one', async () => {
    const { reaction, performed } = noting();
    await prepare(reaction);
    const other = await openStores();
    await happen(other.events);
    const node = await start({ events: other.events, documents }, reaction);
    const later = await happen(other.events);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed).toEqual([later]);
    await node.stop();
    await other.close();
  });
});

describe('an effect', () => {
  it('is performed once for each event, also when the log is read again', async () => {
    const { reaction, performed } = noting();
    const first = await run(reaction);
    const [start] = (await documents.getMany('reaction-checkpoints', ['noting'])).values();
    const ids = [await happen(events), await happen(events), await happen(events)];
    for (const id of ids) await until('it is done', statusIs(id, 'done'));
    await first.stop();

    // As if the checkpoint had been lost together with the process.
    const [now] = (await documents.getMany('reaction-checkpoints', ['noting'])).values();
    const last = { collection: 'reaction-checkpoints', id: 'noting', guard: now?.position ?? null };
    await documents.apply({ writes: [{ ...last, position: '000000009999', body: start?.body ?? null }] });
    await run(reaction);
    const later = await happen(events);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed.toSorted()).toEqual([...ids, later].toSorted());
  });

  it('is performed once in the ordinary case when two nodes believe to have the lease', async () => {
    const { reaction, performed } = noting(async () => {});
    const clock = manualClock();
    await run(reaction, clock);
    await run(reaction, clock);
    const ids: string[] = [];
    for (let i = 0; i < 40; i++) ids.push(await happen(events));
    for (const id of ids) {
      await until('it is done', async () => {
        // Who was in the other's way goes on after a pause.
        if (!(await statusIs(id, 'done')())) await clock.advance(1_000);
        return statusIs(id, 'done')();
      });
    }
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });

  it('that failed is tried again after growing pauses', async () => {
    const { reaction, performed } = noting(async (_event, tries) => {
      if (tries < 4) throw new Error('not now');
    });
    const { clock } = await run(reaction);
    const id = await happen(events);
    const pauses: number[] = [];
    for (let tries = 1; tries < 4; tries++) {
      await until(
        'it failed',
        async () => (await effectOf(documents, id))?.lastError === 'not now' && performed.length === tries,
      );
      await until('it waits', async () => ((await effectOf(documents, id))?.dueAt ?? 0) < clock.now() + 60_000);
      const effect = await effectOf(documents, id);
      expect(effect).toMatchObject({ status: 'claimed', attempts: tries, lastError: 'not now' });
      pauses.push((effect?.dueAt ?? 0) - clock.now());
      await untilTried(clock, performed, tries + 1);
    }
    await until('it is done', statusIs(id, 'done'));
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 4, lastError: null });
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(2_500 * 2 ** i);
      expect(pause).toBeLessThanOrEqual(5_000 * 2 ** i);
    }
  });

  it('that keeps failing is parked after a day', async () => {
    const { reaction, performed } = noting(async () => {
      throw new Error('not now');
    });
    const { clock } = await run(reaction);
    const id = await happen(events);
    const claimedAt = clock.now();
    await until('it is parked', async () => {
      await clock.advance(HOUR / 4);
      return statusIs(id, 'parked')();
    });
    expect(clock.now() - claimedAt).toBeGreaterThanOrEqual(24 * HOUR);
    expect(clock.now() - claimedAt).toBeLessThanOrEqual(26 * HOUR);
    expect(await effectOf(documents, id)).toMatchObject({ lastError: 'not now', attempts: performed.length });
    const tries = performed.length;
    await clock.advance(48 * HOUR);
    await clock.advance(48 * HOUR);
    expect(performed).toHaveLength(tries);
  });

  it('that fails for good is parked at once', async () => {
    const { reaction, performed } = noting(async () => {
      throw new RangeError('never');
    });
    await run(reaction);
    const id = await happen(events);
    await until('it is parked', statusIs(id, 'parked'));
    expect(await effectOf(documents, id)).toMatchObject({ lastError: 'never', attempts: 1 });
    expect(performed).toEqual([id]);
  });

  it('that is slow does not hold up the others', async () => {
    const blocked: (() => void)[] = [];
    const { reaction, performed } = noting(async () => {
      if (performed.length <= 3) await new Promise<void>((resolve) => blocked.push(resolve));
    });
    await run(reaction);
    const slow = [await happen(events), await happen(events), await happen(events)];
    await until('three are under way', () => blocked.length === 3);
    const quick = await happen(events);
    await until('the quick one is done', statusIs(quick, 'done'));
    for (const release of blocked) release();
    for (const id of slow) await until('it is done', statusIs(id, 'done'));
  });

  it('is forgotten a week after it was done', async () => {
    const { reaction } = noting();
    const { clock } = await run(reaction);
    const id = await happen(events);
    await until('it is done', statusIs(id, 'done'));
    await clock.advance(7 * 24 * HOUR - 120_000);
    expect(await effectOf(documents, id)).toMatchObject({ status: 'done' });
    await until('it is forgotten', async () => {
      await clock.advance(60_000);
      return (await effectOf(documents, id)) === undefined;
    });
  });
});

describe('a process that dies', () => {
  it('between claiming and doing leaves it to the next one', async () => {
    // The first process hangs in its try, and nothing of it reaches the documents any more.
    const { reaction: hanging, performed: tried } = noting(() => new Promise(() => {}));
    const clock = manualClock();
    let isDead = false;
    const first = await start({ events, documents: unless(() => isDead, documents) }, hanging, clock);
    const id = await happen(events);
    await until('it is tried', () => tried.length === 1);
    isDead = true;

    const { reaction, performed } = noting();
    await run(reaction, clock);
    await clock.advance(60_000);
    expect(performed).toEqual([]);
    await untilTried(clock, performed, 1);
    expect(clock.now() - Date.parse('2026-01-01T00:00:00.000Z')).toBeGreaterThanOrEqual(120_000);
    await until('it is done', statusIs(id, 'done'));
    expect(await effectOf(documents, id)).toMatchObject({ attempts: 2 });

    // Nor does one that is told to stop wait for ever for what hangs.
    let hasStopped = false;
    const stopped = first.stop().then(() => {
      hasStopped = true;
    });
    await until('it has stopped', async () => {
      await clock.advance(1_000);
      return hasStopped;
    });
    await stopped;
  });

  it('between doing and noting that does it a second time, and no third', async () => {
    const { reaction, performed } = noting();
    const clock = manualClock();
    // What notes that it was done does not reach the documents.
    const deaf: DocumentStore = {
      ...unless(() => false, documents),
      apply: (batch) =>
        batch.writes.some(({ body }) => body?.status === 'done')
          ? Promise.reject(new Error('the process died here'))
          : documents.apply(batch),
    };
    const dying = await start({ events, documents: deaf }, reaction, clock);
    const id = await happen(events);
    await until('it was done', () => performed.length === 1);
    await dying.stop();

    await run(reaction, clock);
    await untilTried(clock, performed, 2);
    await until('that is noted', statusIs(id, 'done'));
    await clock.advance(HOUR);
    await clock.advance(HOUR);
    expect(performed).toEqual([id, id]);
  });
});

describe('a node', () => {
  it('works only while it has the lease, and gives it back when it stops', async () => {
    const { reaction, performed } = noting();
    const grant = Promise.withResolvers<void>();
    const released: string[] = [];
    const lease = {
      acquire: async () => {
        await grant.promise;
        return { lost: new AbortController().signal, release: async () => void released.push('released') };
      },
    };
    const node = await run(reaction, manualClock(), lease);
    const id = await happen(events);
    for (let i = 0; i < 20; i++) await node.clock.advance(60_000);
    expect(performed).toEqual([]);
    grant.resolve();
    await until('it is done', statusIs(id, 'done'));
    await node.stop();
    expect(released).toEqual(['released']);
  });

  it('asks for the lease again when it has lost it', async () => {
    const { reaction } = noting();
    const held: AbortController[] = [];
    const lease = {
      acquire: async () => {
        const lost = new AbortController();
        held.push(lost);
        return { lost: lost.signal, release: async () => {} };
      },
    };
    await run(reaction, manualClock(), lease);
    await until('it has the lease', () => held.length === 1);
    held[0]?.abort();
    await until('it has the lease again', () => held.length === 2);
    const id = await happen(events);
    await until('it is done', statusIs(id, 'done'));
  });

  it('goes on after the documents were away', async () => {
    const { reaction, performed } = noting();
    let away = false;
    const flaky = unless(() => away, documents);
    const clock = manualClock();
    const node = await start({ events, documents: flaky }, reaction, clock);
    stops.push(node.stop);
    away = true;
    const id = await happen(events);
    for (let i = 0; i < 5; i++) await clock.advance(60_000);
    expect(performed).toEqual([]);
    away = false;
    await until('it is done', async () => {
      await clock.advance(15_000);
      return statusIs(id, 'done')();
    });
    expect(performed).toEqual([id]);
  });
});

/** The store, out of reach whenever `isAway`. */
function unless(isAway: () => boolean, store: DocumentStore): DocumentStore {
  const reach = <Result>(work: () => Promise<Result>): Promise<Result> =>
    isAway() ? Promise.reject(new StoreError('UNAVAILABLE', 'away, as the test wants it')) : work();
  return {
    define: (collections) => reach(() => store.define(collections)),
    drop: (collection) => reach(() => store.drop(collection)),
    getMany: (collection, ids) => reach(() => store.getMany(collection, ids)),
    find: (collection, query) => reach(() => store.find(collection, query)),
    count: (collection, filter, cap) => reach(() => store.count(collection, filter, cap)),
    apply: (batch) => reach(() => store.apply(batch)),
    close: () => store.close(),
  };
}
