import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { readCheckpoints } from '../../src/log/checkpoint.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import {
  changePointer,
  firstPointer,
  generationCollections,
  POINTERS,
  withBuilding,
  withSwap,
} from '../../src/projections/runner/generations.ts';
import { Progress } from '../../src/projections/runner/progress.ts';
import { createReader } from '../../src/projections/runner/read-models.ts';
import { manualClock } from '../support/manual-clock.ts';
import {
  countBody,
  counter,
  created,
  held,
  manySent,
  openWorld,
  PATIENCE,
  pass,
  passing,
  pointerOf,
  sent,
  until,
} from './node.ts';
import { faultyDocuments, objectId } from './support.ts';

const notBuilt = { name: 'Refusal', code: 'not-yet-visible', retryAfterMs: expect.any(Number) };

describe('a projection of another version than its documents', () => {
  it('is built beside them, and they are read until it has caught up', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [counter({})] });
    const before = await world.append(...manySent(10));
    await first.readModels.waitFor(['counter'], before, PATIENCE);
    await first.close();
    // The common subscription too: nothing else is up to date.
    const { log, release } = held(world.log, 'all');
    const node = world.node({ log, projections: [counter({ version: 2, count: (_, count) => count + 2 })] });
    const after = await world.append(...manySent(1, 11));
    await until(async () => (await pointerOf(world))?.building !== null, 'it is being built');
    expect(await countBody(node)).toEqual({ count: 10, version: 1 });
    expect(await node.readModels.checkpoint('counter')).toBe(before);
    release();
    expect(await node.readModels.waitFor(['counter'], after, PATIENCE)).toBe(true);
    expect(await countBody(node)).toEqual({ count: 22, version: 2 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2, version: 2 }, building: null });
  });

  it('continues to be built after the node died half-way', async () => {
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
    expect(await countBody(second)).toEqual({ count: 3, version: 1 });
    await second.close();
    const third = world.node({ projections: [counter({ version: 2 })] });
    const after = await world.append(sent(1, 1_501, 1));
    expect(await third.readModels.waitFor(['counter'], after, PATIENCE)).toBe(true);
    expect(await countBody(third, 0)).toEqual({ count: 3, version: 2 });
    expect(await countBody(third)).toEqual({ count: 4, version: 2 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2 }, building: null });
  });

  it('retires the generation that yet another version had begun to build', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [counter({})] });
    await first.readModels.waitFor(['counter'], await world.append(...manySent(5)), PATIENCE);
    await first.close();
    const failing = faultyDocuments(world.documents, ({ last }) =>
      last?.id === 'projections/counter.2' ? 'away' : 'none',
    );
    const second = world.node({ documents: failing, projections: [counter({ version: 2 })] });
    await until(async () => (await pointerOf(world))?.building?.version === 2, 'it has begun');
    await second.close();
    const back = world.node({ projections: [counter({})] });
    const position = await world.append(...manySent(1, 6));
    expect(await back.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await countBody(back)).toEqual({ count: 6, version: 1 });
    expect(await pointerOf(world)).toMatchObject({
      active: { generation: 1 },
      building: null,
      retired: [{ generation: 2 }],
      next: 3,
    });
  });
});

describe('generations', () => {
  it('that are no longer read are dropped after the grace period, and not before', async () => {
    const world = await openWorld();
    const clock = manualClock();
    const node = world.node({ clock, projections: [counter({})] });
    const position = await world.append(...manySent(3));
    await passing([clock], node.readModels.waitFor(['counter'], position, PATIENCE));
    await passing([clock], node.rebuild('counter'));
    const old = () => world.documents.getMany('counter.1.counts', [objectId(1)]);
    for (let passed = 0; passed < 24_000; passed += 3_000) {
      await pass(clock, 3_000);
      expect((await old()).size).toBe(1);
    }
    await until(async () => {
      await pass(clock, 500);
      return (await pointerOf(world))?.retired.length === 0;
    }, 'it is dropped');
    await expect(old()).rejects.toMatchObject({ code: 'INVALID' });
    const checkpoints = await readCheckpoints(world.documents, ['projections/counter.1', 'projections/counter.2']);
    expect([...checkpoints.values()].map((checkpoint) => checkpoint?.events)).toEqual([undefined, 3]);
    expect(await countBody(node)).toMatchObject({ count: 3 });
  });

  it('are never replaced by an older one, when a read of the pointer is late', async () => {
    const { documents, log } = await openWorld();
    const projection = counter({});
    await documents.define([
      POINTERS,
      ...generationCollections(projection, 1),
      ...generationCollections(projection, 2),
    ]);
    const write = { id: objectId(1), position: '1', guard: null };
    await documents.apply({ writes: [{ ...write, collection: 'counter.1.counts', body: { count: 1 } }] });
    await documents.apply({ writes: [{ ...write, collection: 'counter.2.counts', body: { count: 2 } }] });
    const old = await changePointer(documents, 'counter', () => firstPointer(projection, true));
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
    const reader = createReader({
      log,
      documents: slow,
      clock,
      projections: [projection],
      progress,
      ready: async () => {},
    });
    const reading = reader.get('counter/counts', objectId(1));
    reader.pointerHolds('counter', withSwap(withBuilding(old, projection), 2));
    answer();
    expect((await reading)?.body).toEqual({ count: 2 });
  });

  it('are not read before there is one', async () => {
    const world = await openWorld();
    const node = world.node({ run: false, projections: [counter({})] });
    await expect(countBody(node)).rejects.toMatchObject(notBuilt);
    await expect(node.readModels.find('counter/counts', { filter: {}, limit: 10 })).rejects.toMatchObject(notBuilt);
    await expect(node.readModels.count('counter/counts', {}, 10)).rejects.toMatchObject(notBuilt);
    expect(await node.readModels.checkpoint('counter')).toBeNull();
    expect((await node.status())[0]).toMatchObject({ state: 'waiting', generation: null, checkpoint: null });
  });
});

