import { describe, expect, it } from 'vitest';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { POINTERS, type Pointer } from '../../src/projections/runner/generations.ts';
import type { RebuildProgress } from '../../src/projections/runner/rebuild.ts';
import { manualClock } from '../support/manual-clock.ts';
import {
  ALL,
  added,
  countBody,
  counter,
  created,
  held,
  manySent,
  openWorld,
  PATIENCE,
  passing,
  pointerOf,
  removed,
  sent,
  until,
} from './node.ts';
import { type AnyEvent, dumpProjection, faultyDocuments, objectId, time } from './support.ts';

describe('a rebuild', () => {
  it('makes the same documents as following the log', async () => {
    const world = await openWorld();
    const node = world.node();
    await world.append(created(1, [1, 2]), added(1, 3, 0), sent(1, 1, 1), sent(1, 2, 3), created(2, [2, 3]));
    await world.append(removed(1, 2), sent(2, 1, 2), added(1, 2, 2), sent(1, 3, 2));
    await node.readModels.waitFor(ALL, (await world.log.head())!, PATIENCE);
    for (const projection of catalogue) {
      const before = await dumpProjection(world.documents, projection, 1);
      await node.rebuild(projection.name);
      expect(await pointerOf(world, projection.name)).toMatchObject({ active: { generation: 2 }, building: null });
      expect(await dumpProjection(world.documents, projection, 2)).toEqual(before);
    }
    // And it continues to follow the log.
    const position = await world.append(sent(1, 4, 1));
    expect(await node.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
    expect((await node.readModels.get('conversations/conversations', objectId(1)))?.body.lastSeq).toBe(4);
  });

  it('reports its progress up to the end', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...manySent(40)), PATIENCE);
    const reported: RebuildProgress[] = [];
    await node.rebuild('counter', (progress) => reported.push(progress));
    expect(reported.at(-1)).toMatchObject({ generation: 2, events: 40, total: 40, position: await world.log.head() });
    expect(reported.every(({ events, total }, i) => events <= total && events >= (reported[i - 1]?.events ?? 0))).toBe(
      true,
    );
  });

  it('serves the old documents until the new ones are complete, and every read succeeds during the swap', async () => {
    const world = await openWorld();
    const { log, release, asked } = held(world.log);
    const node = world.node({ log, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...manySent(20)), PATIENCE);
    let isDone = false;
    const rebuilding = node.rebuild('counter').finally(() => {
      isDone = true;
    });
    await until(() => asked() > 0, 'it follows the log');
    const counts: unknown[] = [];
    const reading = (async () => {
      while (!isDone) {
        counts.push((await countBody(node))?.count);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const position = await world.append(...manySent(5, 21));
    expect(await node.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await countBody(node)).toMatchObject({ count: 25 });
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 1 }, building: { generation: 2 } });
    release();
    await rebuilding;
    await reading;
    expect(await countBody(node)).toMatchObject({ count: 25 });
    // The old ones are no longer written.
    await node.readModels.waitFor(['counter'], await world.append(...manySent(1, 26)), PATIENCE);
    const old = (await world.documents.getMany('counter.1.counts', [objectId(1)])).get(objectId(1));
    expect([(await countBody(node))?.count, old?.body.count]).toEqual([26, 25]);
    expect(new Set(counts).isSubsetOf(new Set([20, 21, 22, 23, 24, 25]))).toBe(true);
  });

  it('can be requested from a node that does not run the projections', async () => {
    const world = await openWorld();
    const clock = manualClock();
    const runner = world.node({ clock, projections: [counter({})] });
    const position = await world.append(...manySent(3));
    await passing([clock], runner.readModels.waitFor(['counter'], position, PATIENCE));
    const reader = world.node({ node: 'reader', run: false, projections: [counter({})] });
    await passing([clock], reader.rebuild('counter'));
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2 } });
    expect(await countBody(reader)).toMatchObject({ count: 3 });
  });

  it('fails with a reason at an event that cannot be folded, and the old documents stay', async () => {
    const world = await openWorld();
    let isPicky = false;
    const picky = counter({
      count(content, before) {
        if (isPicky && content === 'm2') throw new Error('not this one');
        return before + 1;
      },
    });
    const node = world.node({ projections: [picky] });
    await node.readModels.waitFor(['counter'], await world.append(...manySent(3)), PATIENCE);
    isPicky = true;
    await expect(node.rebuild('counter')).rejects.toMatchObject({
      name: 'RebuildFailed',
      message: expect.stringContaining('not this one'),
    });
    expect(await countBody(node)).toMatchObject({ count: 3 });
    expect((await node.status())[0]).toMatchObject({ state: 'live', building: { parked: { type: 'MessageSent' } } });
    isPicky = false;
    await node.rebuild('counter');
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 3 }, building: null });
  });

  it('fails for a projection that does not exist or was never built', async () => {
    const world = await openWorld();
    const node = world.node({ run: false, projections: [counter({})] });
    await expect(node.rebuild('counter')).rejects.toMatchObject({ name: 'RebuildFailed' });
    await expect(node.rebuild('nothing')).rejects.toMatchObject({ code: 'INVALID' });
  });
});

