import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import type { Projections } from '../../src/projections/runner/projections.ts';
import {
  changePointer,
  firstPointer,
  generationCollections,
  POINTERS,
  readPointers,
  withBuilding,
  withSwap,
} from '../../src/projections/runner/generations.ts';
import { Progress } from '../../src/projections/runner/progress.ts';
import { createReader } from '../../src/projections/runner/read-models.ts';
import type { RebuildProgress } from '../../src/projections/runner/rebuild.ts';
import { manualClock } from '../support/manual-clock.ts';
import { ALL, added, counter, created, openWorld, PATIENCE, removed, sent, until, type World } from './node.ts';
import { dumpProjection, faultyDocuments, objectId } from './support.ts';

const pointerOf = async ({ documents }: World, name = 'counter') => (await readPointers(documents, [name])).get(name);

const read = async (node: Projections, n = 1) => (await node.readModels.get('counter/counts', objectId(n)))?.body;

const messages = (many: number, from = 1) => Array.from({ length: many }, (_, i) => sent(1, from + i, 1));

/** The log, of which pages cannot be read until `release`: a rebuild that takes as long as a test wants. */
function held(events: EventStore) {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let asked = 0;
  const store: EventStore = {
    append: (stream, list, options) => events.append(stream, list, options),
    readStream: (stream, options) => events.readStream(stream, options),
    async readAll(options) {
      asked++;
      await released;
      return events.readAll(options);
    },
    subscribe: (options) => events.subscribe(options),
    setRetention: (stream, retention) => events.setRetention(stream, retention),
    head: () => events.head(),
    epoch: () => events.epoch(),
    close: () => events.close(),
  };
  return { store, release: () => release(), asked: () => asked };
}

describe('a rebuild', () => {
  it('makes the same documents as following the log did', async () => {
    const world = await openWorld();
    const node = world.node();
    await world.append(created(1, [1, 2]), added(1, 3, 0), sent(1, 1, 1), sent(1, 2, 3), created(2, [2, 3]));
    await world.append(removed(1, 2), sent(2, 1, 2), added(1, 2, 2), sent(1, 3, 2));
    await node.readModels.waitFor(ALL, (await world.events.head())!, PATIENCE);
    for (const projection of catalogue) {
      const before = await dumpProjection(world.documents, projection, 1);
      await node.rebuild(projection.name);
      expect(await pointerOf(world, projection.name)).toMatchObject({ active: { generation: 2 }, building: null });
      expect(await dumpProjection(world.documents, projection, 2)).toEqual(before);
    }
    // And it follows on.
    const position = await world.append(sent(1, 4, 1));
    expect(await node.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
    expect((await node.readModels.get('conversations/conversations', objectId(1)))?.body.lastSeq).toBe(4);
  });

  it('tells how far it is, up to the end', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...messages(40)), PATIENCE);
    const told: RebuildProgress[] = [];
    await node.rebuild('counter', (progress) => told.push(progress));
    expect(told.at(-1)).toMatchObject({ generation: 2, events: 40, total: 40, position: await world.events.head() });
    expect(told.every(({ events, total }, i) => events <= total && events >= (told[i - 1]?.events ?? 0))).toBe(true);
  });

  it('leaves the old documents to readers until the new ones are complete, and loses no reader at the swap', async () => {
    const world = await openWorld();
    const { store, release, asked } = held(world.events);
    const node = world.node({ events: store, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...messages(20)), PATIENCE);
    let isDone = false;
    const rebuilding = node.rebuild('counter').finally(() => {
      isDone = true;
    });
    await until(() => asked() > 0, 'it reads the log');
    const counts: unknown[] = [];
    const reading = (async () => {
      while (!isDone) {
        counts.push((await read(node))?.count);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const position = await world.append(...messages(5, 21));
    expect(await node.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await read(node)).toMatchObject({ count: 25 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 1 }, building: { generation: 2 } });
    release();
    await rebuilding;
    await reading;
    expect(await read(node)).toMatchObject({ count: 25 });
    // Nobody writes to the old ones any more.
    await node.readModels.waitFor(['counter'], await world.append(...messages(1, 26)), PATIENCE);
    const old = (await world.documents.getMany('counter.1.counts', [objectId(1)])).get(objectId(1));
    expect([(await read(node))?.count, old?.body.count]).toEqual([26, 25]);
    expect(new Set(counts).isSubsetOf(new Set([20, 21, 22, 23, 24, 25]))).toBe(true);
  });

  it('is asked for from a node that does not run the projections', async () => {
    const world = await openWorld();
    const clock = manualClock();
    const runner = world.node({ clock, projections: [counter({})] });
    await runner.readModels.waitFor(['counter'], await world.append(...messages(3)), PATIENCE);
    const reader = world.node({ owner: 'reader', run: false, projections: [counter({})] });
    let isDone = false;
    const rebuilding = reader.rebuild('counter').finally(() => {
      isDone = true;
    });
    await until(async () => {
      await clock.advance(3_000);
      return isDone;
    }, 'the runner has heard of it');
    await rebuilding;
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2 } });
    expect(await read(reader)).toMatchObject({ count: 3 });
  });

  it('fails in words on an event that cannot be taken, and the old documents stay', async () => {
    const world = await openWorld();
    let isPicky = false;
    const picky = counter({
      count(content, before) {
        if (isPicky && content === 'm2') throw new Error('not this one');
        return before + 1;
      },
    });
    const node = world.node({ projections: [picky] });
    await node.readModels.waitFor(['counter'], await world.append(...messages(3)), PATIENCE);
    isPicky = true;
    await expect(node.rebuild('counter')).rejects.toMatchObject({
      name: 'RebuildFailed',
      message: expect.stringContaining('not this one'),
    });
    expect(await read(node)).toMatchObject({ count: 3 });
    expect((await node.status())[0]).toMatchObject({ state: 'live', building: { parked: { type: 'MessageSent' } } });
    isPicky = false;
    await node.rebuild('counter');
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 3 }, building: null });
  });

  it('of what there is not fails', async () => {
    const world = await openWorld();
    const node = world.node({ run: false, projections: [counter({})] });
    await expect(node.rebuild('counter')).rejects.toMatchObject({ name: 'RebuildFailed' });
    await expect(node.rebuild('nothing')).rejects.toMatchObject({ code: 'INVALID' });
  });
});