describe('the first generation', () => {
  it('of a log without an event for it can be read before anything runs, and is prepared by a node that will run it', async () => {
    const world = await openWorld();
    await world.append(created(1, [1, 2]));
    const { log } = held(world.log, 'all');
    const reader = world.node({ node: 'reader', run: false, projections: [counter({})] });
    await reader.prepare();
    await expect(countBody(reader)).rejects.toMatchObject(notBuilt);
    const node = world.node({ log, projections: [counter({})], start: false });
    await node.prepare();
    node.start();
    expect(await countBody(node)).toBeUndefined();
    expect(await countBody(reader)).toBeUndefined();
  });

  it('is read on every node once it contains the log as it was when its building began, and not before', async () => {
    const world = await openWorld();
    // More conversations than are written at once.
    const position = await world.append(...Array.from({ length: 1_500 }, (_, i) => sent(i % 600, i + 1, 1)));
    const release = Promise.withResolvers<void>();
    let writes = 0;
    const documents: DocumentStore = {
      ...faultyDocuments(world.documents, () => 'none'),
      async apply(batch) {
        if (batch.writes[0]?.collection === 'counter.1.counts' && ++writes > 1) await release.promise;
        return world.documents.apply(batch);
      },
    };
    const projections = [counter({})];
    const node = world.node({ documents, projections });
    await node.prepare();
    const reader = world.node({ node: 'reader', run: false, projections });
    await until(() => writes > 1, 'a part of it is stored');
    const { items } = await world.documents.find('counter.1.counts', { filter: {}, limit: 1 });
    for (const each of [node, reader]) {
      await expect(countBody(each)).rejects.toMatchObject(notBuilt);
      expect(await each.readModels.waitFor(['counter'], items[0]?.position ?? '', 0)).toBe(false);
    }
    release.resolve();
    for (const each of [node, reader]) {
      expect(await each.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
      expect(await countBody(each)).toMatchObject({ count: 3 });
    }
  });

  it('continues to be built, unread, after the node died half-way', async () => {
    const world = await openWorld();
    const position = await world.append(...Array.from({ length: 1_500 }, (_, i) => sent(i % 600, i + 1, 1)));
    let writes = 0;
    const failing = faultyDocuments(world.documents, (batch) =>
      batch.writes[0]?.collection === 'counter.1.counts' && ++writes > 1 ? 'away' : 'none',
    );
    const first = world.node({ documents: failing, projections: [counter({})] });
    await until(() => writes > 1, 'it is half-way');
    await expect(countBody(first)).rejects.toMatchObject(notBuilt);
    await first.close();
    const reader = world.node({ run: false, projections: [counter({})] });
    await expect(countBody(reader)).rejects.toMatchObject(notBuilt);
    const second = world.node({ projections: [counter({})] });
    expect(await second.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await countBody(second)).toMatchObject({ count: 3 });
  });

  it('that is parked is not waited for', async () => {
    const world = await openWorld();
    const refusing = counter({
      count: () => {
        throw new Error('not this one');
      },
    });
    const position = await world.append(...manySent(2));
    const node = world.node({ projections: [refusing] });
    expect(await node.readModels.waitFor(['counter'], position, 1e9)).toBe(false);
    await expect(countBody(node)).rejects.toMatchObject(notBuilt);
  });
});
