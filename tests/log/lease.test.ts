import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { LEASE_TTL_MS, partitionOf } from '../../src/log/lease.ts';
import { memoryDocuments } from '../projections/support.ts';
import { manualClock } from '../support/manual-clock.ts';
import { intercepted, isOfPartition, isRenewal, pass, settle, startNode, storedLeases } from './leases.ts';

const unavailable = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
const PARTITION = 'work/partition/0000';

describe('a lease', () => {
  it('is taken at once when no node has had it', async () => {
    const documents = await memoryDocuments();
    const a = startNode({ documents, clock: manualClock(), node: 'a' });
    await settle();
    expect(a.held().map(({ partition, fence }) => [partition, fence])).toEqual([[0, 1]]);
    expect(await storedLeases(documents)).toEqual({
      'work/node/a': { role: 'work', kind: 'node', node: 'a', running: true },
      [PARTITION]: { role: 'work', kind: 'partition', partition: 0, owner: 'a', fence: 1 },
    });
  });

  it('is not taken from a node that renews it', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const a = startNode({ documents, clock, node: 'a' });
    await settle();
    const b = startNode({ documents, clock, node: 'b' });
    await pass([clock], 60_000);
    expect([a.held().length, a.taken.length, b.taken.length]).toEqual([1, 1, 0]);
    await b.stop();
    expect(b.taken).toEqual([]);
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: 'a', fence: 1 });
  });

  it('is taken over within 15 s after its holder died, and not before the TTL', async () => {
    const documents = await memoryDocuments();
    // Its clock stands still from now on: it renews no more, like a killed process.
    startNode({ documents, clock: manualClock(), node: 'a' });
    await settle();
    const clock = manualClock();
    const b = startNode({ documents, clock, node: 'b' });
    const passed = await pass([clock], 15_000, () => b.held().length > 0);
    expect(b.held().map(({ fence }) => fence)).toEqual([2]);
    expect(passed).toBeGreaterThanOrEqual(LEASE_TTL_MS);
    expect(passed).toBeLessThan(15_000);
  });

  it('is free at once after it was given up', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const a = startNode({ documents, clock, node: 'a' });
    await settle();
    const [held] = a.held();
    await a.stop();
    expect(held?.lost.aborted).toBe(true);
    expect(await storedLeases(documents)).toMatchObject({
      'work/node/a': { running: false },
      [PARTITION]: { owner: null, fence: 1 },
    });
    const b = startNode({ documents, clock, node: 'b' });
    await settle();
    expect(b.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('is free at once after its holder ended, also when it could not be given up', async () => {
    const documents = await memoryDocuments();
    let isAway = false;
    const failing = intercepted(documents, {
      apply: (run, batch) => (isAway && isOfPartition(batch) ? unavailable() : run()),
    });
    const a = startNode({ documents: failing, clock: manualClock(), node: 'a' });
    await settle();
    isAway = true;
    await a.stop();
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: 'a' });
    const b = startNode({ documents, clock: manualClock(), node: 'b' });
    await settle();
    expect(b.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('is continued at once by a node that was killed holding it and came back under its name', async () => {
    const documents = await memoryDocuments();
    startNode({ documents, clock: manualClock(), node: 'a' });
    await settle();
    const again = startNode({ documents, clock: manualClock(), node: 'a' });
    await settle();
    expect(again.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('is lost by a node from which another has taken it over', async () => {
    const documents = await memoryDocuments();
    const slow = manualClock();
    const a = startNode({ documents, clock: slow, node: 'a' });
    await settle();
    const clock = manualClock();
    const b = startNode({ documents, clock, node: 'b' });
    await pass([clock], 15_000, () => b.held().length > 0);
    expect(a.held()).toHaveLength(1);
    await pass([slow], 2_000, () => a.held().length === 0);
    expect(a.held()).toHaveLength(0);
    // What it gives up does not touch what another node holds now.
    await a.stop();
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: 'b', fence: 2 });
    expect(b.held()).toHaveLength(1);
  });

  it.each(['a renewal', 'a look'])(
    'survives an answer to %s that was lost, and a short absence of the store',
    async (what) => {
      const documents = await memoryDocuments();
      const clock = manualClock();
      const script = ['none', 'lost', 'away', 'away', 'none', 'lost'] as const;
      let calls = 0;
      const next = async <Outcome>(run: () => Promise<Outcome>): Promise<Outcome> => {
        const fault = script[calls++];
        if (fault === 'away') return unavailable();
        const outcome = await run();
        return fault === 'lost' ? unavailable() : outcome;
      };
      const faulty = intercepted(
        documents,
        what === 'a look' ? { find: next } : { apply: (run, batch) => (isRenewal(batch) ? next(run) : run()) },
      );
      const a = startNode({ documents: faulty, clock, node: 'a' });
      const b = startNode({ documents, clock: manualClock(), node: 'b' });
      await settle();
      await b.stop();
      await pass([clock], 60_000);
      expect(calls).toBeGreaterThan(10);
      expect(a.taken.length).toBe(1);
      expect(a.held().map(({ fence }) => fence)).toEqual([(await storedLeases(documents))[PARTITION]?.fence]);
      expect(a.leases.unavailable).toBeNull();
    },
  );

  it('is taken again by its own node when the answer to taking it was lost', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let isFirst = true;
    const faulty = intercepted(documents, {
      async apply(run, batch) {
        const outcome = await run();
        if (!isOfPartition(batch) || !isFirst) return outcome;
        isFirst = false;
        return unavailable();
      },
    });
    const a = startNode({ documents: faulty, clock, node: 'a' });
    await settle();
    expect(a.taken).toEqual([]);
    await pass([clock], 2_000, () => a.held().length > 0);
    expect(a.held().map(({ fence }) => fence)).toEqual([2]);
    expect((await storedLeases(documents))[PARTITION]).toMatchObject({ owner: 'a', fence: 2 });
  });

  it.each([
    ['find', 'is unavailable'],
    ['apply', 'is unavailable'],
    ['find', 'does not answer'],
    ['apply', 'does not answer'],
  ])('is given up by a node that could not renew it for the TTL, when the store (%s) %s', async (broken, how) => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const answer = Promise.withResolvers<never>();
    answer.promise.catch(() => {});
    let isBroken = false;
    const fail = (): Promise<never> => (how === 'is unavailable' ? unavailable() : answer.promise);
    const faulty = intercepted(documents, { [broken]: (run: () => Promise<never>) => (isBroken ? fail() : run()) });
    const a = startNode({ documents: faulty, clock, node: 'a' });
    await settle();
    expect(a.held()).toHaveLength(1);
    isBroken = true;
    expect(await pass([clock], 30_000, () => a.held().length === 0)).toBe(LEASE_TTL_MS);
    // And it is taken again once the store answers.
    isBroken = false;
    answer.reject(new StoreError('UNAVAILABLE', 'no answer, as the test wants it'));
    await pass([clock], 5_000, () => a.held().length > 0);
    expect(a.held().map(({ fence }) => fence)).toEqual([2]);
  });

  it('is taken by exactly one of many nodes that want it at the same moment', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const nodes = ['a', 'b', 'c', 'd'].map((node) => startNode({ documents, clock, node }));
    await settle();
    expect(nodes.flatMap((node) => node.held())).toHaveLength(1);
    await pass([clock], 30_000);
    expect(nodes.flatMap((node) => node.held())).toHaveLength(1);
    expect(nodes.flatMap((node) => node.taken)).toHaveLength(1);
  });

  it('reports why it cannot be read or renewed, and is tried again', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let isAway = true;
    const faulty = intercepted(documents, { apply: (run) => (isAway ? unavailable() : run()) });
    const a = startNode({ documents: faulty, clock, node: 'a' });
    await pass([clock], 3_000);
    expect(a.leases.unavailable).toBe('unavailable, as the test wants it');
    isAway = false;
    await pass([clock], 3_000, () => a.held().length > 0);
    expect(a.leases.unavailable).toBeNull();
    expect(a.held()).toHaveLength(1);
  });

  it('ends the run when the store was closed, and with errors that are not failures of the store', async () => {
    const documents = await memoryDocuments();
    const closed = intercepted(documents, { find: () => Promise.reject(new StoreError('CLOSED', 'closed')) });
    await expect(startNode({ documents: closed, clock: manualClock(), node: 'a' }).running).resolves.toBeUndefined();
    const broken = intercepted(documents, { find: () => Promise.reject(new TypeError('broken')) });
    await expect(startNode({ documents: broken, clock: manualClock(), node: 'b' }).running).rejects.toThrow('broken');
  });
});

describe('the partition of a key', () => {
  it('is the same on every node and in every version', () => {
    // Published values of FNV-1a.
    expect(['', 'a', 'foobar'].map((key) => partitionOf(key, 2 ** 32))).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
    expect(['', 'a', 'foobar'].map((key) => partitionOf(key, 16))).toEqual([5, 12, 8]);
    expect(partitionOf('anything', 1)).toBe(0);
  });

  it('spreads keys evenly', () => {
    for (const keyOf of [(n: number) => `user-${n}`, (n: number) => n.toString(16).padStart(24, '0')]) {
      const counts = Array.from({ length: 16 }, () => 0);
      for (let n = 0; n < 16_000; n++) counts[partitionOf(keyOf(n), 16)]!++;
      expect(Math.min(...counts)).toBeGreaterThan(850);
      expect(Math.max(...counts)).toBeLessThan(1_150);
    }
  });
});