describe('a projection of another version than its documents', () => {
  it('is built beside them, and they answer until it has caught up', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [counter({})] });
    const before = await world.append(...messages(10));
    await first.readModels.waitFor(['counter'], before, PATIENCE);
    await first.close();
    const { store, release } = held(world.events);
    // The common reading waits, too, since nothing else is up to date.
    const slow: EventStore = {
      ...store,
      async *subscribe(options) {
        await store.readAll({ direction: 'forwards', from: null, limit: 1 });
        yield* world.events.subscribe(options);
      },
    };
    const node = world.node({ events: slow, projections: [counter({ version: 2, count: (_, count) => count + 2 })] });
    const after = await world.append(...messages(1, 11));
    await until(async () => (await pointerOf(world))?.building !== null, 'it is being built');
    expect(await read(node)).toEqual({ count: 10, version: 1 });
    expect(await node.readModels.checkpoint('counter')).toBe(before);
    release();
    expect(await node.readModels.waitFor(['counter'], after, PATIENCE)).toBe(true);
    expect(await read(node)).toEqual({ count: 22, version: 2 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2, version: 2 }, building: null });
  });

  it('goes on being built after the node died half-way', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [counter({})] });
    // More conversations than are written at once.
    const position = await world.append(...Array.from({ length: 1_500 }, (_, i) => sent(i % 600, i + 1, 1)));
    await first.readModels.waitFor(['counter'], position, PATIENCE);
    await first.close();
    let writes = 0;
    const failing = faultyDocuments(world.documents, (batch) =>
      batch.writes[0]?.collection === 'counter.2.counts' && ++writes > 1 ? 'away' : 'none',
    );
    const second = world.node({ documents: failing, projections: [counter({ version: 2 })] });
    await until(() => writes > 1, 'it is half-way');
    expect(await read(second)).toEqual({ count: 3, version: 1 });
    await second.close();
    const third = world.node({ projections: [counter({ version: 2 })] });
    const after = await world.append(sent(1, 1_501, 1));
    expect(await third.readModels.waitFor(['counter'], after, PATIENCE)).toBe(true);
    expect(await read(third, 0)).toEqual({ count: 3, version: 2 });
    expect(await read(third)).toEqual({ count: 4, version: 2 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2 }, building: null });
  });

  it('gives up what yet another version had begun to build', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [counter({})] });
    await first.readModels.waitFor(['counter'], await world.append(...messages(5)), PATIENCE);
    await first.close();
    const failing = faultyDocuments(world.documents, ({ last }) => (last?.id === 'counter.2' ? 'away' : 'none'));
    const second = world.node({ documents: failing, projections: [counter({ version: 2 })] });
    await until(async () => (await pointerOf(world))?.building?.version === 2, 'it has begun');
    await second.close();
    const back = world.node({ projections: [counter({})] });
    const position = await world.append(...messages(1, 6));
    expect(await back.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await read(back)).toEqual({ count: 6, version: 1 });
    expect(await pointerOf(world)).toMatchObject({
      active: { generation: 1 },
      building: null,
      retired: [{ generation: 2 }],
      next: 3,
    });
  });
});

