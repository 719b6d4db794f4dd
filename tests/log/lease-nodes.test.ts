import { describe, expect, it } from 'vitest';
import { LEASE_TTL_MS } from '../../src/log/lease.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { memoryDocuments } from '../projections/support.ts';
import { manualClock } from '../support/manual-clock.ts';
import {
  allHeld,
  clocksOf,
  counts,
  expectNoneTwice,
  heldBy,
  intercepted,
  NUMBERS,
  PARTITIONS,
  pass,
  passChecking,
  type Running,
  settle,
  start,
  startNode,
  storedLeases,
} from './leases.ts';

describe('partitions', () => {
  it('are shared evenly among nodes that start together, and each is held by exactly one', async () => {
    const documents = await memoryDocuments();
    const nodes = ['a', 'b', 'c'].map((name) => start(documents, name));
    await passChecking(nodes, 20_000);
    expect(allHeld(nodes)).toEqual(NUMBERS);
    expect(counts(nodes)).toEqual([5, 5, 6]);
    const owners = Object.values(await storedLeases(documents)).filter(({ kind }) => kind === 'partition');
    for (const each of nodes) {
      const own = owners.filter(({ owner }) => owner === each.name).map(({ partition }) => partition);
      expect(own).toEqual(heldBy(each).sort((a, b) => a - b));
    }
    // From then on they stay where they are.
    const taken = nodes.map(({ node }) => node.taken.length);
    await passChecking(nodes, 60_000);
    expect(nodes.map(({ node }) => node.taken.length)).toEqual(taken);
  });

  it.each([
    { partitions: 16, shares: [[16], [8, 8], [5, 5, 6], [4, 4, 4, 4]] },
    // Rounded up, the shares of the first two would leave nothing for the third.
    { partitions: 4, shares: [[4], [2, 2], [1, 1, 2], [1, 1, 1, 1]] },
    { partitions: 2, shares: [[2], [1, 1], [0, 1, 1], [0, 0, 1, 1]] },
  ])('$partitions are shared with each node that joins', async ({ partitions, shares }) => {
    const documents = await memoryDocuments();
    const nodes: Running[] = [];
    for (const share of shares) {
      nodes.push(start(documents, `node-${nodes.length}`, partitions));
      await passChecking(nodes, 10_000);
      expect(counts(nodes)).toEqual(share);
      expect(allHeld(nodes)).toEqual(NUMBERS.slice(0, partitions));
    }
  });

  it('of a node that joins are handed over within seconds', async () => {
    const documents = await memoryDocuments();
    const nodes = [start(documents, 'a'), start(documents, 'b')];
    await passChecking(nodes, 5_000);
    nodes.push(start(documents, 'c'));
    expect(await passChecking(nodes, 10_000, () => counts(nodes).join() === '5,5,6')).toBeLessThanOrEqual(4_000);
  });

  it('of a node that dies go to the others within 15 s, and not before the TTL', async () => {
    const documents = await memoryDocuments();
    const nodes = ['a', 'b', 'c'].map((name) => start(documents, name));
    await passChecking(nodes, 10_000);
    const [dead, ...alive] = nodes as [Running, ...Running[]];
    // Its clock stands still from now on. It believes in its partitions, so that they must not be taken before the TTL.
    const passed = await pass(clocksOf(alive), 20_000, () => allHeld(alive).length === PARTITIONS);
    expect(passed).toBeGreaterThanOrEqual(LEASE_TTL_MS - 3_000);
    expect(passed).toBeLessThan(15_000);
    expectNoneTwice(alive);
    expect(counts(alive)).toEqual([8, 8]);
    // Had it only been suspended: its lease has expired, and it gets its share again.
    await dead.clock.advance(passed);
    expect(heldBy(dead)).toEqual([]);
    await passChecking(nodes, 10_000);
    expect(counts(nodes)).toEqual([5, 5, 6]);
    expect(allHeld(nodes)).toEqual(NUMBERS);
  });

  it('of a node that stops go to the others at once', async () => {
    const documents = await memoryDocuments();
    const nodes = ['a', 'b', 'c'].map((name) => start(documents, name));
    await passChecking(nodes, 10_000);
    const [first, ...others] = nodes as [Running, ...Running[]];
    await first.node.stop();
    expect(await passChecking(others, 10_000, () => allHeld(others).length === PARTITIONS)).toBeLessThanOrEqual(3_000);
    expect(counts(others)).toEqual([8, 8]);
  });

  it('of two roles are independent of each other', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const [one, other] = ['one', 'other'].map((role) =>
      startNode({ documents, clock, node: role, role, partitions: 4 }),
    );
    await pass([clock], 5_000);
    expect([one?.held().length, other?.held().length]).toEqual([4, 4]);
    expect(Object.keys(await storedLeases(documents, 'one'))).toContain('one/node/one');
  });

  it('do not add to the number of writes by which a node renews its lease', async () => {
    const writesWith = async (partitions: number): Promise<number> => {
      const documents = await memoryDocuments();
      let writes = 0;
      const counting = intercepted(documents, {
        apply: (run, batch) => {
          writes += batch.writes.length;
          return run();
        },
      });
      const node = start(counting, 'a', partitions);
      await pass([node.clock], 2_000, () => false, 300);
      expect(heldBy(node)).toHaveLength(partitions);
      writes = 0;
      await pass([node.clock], 30_000);
      return writes;
    };
    expect(await writesWith(1)).toBe(10);
    expect(await writesWith(64)).toBe(10);
  });
});