describe('a rebuild after erasures', () => {
  it('makes the same documents as following the log, and none with text of the erased person', async () => {
    const world = await openWorld();
    const node = world.node();
    const user = (n: number, name: string): AnyEvent => ({
      type: 'UserRegistered',
      data: {
        userId: objectId(n),
        email: `${name}@example.org`,
        username: name,
        firstname: name,
        lastname: null,
        registeredAt: time(0),
      },
    });
    await world.append(
      user(1, 'secret'),
      user(2, 'public'),
      created(1, [1, 2]),
      created(2, [2, 1]),
      created(3, [2, 3]),
    );
    await world.append(sent(1, 1, 1, 'secret'), sent(1, 2, 2), sent(2, 1, 1, 'secret'), sent(3, 1, 2));
    // Of a former member, and of more members than a conversation's document names.
    await world.append(sent(3, 2, 1, 'secret'), ...Array.from({ length: 200 }, (_, i) => added(2, 1_000 + i, 1)));
    await world.append(removed(1, 1));
    await node.readModels.waitFor(ALL, (await world.log.head())!, PATIENCE);
    await node.readModels.waitFor(ALL, await world.erase(1), PATIENCE);
    const last = await world.append(sent(1, 3, 2), sent(2, 2, 2), sent(3, 3, 2));
    expect(await node.readModels.waitFor(ALL, last, PATIENCE)).toBe(true);
    for (const projection of catalogue) {
      const before = await dumpProjection(world.documents, projection, 1);
      expect(JSON.stringify(before)).not.toMatch(/secret/i);
      await node.rebuild(projection.name);
      expect(await dumpProjection(world.documents, projection, 2)).toEqual(before);
    }
  });
});

describe('a generation that cannot be swapped in at once', () => {
  it('is swapped in when the store is back, and each event was folded once', async () => {
    const world = await openWorld();
    let swaps = 0;
    const documents = faultyDocuments(world.documents, ({ writes }) => {
      const [write] = writes;
      const isSwap = write?.collection === POINTERS.name && (write.body as Pointer | null)?.active.generation === 2;
      return isSwap && ++swaps <= 3 ? 'away' : 'none';
    });
    const node = world.node({ documents, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(...manySent(20)), PATIENCE);
    const rebuilding = node.rebuild('counter');
    // Appends go on while the swap fails, and once each failure was seen.
    for (let from = 21, seen = 0; from < 200; from += 10) {
      await world.append(...manySent(10, from));
      if (seen < 3) await until(() => swaps > seen, 'the swap was tried again');
      seen = Math.min(3, seen + 1);
    }
    await rebuilding;
    const position = await world.append(...manySent(1, 201));
    expect(await node.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await countBody(node)).toEqual({ count: 201, version: 1 });
    expect((await node.status())[0]).toMatchObject({ generation: 2, events: 201, parked: null });
    expect(swaps).toBeGreaterThan(3);
  });
});