describe('generations', () => {
  it('that are read no more are dropped after their grace, and not before', async () => {
    const world = await openWorld();
    const clock = manualClock();
    const node = world.node({ clock, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...messages(3)), PATIENCE);
    await node.rebuild('counter');
    const old = () => world.documents.getMany('counter.1.counts', [objectId(1)]);
    for (let passed = 0; passed < 24_000; passed += 3_000) {
      await clock.advance(3_000);
      expect((await old()).size).toBe(1);
    }
    await until(async () => {
      await clock.advance(3_000);
      return (await pointerOf(world))?.retired.length === 0;
    }, 'it is dropped');
    await expect(old()).rejects.toMatchObject({ code: 'INVALID' });
    expect((await world.documents.getMany('projection-checkpoints', ['counter.1'])).size).toBe(0);
    expect(await read(node)).toMatchObject({ count: 3 });
  });

  it('are never read backwards, when word of an older one comes late', async () => {
    const { documents } = await openWorld();
    const projection = counter({});
    await documents.define([
      POINTERS,
      ...generationCollections(projection, 1),
      ...generationCollections(projection, 2),
    ]);
    const write = { id: objectId(1), position: '1', guard: null };
    await documents.apply({ writes: [{ ...write, collection: 'counter.1.counts', body: { count: 1 } }] });
    await documents.apply({ writes: [{ ...write, collection: 'counter.2.counts', body: { count: 2 } }] });
    const old = await changePointer(documents, 'counter', () => firstPointer(projection));
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const slow: DocumentStore = {
      ...faultyDocuments(documents, () => 'none'),
      async getMany(collection, ids) {
        const found = await documents.getMany(collection, ids);
        if (collection === POINTERS.name) await answered;
        return found;
      },
    };
    const clock = manualClock();
    const progress = new Progress({ clock, logger: silentLogger, poll: async () => new Map() });
    const reader = createReader({ documents: slow, clock, projections: [projection], progress, ready: async () => {} });
    const reading = reader.get('counter/counts', objectId(1));
    reader.pointerHolds('counter', withSwap(withBuilding(old, projection), 2));
    answer();
    expect((await reading)?.body).toEqual({ count: 2 });
  });

  it('read as empty while there is none', async () => {
    const world = await openWorld();
    const node = world.node({ run: false, projections: [counter({})] });
    expect(await read(node)).toBeUndefined();
    expect(await node.readModels.find('counter/counts', { filter: {}, limit: 10 })).toEqual({ items: [], next: null });
    expect(await node.readModels.count('counter/counts', {}, 10)).toBe(0);
    expect(await node.readModels.checkpoint('counter')).toBeNull();
    expect((await node.status())[0]).toMatchObject({ state: 'waiting', generation: null, checkpoint: null });
  });
});
