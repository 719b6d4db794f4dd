import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { memoryDocuments } from '../projections/support.ts';
import { manualClock } from '../support/manual-clock.ts';
import { seededRandom } from '../support/seeded-random.ts';
import {
  allHeld,
  counts,
  expectNoneTwice,
  heldBy,
  intercepted,
  isOfPartition,
  isRenewal,
  pass,
  passChecking,
  type Running,
  settle,
  start,
  startNode,
  storedLeases,
} from './leases.ts';

describe('a slow store', () => {
  it.each(['find', 'apply'].flatMap((slow) => [0, 500, 1_000, 1_500, 2_000, 2_500].map((at) => ({ slow, at }))))(
    'does not make a node take what another renewed meanwhile ($slow, $at ms later)',
    async ({ slow, at }) => {
      const documents = await memoryDocuments();
      const a = start(documents, 'a', 1);
      await settle();
      const gate = Promise.withResolvers<void>();
      let isSlow = false;
      const faulty = intercepted(documents, {
        async find(run) {
          const page = await run();
          if (isSlow && slow === 'find') await gate.promise;
          return page;
        },
        async apply(run, batch) {
          if (isSlow && slow === 'apply' && isRenewal(batch)) await gate.promise;
          return run();
        },
      });
      await passChecking([a], at);
      const b = start(faulty, 'b', 1);
      await passChecking([a, b], 4_000);
      // What it has read of the leases is outdated by the time at which it continues.
      isSlow = true;
      await passChecking([a, b], 9_750);
      isSlow = false;
      gate.resolve();
      await passChecking([a, b], 20_000);
      expect([a.node.taken.length, b.node.taken.length]).toEqual([1, 0]);
    },
  );

  it('does not make a node work on what it took too slowly', async () => {
    const documents = await memoryDocuments();
    const gate = Promise.withResolvers<void>();
    const slow = intercepted(documents, {
      async apply(run, batch) {
        const outcome = await run();
        if (isOfPartition(batch)) await gate.promise;
        return outcome;
      },
    });
    const a = start(slow, 'a', 1);
    await settle();
    expect((await storedLeases(documents))['work/partition/0000']).toMatchObject({ owner: 'a' });
    const b = start(documents, 'b', 1);
    await passChecking([a, b], 15_000, () => heldBy(b).length === 1);
    expect(heldBy(b)).toEqual([0]);
    gate.resolve();
    await passChecking([a, b], 20_000);
    expect([a.node.taken.length, b.node.taken.length]).toEqual([0, 1]);
  });

  it('does not make a node keep what it renewed too slowly', async () => {
    const documents = await memoryDocuments();
    const gate = Promise.withResolvers<void>();
    let isSlow = false;
    const slow = intercepted(documents, {
      async apply(run, batch) {
        if (isSlow && isRenewal(batch)) await gate.promise;
        return run();
      },
    });
    const a = start(slow, 'a', 1);
    await settle();
    const b = start(documents, 'b', 1);
    await passChecking([a, b], 4_000);
    isSlow = true;
    await passChecking([a, b], 15_000, () => heldBy(b).length === 1);
    expect([heldBy(a), heldBy(b)]).toEqual([[], [0]]);
    isSlow = false;
    gate.resolve();
    await passChecking([a, b], 20_000);
    expect([a.node.taken.length, heldBy(b)]).toEqual([1, [0]]);
  });

  it('does not make a node keep what it renewed too slowly, when its timers are late too', async () => {
    const documents = await memoryDocuments();
    const gate = Promise.withResolvers<void>();
    let isSlow = false;
    const slow = intercepted(documents, {
      async apply(run, batch) {
        if (isSlow && isRenewal(batch)) await gate.promise;
        return run();
      },
    });
    const clock = manualClock();
    const late = { ...clock, after: (ms: number, callback: () => void) => clock.after(ms + 5_000, callback) };
    const a = { name: 'a', clock, node: startNode({ documents: slow, clock: late, node: 'a' }) };
    await settle();
    const b = start(documents, 'b', 1);
    isSlow = true;
    await pass([a.clock, b.clock], 14_000, () => heldBy(b).length === 1);
    // Only the fence protects from that.
    expect([heldBy(a), heldBy(b)]).toEqual([[0], [0]]);
    gate.resolve();
    await settle();
    expect([heldBy(a), heldBy(b)]).toEqual([[], [0]]);
  });
});

