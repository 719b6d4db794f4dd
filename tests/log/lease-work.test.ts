import { describe, expect, it } from 'vitest';
import { FencedOff, type HeldPartition } from '../../src/log/lease.ts';
import { memoryDocuments } from '../projections/support.ts';
import { manualClock } from '../support/manual-clock.ts';
import { intercepted, pass, settle, startNode, storedLeases, untilLost } from './leases.ts';

const PARTITION = 'work/partition/0000';

describe('the work under a lease', () => {
  it('that throws gives the partition up, and is retried after a pause under a new fence', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let runs = 0;
    const a = startNode({
      documents,
      clock,
      node: 'a',
      partitions: 2,
      work: async (held) => {
        if (held.partition === 1 && ++runs <= 2) throw new Error('failed, as the test wants it');
        await untilLost(held);
      },
    });
    await settle();
    expect((await storedLeases(documents))['work/partition/0001']).toMatchObject({ owner: null, fence: 1 });
    const passed = await pass([clock], 10_000, () => a.held().length === 2);
    expect(passed).toBeGreaterThanOrEqual(2 * 1_500);
    expect(passed).toBeLessThanOrEqual(5_000);
    expect(a.taken.map(({ partition, fence }) => [partition, fence])).toEqual([
      [0, 1],
      [1, 1],
      [1, 2],
      [1, 3],
    ]);
    expect(a.taken.map(({ lost }) => lost.aborted)).toEqual([false, true, true, false]);
  });

  it('that throws before it returns a promise is treated the same', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let runs = 0;
    const work = (held: HeldPartition): Promise<void> => {
      if (++runs === 1) throw new Error('failed, as the test wants it');
      return untilLost(held);
    };
    const a = startNode({ documents, clock, node: 'a', work });
    await pass([clock], 3_000, () => a.held().length === 1);
    expect(a.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('that ends by itself gives the partition up, which any node may take then', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const ended = Promise.withResolvers<void>();
    const a = startNode({ documents, clock, node: 'a', work: () => ended.promise });
    await settle();
    const b = startNode({ documents, clock, node: 'b' });
    await pass([clock], 5_000);
    expect(b.taken).toEqual([]);
    ended.resolve();
    await settle();
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: null, fence: 1 });
    expect(a.taken[0]?.lost.aborted).toBe(true);
    await pass([clock], 3_000, () => b.held().length === 1);
    expect(b.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('that was fenced off ends at once, and does not end that of other partitions', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const fencedOff = Promise.withResolvers<void>();
    const a = startNode({
      documents,
      clock,
      node: 'a',
      partitions: 2,
      work: (held) => (held.partition === 0 && held.fence === 1 ? fencedOff.promise : untilLost(held)),
    });
    await settle();
    fencedOff.reject(new FencedOff('another node, as the test wants it'));
    await settle();
    expect(a.held().map(({ partition }) => partition)).toEqual([1]);
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: null, fence: 1 });
    await pass([clock], 3_000, () => a.held().length === 2);
    expect(a.taken.map(({ partition, fence }) => [partition, fence])).toEqual([
      [0, 1],
      [1, 1],
      [0, 2],
    ]);
  });

  it('ends at once when the node stops, also while the store does not answer, and is waited for', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const gate = Promise.withResolvers<void>();
    let isStuck = false;
    const faulty = intercepted(documents, {
      async find(run) {
        if (isStuck) await gate.promise;
        return run();
      },
    });
    const lastSteps = Promise.withResolvers<void>();
    const work = async (held: HeldPartition): Promise<void> => {
      await untilLost(held);
      await lastSteps.promise;
    };
    const a = startNode({ documents: faulty, clock, node: 'a', work });
    await settle();
    isStuck = true;
    await pass([clock], 1_000);
    let hasEnded = false;
    const stopping = a.stop().then(() => {
      hasEnded = true;
    });
    await settle();
    expect([a.held().length, hasEnded]).toEqual([0, false]);
    gate.resolve();
    await settle();
    expect([hasEnded, (await storedLeases(documents))[PARTITION]?.owner]).toEqual([false, 'a']);
    lastSteps.resolve();
    await stopping;
    expect((await storedLeases(documents))[PARTITION]?.owner).toBeNull();
  });
});
