import { describe, expect, it, onTestFinished } from 'vitest';
import { projectionChecks } from '../../src/compose/readiness.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { copyOf, replaceable } from '../commands/replaceable-log.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import {
  ALL,
  countBody,
  counter,
  created,
  held,
  manySent,
  openWorld,
  PATIENCE,
  pointerOf,
  sent,
  until,
} from './node.ts';
import { type AnyEvent, dumpProjection, streamOf, uuid } from './support.ts';

/** Fields and message of each error that was logged. */
function errorLines() {
  const lines: [fields: object, text: string][] = [];
  const logger: Logger = { ...silentLogger, error: (fields, text) => void lines.push([fields, text]) };
  return { lines, logger };
}

/** Appends events with ids of their own, one after the other. */
async function appendTo(log: EventLog, ...events: readonly AnyEvent[]): Promise<string> {
  let last = '';
  for (const event of events) {
    const metadata = { actor: null, correlationId: uuid(0), causationId: null, commandId: uuid(0) };
    const added: NewEvent = { ...event, id: system.random.uuid(system.clock.now()), metadata };
    last = (await log.append(streamOf(event), [added], { expect: 'any' })).position;
  }
  return last;
}

/** A world whose read models have events that a copy of its log does not have. */
async function diverged(worldEvents: readonly AnyEvent[], lost: readonly AnyEvent[]) {
  const world = await openWorld();
  await appendTo(world.log, ...worldEvents);
  const copy = await copyOf(world);
  onTestFinished(copy.close);
  // A copy has the epoch of its original.
  const restored: EventLog = { ...copy.log, epoch: () => world.log.epoch() };
  return { world, restored, lose: (log = world.log) => appendTo(log, ...lost) };
}

const conversations = [created(1, [1, 2]), sent(1, 1, 1), created(2, [2, 3])];
const lost = [sent(1, 2, 1, 'lost'), created(3, [1, 3]), sent(2, 1, 3, 'lost too')];

describe.each([
  ['ends before their checkpoints', []],
  ['has another event at their checkpoints', [sent(1, 2, 2, 'new'), sent(1, 3, 2, 'newer'), sent(1, 4, 2, 'newest')]],
  ['has grown past their checkpoints', manySent(10, 2)],
])('read models of a log that was restored and %s', (_how, added) => {
  it('are built again and swapped, when it was restored while no node ran', async () => {
    const { world, restored, lose } = await diverged(conversations, lost);
    const before = world.node();
    expect(await before.readModels.waitFor(ALL, await lose(), PATIENCE)).toBe(true);
    await before.close();
    await appendTo(restored, ...added);
    await expectRebuilt(world, restored, (logger) => world.node({ log: restored, logger }));
  });

  it('are built again and swapped, when it was restored while the node runs', async () => {
    const { world, restored, lose } = await diverged(conversations, lost);
    const log = replaceable(world.log);
    const { lines, logger } = errorLines();
    const node = world.node({ log, logger });
    expect(await node.readModels.waitFor(ALL, await lose(), PATIENCE)).toBe(true);
    await appendTo(restored, ...added);
    log.replace(restored);
    await until(() => lines.length > 0, 'it has noticed');
    await expectRebuilt(world, restored, () => node);
  });
});