describe('a node whose own lease other nodes cannot see', () => {
  it('takes nothing', async () => {
    const documents = await memoryDocuments();
    const rejecting = intercepted(documents, {
      apply: async (run, batch) => (isRenewal(batch) ? { rejected: batch.writes } : run()),
    });
    const a = start(rejecting, 'a', 1);
    await passChecking([a], 5_000);
    expect([a.node.taken, await storedLeases(documents)]).toEqual([[], {}]);
    const b = start(documents, 'b', 1);
    await passChecking([a, b], 5_000);
    expect([a.node.taken.length, heldBy(b)]).toEqual([0, [0]]);
  });
});

describe('a partition that a node has in its name without holding it', () => {
  it.each(['take', 'release'])('is given up, when a %s has failed and its share is smaller now', async (which) => {
    const documents = await memoryDocuments();
    let left = 1;
    const faulty = intercepted(documents, {
      async apply(run, batch) {
        const body = batch.writes[0]?.body;
        const isIt =
          body?.kind === 'partition' && body.partition === 1 && (body.owner === null) === (which === 'release');
        if (!isIt || left === 0) return run();
        left--;
        if (which === 'take') await run();
        throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      },
    });
    const a = start(faulty, 'a', 2);
    if (which === 'release') await settle();
    const b = start(documents, 'b', 2);
    await passChecking([a, b], 8_000);
    expect(left).toBe(0);
    expect(allHeld([a, b])).toEqual([0, 1]);
    expect(counts([a, b])).toEqual([1, 1]);
  });
});

/** Starts, stops and suspends nodes at random over a store that fails at random. */
async function disturb(seed: number) {
  const random = seededRandom(`leases ${seed}`);
  const chance = (of: number): boolean => random.fraction() < of;
  const documents = await memoryDocuments();
  let faults = 0.15;
  const fail = async <Outcome>(run: () => Promise<Outcome>): Promise<Outcome> => {
    if (chance(faults / 2)) throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
    const outcome = await run();
    if (chance(faults / 2)) throw new StoreError('UNAVAILABLE', 'the answer was lost, as the test wants it');
    return outcome;
  };
  const faulty = intercepted(documents, { apply: fail, find: fail });
  const nodes = new Map<string, Running>();
  /** Nodes whose clock stands still, and for how many ms it has. */
  const suspended = new Map<Running, number>();
  let elapsed = 0;

  const step = async (): Promise<void> => {
    elapsed += 500;
    for (const each of nodes.values()) {
      if (suspended.has(each)) suspended.set(each, (suspended.get(each) ?? 0) + 500);
      else await each.clock.advance(500);
    }
    await settle(25);
    expectNoneTwice([...nodes.values()].filter((each) => !suspended.has(each)));
  };
  const resume = async (node: Running): Promise<void> => {
    const ms = suspended.get(node) ?? 0;
    suspended.delete(node);
    await node.clock.advance(ms);
  };
  const change = async (name: string): Promise<void> => {
    const node = nodes.get(name);
    if (node === undefined) {
      if (chance(0.2)) nodes.set(name, start(faulty, name, 6, elapsed));
    } else if (suspended.has(node)) {
      if (chance(0.1)) await resume(node);
    } else if (chance(0.1)) {
      if (chance(0.5)) {
        suspended.set(node, 0);
        return;
      }
      nodes.delete(name);
      await node.node.stop();
    }
  };
  for (let steps = 0; steps < 200; steps++) {
    await change(`node-${Math.floor(random.fraction() * 4)}`);
    await step();
  }
  faults = 0;
  for (const node of suspended.keys()) await resume(node);
  if (nodes.size === 0) nodes.set('last', start(faulty, 'last', 6, elapsed));
  for (let steps = 0; steps < 60; steps++) await step();
  return [...nodes.values()];
}

describe('whatever happens', () => {
  it.each(Array.from({ length: 12 }, (_, seed) => seed))(
    'no partition is held twice, and all are held evenly in the end (%i)',
    async (seed) => {
      const nodes = await disturb(seed);
      expect(allHeld(nodes)).toEqual([0, 1, 2, 3, 4, 5]);
      const shares = counts(nodes);
      expect(shares.at(-1)! - shares[0]!).toBeLessThanOrEqual(1);
    },
  );
});
