import { describe, expect, it } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { LEASE_TTL_MS } from '../../src/log/lease.ts';
import { Progress } from '../../src/projections/runner/progress.ts';
import { manualClock } from '../support/manual-clock.ts';
import { counter, openWorld, PATIENCE, passing, sent, until } from './node.ts';
import { faultyDocuments, objectId, positionOf } from './support.ts';

describe('several nodes', () => {
  it('have one that runs the projections, and the others follow its checkpoints', async () => {
    const world = await openWorld();
    const runner = world.node({ node: 'a', projections: [counter({})] });
    await runner.readModels.waitFor(['counter'], await world.append(sent(1, 1, 1)), PATIENCE);
    const other = world.node({ node: 'b', projections: [counter({})] });
    const position = await world.append(sent(1, 2, 1));
    expect(await other.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect((await other.readModels.get('counter/counts', objectId(1)))?.body.count).toBe(2);
    expect(await other.readModels.checkpoint('counter')).toBe(position);
    expect((await other.status())[0]).toMatchObject({
      state: 'waiting',
      generation: 1,
      checkpoint: position,
      events: 2,
    });
  });

  it('hand over at once when the one that runs them stops', async () => {
    const world = await openWorld();
    const first = world.node({ node: 'a', projections: [counter({})] });
    await first.readModels.waitFor(['counter'], await world.append(sent(1, 1, 1)), PATIENCE);
    const clock = manualClock();
    const second = world.node({ node: 'b', clock, projections: [counter({})] });
    await until(() => clock.sleeping() > 0, 'it waits for the lease');
    await first.close();
    const position = await world.append(sent(1, 2, 1));
    await clock.advance(1_000);
    expect(await second.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    await until(async () => (await second.status())[0]?.state === 'live', 'it is live');
    expect((await second.status())[0]).toMatchObject({ events: 2 });
  });

  it('take over from one that stopped renewing its lease, which steps down when it notices', async () => {
    const world = await openWorld();
    let isCutOff = false;
    const documents = faultyDocuments(world.documents, ({ writes }) =>
      isCutOff && writes[0]?.collection === 'leases' ? 'away' : 'none',
    );
    const slow = manualClock();
    const first = world.node({ node: 'a', clock: slow, documents, projections: [counter({})] });
    const before = await world.append(sent(1, 1, 1));
    expect(await passing([slow], first.readModels.waitFor(['counter'], before, PATIENCE))).toBe(true);
    // It cannot renew its lease, and hardly any time passes for it, so that it continues to work.
    isCutOff = true;
    const clock = manualClock();
    const second = world.node({ node: 'b', clock, projections: [counter({})] });
    let passed = 0;
    await until(async () => {
      await clock.advance(500);
      passed += 500;
      return (await second.status())[0]?.state === 'live';
    }, 'the second has taken over');
    expect(passed).toBeGreaterThanOrEqual(LEASE_TTL_MS);
    expect((await first.status())[0]?.state).toBe('live');
    const position = await world.append(sent(1, 2, 1), sent(1, 3, 1));
    expect(await passing([slow, clock], second.readModels.waitFor(['counter'], position, PATIENCE))).toBe(true);
    isCutOff = false;
    await until(async () => {
      await slow.advance(10);
      return (await first.status())[0]?.state === 'waiting';
    }, 'the first has stepped down');
    expect((await second.readModels.get('counter/counts', objectId(1)))?.body.count).toBe(3);
    expect(await passing([slow, clock], first.readModels.waitFor(['counter'], position, PATIENCE))).toBe(true);
    expect((await second.status())[0]?.state).toBe('live');
  });

  it('make the same documents when two of them run the projections at the same time', async () => {
    const world = await openWorld();
    // Neither clock moves, and both have the same name: each takes the lease from the other.
    const nodes = [1, 2].map(() => world.node({ node: 'same', clock: manualClock(), projections: [counter({})] }));
    for (let i = 0; i < 20; i++) {
      await world.append(...Array.from({ length: 25 }, (_, k) => sent(k % 3, i * 25 + k + 1, 1)));
    }
    const head = (await world.log.head())!;
    await Promise.any(
      nodes.map(async (node) => {
        if (!(await node.readModels.waitFor(['counter'], head, PATIENCE))) throw new Error('not reached');
      }),
    );
    const found = await nodes[0]!.readModels.getMany<{ count: number }>('counter/counts', [0, 1, 2].map(objectId));
    expect([...found.values()].reduce((sum, { body }) => sum + body.count, 0)).toBe(500);
  });
});

describe('waiting for a position', () => {
  const clock = createSystemClock();
  const never = new AbortController().signal;

  it('ends in time when it is not reached', async () => {
    const world = await openWorld();
    const slow = manualClock();
    const node = world.node({ clock: slow, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(sent(1, 1, 1)), PATIENCE);
    let outcome: boolean | undefined;
    const waiting = node.readModels.waitFor(['counter'], positionOf(1e9), 5_000).then((reached) => {
      outcome = reached;
    });
    await slow.advance(4_999);
    expect(outcome).toBeUndefined();
    await slow.advance(1);
    await waiting;
    expect(outcome).toBe(false);
  });

  it('ends when the caller aborts it, also beforehand, and when the node closes', async () => {
    const world = await openWorld();
    const node = world.node({ run: false, projections: [counter({})] });
    const caller = new AbortController();
    const waiting = node.readModels.waitFor(['counter'], positionOf(1e9), 1e9, caller.signal);
    caller.abort();
    expect(await waiting).toBe(false);
    expect(await node.readModels.waitFor(['counter'], positionOf(1e9), 1e9, caller.signal)).toBe(false);
    const other = node.readModels.waitFor(['counter'], positionOf(1e9), 1e9);
    await node.close();
    expect(await other).toBe(false);
    expect(await node.readModels.waitFor(['counter'], positionOf(1e9), 1e9)).toBe(false);
  });

  it('needs all of the projections', async () => {
    const progress = new Progress({ clock, logger: silentLogger, poll: async () => new Map() });
    progress.advance('one', positionOf(1), false);
    progress.advance('two', null, false);
    let outcome: boolean | undefined;
    const waiting = progress.waitFor(['one', 'two'], positionOf(5), 1e9, never).then((reached) => {
      outcome = reached;
    });
    progress.advance('one', positionOf(6), false);
    progress.advance('two', positionOf(4), false);
    await Promise.resolve();
    expect(outcome).toBeUndefined();
    progress.advance('two', positionOf(5), false);
    await waiting;
    expect(outcome).toBe(true);
  });

  it('shares one poll among all requests, and stops polling when none waits', async () => {
    let polls = 0;
    let stored = positionOf(0);
    const progress = new Progress({
      clock,
      logger: silentLogger,
      poll: async (names) => {
        polls++;
        return new Map(names.map((name) => [name, stored]));
      },
    });
    const waiting = Array.from({ length: 100 }, () => progress.waitFor(['one'], positionOf(1), 1e9));
    await until(() => polls >= 2, 'it has polled twice');
    expect(polls).toBeLessThan(10);
    stored = positionOf(1);
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => true));
    const before = polls;
    expect(await progress.waitFor([], positionOf(1), 1e9)).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(polls).toBe(before);
  });

  it('continues by polling when this node stops running the projection', async () => {
    const progress = new Progress({
      clock,
      logger: silentLogger,
      poll: async (names) => new Map(names.map((name) => [name, positionOf(3)])),
    });
    progress.advance('one', positionOf(1), false);
    const waiting = progress.waitFor(['one'], positionOf(3), 1e9);
    progress.release('one');
    expect(await waiting).toBe(true);
  });

  it('is limited to 10,000 requests at once, and those that ended do not count', async () => {
    const progress = new Progress({ clock: manualClock(), logger: silentLogger, poll: async () => new Map() });
    progress.advance('one', positionOf(1), false);
    const caller = new AbortController();
    const waiting = Array.from({ length: 10_000 }, (_, i) =>
      progress.waitFor(['one'], positionOf(2), 1e9, i === 0 ? caller.signal : undefined),
    );
    expect(await progress.waitFor(['one'], positionOf(2), 1e9)).toBe(false);
    caller.abort();
    expect(await waiting[0]).toBe(false);
    const next = progress.waitFor(['one'], positionOf(2), 1e9);
    progress.advance('one', positionOf(2), false);
    expect(await next).toBe(true);
    expect(await waiting[9_999]).toBe(true);
  });
});