/** Expects that the node's read models become those of the restored log, and follow it. */
async function expectRebuilt(
  world: Awaited<ReturnType<typeof openWorld>>,
  restored: EventLog,
  start: (logger: Logger) => ReturnType<(typeof world)['node']>,
): Promise<void> {
  const { logger } = errorLines();
  const node = start(logger);
  await until(async () => {
    const pointers = await Promise.all(ALL.map((name) => pointerOf(world, name)));
    return pointers.every((pointer) => pointer?.active.generation === 2);
  }, 'all are swapped');
  const position = await appendTo(restored, sent(2, 1, 2, 'afterwards'));
  expect(await node.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
  const fresh = await openMemoryStores();
  onTestFinished(fresh.close);
  const rebuilt = world.node({ log: restored, documents: fresh.documents });
  expect(await rebuilt.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
  for (const projection of catalogue) {
    expect(await pointerOf(world, projection.name)).toMatchObject({
      restoredAt: null,
      building: null,
      isComplete: true,
    });
    const shown = await dumpProjection(world.documents, projection, 2);
    expect(shown).toEqual(await dumpProjection(fresh.documents, projection, 1));
    expect(JSON.stringify(shown)).not.toContain('lost');
  }
  expect((await node.status()).map(({ state, restoredAt }) => [state, restoredAt])).toEqual(
    ALL.map(() => ['live', null]),
  );
}

describe('while a read model is built again after a restore', () => {
  it('the old documents are read, no position counts as reached, and the reason is logged and reported', async () => {
    const { world, restored, lose } = await diverged(manySent(2), [sent(1, 3, 1, 'lost')]);
    const projections = [counter({})];
    const before = world.node({ projections });
    expect(await before.readModels.waitFor(['counter'], await lose(), PATIENCE)).toBe(true);
    await before.close();
    const position = await appendTo(restored, sent(1, 3, 2, 'new'), sent(1, 4, 2, 'newer'));
    const { log, release } = held(restored, 'all');
    const { lines, logger } = errorLines();
    const node = world.node({ log, logger, projections });
    // Another node, which only reads.
    const reader = world.node({ log: restored, projections, run: false, node: 'reader' });
    await until(async () => (await node.status())[0]?.restoredAt !== null, 'it has noticed');

    expect(await node.readModels.waitFor(['counter'], position, 100)).toBe(false);
    expect(await reader.readModels.waitFor(['counter'], position, 100)).toBe(false);
    expect([await countBody(node), await countBody(reader)]).toEqual([
      { count: 3, version: 1 },
      { count: 3, version: 1 },
    ]);
    const [status] = await node.status();
    expect(status).toMatchObject({
      state: 'catching-up',
      checkpoint: null,
      generation: 1,
      building: { generation: 2 },
    });
    expect(status?.restoredAt).toMatch(/^20\d\d-.*Z$/);
    expect(await projectionChecks(node, ['counter'])[0]?.check()).toBe(
      `built again since ${status?.restoredAt}, because the event log was restored from an older copy: results may be of the log before`,
    );
    expect(lines).toEqual([
      [
        expect.objectContaining({
          projection: 'projections/counter.1',
          anchor: expect.objectContaining({ position: expect.any(String) }),
        }),
        expect.stringContaining('it was restored from an older copy; the read model is built again'),
      ],
    ]);

    release();
    for (const each of [node, reader]) {
      expect(await each.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
      await until(async () => (await countBody(each))?.count === 4, 'the new documents are read');
    }
    expect(await projectionChecks(node, ['counter'])[0]?.check()).toBeNull();
  });

  it('the time of the restore and the new generation are kept over a restart, and no further generation is begun', async () => {
    const { world, restored, lose } = await diverged(manySent(2), [sent(1, 3, 1, 'lost')]);
    const projections = [counter({})];
    const before = world.node({ projections });
    await before.readModels.waitFor(['counter'], await lose(), PATIENCE);
    await before.close();
    const { log } = held(restored, 'all');
    const first = world.node({ log, projections });
    await until(async () => (await first.status())[0]?.restoredAt !== null, 'it has noticed');
    const since = (await pointerOf(world))?.restoredAt;
    await first.close();
    const again = world.node({ log, projections });
    await until(async () => (await again.status())[0]?.building !== null, 'it builds');
    expect(await pointerOf(world)).toMatchObject({ restoredAt: since, building: { generation: 2 }, retired: [] });
    await again.close();
    const last = world.node({ log: restored, projections });
    expect(await last.readModels.waitFor(['counter'], (await restored.head()) ?? '', PATIENCE)).toBe(true);
    expect(await pointerOf(world)).toMatchObject({ active: { generation: 2 }, restoredAt: null });
    expect(await countBody(last)).toMatchObject({ count: 2 });
  });
});

it('a node that only reads does not believe the positions of a log before the restore, while no node runs the projections', async () => {
  const { world, restored, lose } = await diverged(manySent(2), [sent(1, 3, 1, 'lost')]);
  const projections = [counter({})];
  const before = world.node({ projections });
  await before.readModels.waitFor(['counter'], await lose(), PATIENCE);
  await before.close();
  const reader = world.node({ log: restored, projections, run: false });
  expect(await reader.readModels.waitFor(['counter'], await appendTo(restored, sent(1, 3, 2, 'new')), 200)).toBe(false);
  expect(await reader.readModels.checkpoint('counter')).toBeNull();
  // The log that they are of.
  const other = world.node({ projections, run: false });
  expect(await other.readModels.waitFor(['counter'], (await world.log.head()) ?? '', PATIENCE)).toBe(true);
});

it('a generation that was being built of a log before the restore is replaced by a new one', async () => {
  const { world, restored, lose } = await diverged(manySent(2), []);
  const active = world.node({ projections: [counter({})] });
  await active.readModels.waitFor(['counter'], (await world.log.head()) ?? '', PATIENCE);
  await active.close();
  // The next version has come further than the one that is read, and is parked at an event that the restored log does not have.
  const count = (content: string, n: number) => {
    if (content === 'poison') throw new Error('as the test wants it');
    return n + 1;
  };
  await appendTo(world.log, sent(1, 3, 1, 'lost'), sent(1, 4, 1, 'poison'));
  await lose();
  const next = world.node({ projections: [counter({ version: 2, count })] });
  await until(async () => (await next.status())[0]?.building?.parked?.type === 'MessageSent', 'it is parked');
  await next.close();
  await appendTo(restored, sent(1, 3, 2, 'new'));
  const fixed = world.node({ log: restored, projections: [counter({ version: 2, count })] });
  expect(await fixed.readModels.waitFor(['counter'], (await restored.head()) ?? '', PATIENCE)).toBe(true);
  expect(await pointerOf(world)).toMatchObject({ active: { generation: 3, version: 2 }, restoredAt: null });
  expect(await countBody(fixed)).toEqual({ count: 3, version: 2 });
});