describe('documents of nodes', () => {
  const nodesIn = async (documents: DocumentStore) =>
    Object.values(await storedLeases(documents)).flatMap(({ kind, node }) => (kind === 'node' ? [node] : []));

  it('are removed once the node has ended, in order or not', async () => {
    const documents = await memoryDocuments();
    const nodes = ['a', 'b', 'c'].map((name) => start(documents, name));
    await passChecking(nodes, 5_000);
    expect(await nodesIn(documents)).toEqual(['a', 'b', 'c']);
    const [stopped, , alive] = nodes as [Running, Running, Running];
    await stopped.node.stop();
    await pass([alive.clock], 2_000);
    expect(await nodesIn(documents)).toEqual(['b', 'c']);
    await pass([alive.clock], 15_000);
    expect(await nodesIn(documents)).toEqual(['c']);
    expect(heldBy(alive)).toHaveLength(PARTITIONS);
  });

  it('are written again when the node comes back under its name', async () => {
    const documents = await memoryDocuments();
    const [first, other] = [start(documents, 'a'), start(documents, 'b')];
    await passChecking([first, other], 5_000);
    await first.node.stop();
    await pass([other.clock], 3_000);
    expect(await nodesIn(documents)).toEqual(['b']);
    const again = start(documents, 'a');
    await passChecking([again, other], 6_000);
    expect(counts([again, other])).toEqual([8, 8]);
    expect(await nodesIn(documents)).toEqual(['a', 'b']);
  });

  it('are written again when the node was only suspended', async () => {
    const documents = await memoryDocuments();
    const [suspended, other] = [start(documents, 'a'), start(documents, 'b')];
    await passChecking([suspended, other], 5_000);
    await pass([other.clock], 20_000);
    expect(await nodesIn(documents)).toEqual(['b']);
    await suspended.clock.advance(20_000);
    await passChecking([suspended, other], 6_000);
    expect(counts([suspended, other])).toEqual([8, 8]);
  });

  it('say that the node runs as soon as it takes part again', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const { leases, stop } = startNode({ documents, clock, node: 'a' });
    await settle();
    await stop();
    expect((await storedLeases(documents))['work/node/a']).toMatchObject({ running: false });
    const again = new AbortController();
    let stored: object | undefined;
    const running = leases.run(again.signal, async () => {
      stored = (await storedLeases(documents))['work/node/a'];
    });
    await pass([clock], 3_000, () => stored !== undefined);
    expect(stored).toMatchObject({ running: true });
    again.abort();
    await running;
  });
});
