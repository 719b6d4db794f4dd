import { describe, expect, it, onTestFinished } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { FencedOff } from '../../src/log/lease.ts';
import { Projector } from '../../src/projections/runner/projector.ts';
import { SharedFollower, type SharedFollowerOptions } from '../../src/projections/runner/shared-follower.ts';
import { manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';
import { counter, openWorld, sent, until, type World } from './node.ts';
import { dumpProjection, objectId } from './support.ts';

const messages = (many: number, from = 1) => Array.from({ length: many }, (_, i) => sent(1, from + i, 1));

/** A projector of a counter of this name, with its collection. */
async function openProjector({ log, documents }: World, name: string): Promise<Projector> {
  const projection = counter({ name });
  await documents.define([
    { name: 'checkpoints', indexes: [] },
    { name: `${name}.1.counts`, indexes: [] },
  ]);
  return Projector.open({ ...system, log, documents, projection, generation: 1, fence: 1, writer: name });
}

/** Serves the log to projectors until the end of the test. */
function start(
  world: World,
  projectors: readonly Projector[],
  moved: SharedFollowerOptions['moved'] = () => {},
  { documents = world.documents, clock = system.clock }: Partial<SharedFollowerOptions> = {},
) {
  const stop = new AbortController();
  const follower = new SharedFollower({
    ...system,
    clock,
    log: world.log,
    documents,
    signal: stop.signal,
    isAwaited: () => true,
    moved,
  });
  const running = follower.run(projectors);
  running.catch(() => {});
  onTestFinished(async () => {
    stop.abort();
    await running.catch(() => {});
  });
  return { follower, running, stop };
}

const countOf = async ({ documents }: World, projector: Projector) =>
  (await dumpProjection(documents, projector.projection)).counts?.[objectId(1)]?.body.count;

describe('the follower that projectors share', () => {
  it('serves those that are up to date together, and a lagging one separately until it has caught up', async () => {
    const world = await openWorld();
    const first = await openProjector(world, 'first');
    const { stop, running } = start(world, [first]);
    const before = await world.append(...messages(30));
    await until(() => first.position === before, 'the first has caught up');
    stop.abort();
    await running;
    const late = await openProjector(world, 'late');
    const { follower } = start(world, [first, late]);
    const names = async () => (await follower.all()).map(({ name }) => name);
    expect(await names()).toEqual(['projections', 'projections/late.1']);
    expect((await follower.status(late)).name).toBe('projections/late.1');
    await until(() => follower.isLive(late), 'the late one has joined');
    await until(async () => (await names()).length === 1, 'its own follower has ended');
    expect((await follower.status(late)).name).toBe('projections');
    const after = await world.append(...messages(5, 31));
    await until(() => first.position === after && late.position === after, 'both have taken the rest');
    expect([await countOf(world, first), await countOf(world, late)]).toEqual([35, 35]);
    expect([first.events, late.events]).toEqual([35, 35]);
  });

  it('hands events to a projector in one call at a time, also when what is done at its joining fails', async () => {
    const world = await openWorld();
    const [first, late] = [await openProjector(world, 'first'), await openProjector(world, 'late')];
    const clock = manualClock();
    const take = late.take.bind(late);
    let inProgress = 0;
    let overlaps = 0;
    late.take = async (...args) => {
      inProgress++;
      if (inProgress > 1) overlaps++;
      // Longer than the pause before the next attempt of the follower that has failed.
      await clock.sleep(failures === 1 ? 100 : 1);
      await take(...args);
      inProgress--;
    };
    let failures = 0;
    const moved: SharedFollowerOptions['moved'] = (projector) => {
      if (projector !== late || !follower.isLive(late) || failures > 0) return;
      failures++;
      throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
    };
    const { follower } = start(world, [first], moved, { clock });
    /** Waits for a condition while time passes. */
    const passingUntil = (holds: () => boolean, what: string): Promise<void> =>
      until(async () => {
        if (!holds()) await clock.advance(1);
        return holds();
      }, what);
    let last = await world.append(...messages(30));
    await passingUntil(() => follower.isLive(first) && first.position === last, 'the first has caught up');
    follower.add(late);
    for (let from = 31; from < 180; from += 5) {
      last = await world.append(...messages(5, from));
      for (let ms = 0; ms < 5; ms++) await clock.advance(1);
    }
    await passingUntil(() => late.position === last, 'the late one has caught up');
    expect([failures, overlaps, await countOf(world, late), late.events]).toEqual([1, 0, 180, 180]);
  });

  it('purges the store once for all that have written an erasure, again when that failed, and reports them afterwards', async () => {
    const world = await openWorld();
    const projectors = [await openProjector(world, 'first'), await openProjector(world, 'second')];
    const calls: string[] = [];
    let failures = 1;
    const purge = async (): Promise<void> => {
      expect(projectors.every(({ position }) => position === erasedAt)).toBe(true);
      calls.push('purge');
      if (failures-- > 0) throw new StoreError('UNAVAILABLE', 'in use, as the test wants it');
    };
    const noted = ({ position, id }: Projector): void => {
      if (position !== null && position === erasedAt) calls.push(id);
    };
    await world.append(...messages(3));
    const erasedAt = await world.erase(1);
    start(world, projectors, noted, { documents: { purge } });
    await until(() => calls.includes('projections/second.1'), 'both have moved');
    const [first, second] = projectors.map(({ id }) => id);
    expect(calls.slice(0, 4)).toEqual(['purge', 'purge', first, second]);
    const last = await world.append(sent(1, 4, 2));
    await until(() => projectors.every(({ position }) => position === last), 'both have taken the rest');
    expect(calls.filter((call) => call === 'purge')).toHaveLength(2);
  });

  it('stops serving a removed projector, also one that is catching up', async () => {
    const world = await openWorld();
    const [first, second] = [await openProjector(world, 'first'), await openProjector(world, 'second')];
    const { follower } = start(world, [first, second]);
    const before = await world.append(...messages(3));
    await until(() => first.position === before && second.position === before, 'both have caught up');
    follower.remove(second);
    const late = await openProjector(world, 'late');
    follower.add(late);
    follower.remove(late);
    const after = await world.append(...messages(3, 4));
    await until(() => first.position === after, 'the first has taken the rest');
    await until(async () => (await follower.all()).length === 1, 'the follower of the late one has ended');
    expect([second.position, late.position]).toEqual([before, null]);
  });

  it('ends with the first error that is not a failure of a store, and ends everything beside it', async () => {
    const world = await openWorld();
    const first = await openProjector(world, 'first');
    const { follower, running } = start(world, [first], () => {
      throw new FencedOff('another node, as the test wants it');
    });
    let hasEnded = false;
    follower.spawn(
      (signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            hasEnded = true;
            resolve();
          });
        }),
    );
    await world.append(...messages(1));
    await expect(running).rejects.toBeInstanceOf(FencedOff);
    expect(hasEnded).toBe(true);
  });
});
