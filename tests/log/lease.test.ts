import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { createLease, LEASE_TTL_MS } from '../../src/log/lease.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { faultyDocuments, memoryDocuments } from '../projections/support.ts';

const never = new AbortController().signal;

const leaseOf = (documents: DocumentStore, clock: ManualClock, owner: string) =>
  createLease({ documents, clock, logger: silentLogger, name: 'work', owner });

/** Moves time in the steps in which a live process would see it, until something is so. */
async function pass(clock: ManualClock, ms: number, until: () => boolean = () => false): Promise<number> {
  let passed = 0;
  while (passed < ms && !until()) {
    await clock.advance(500);
    passed += 500;
    // The embedded store gives others a turn before it writes; what was woken may need several.
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  return passed;
}

async function stored(documents: DocumentStore) {
  return (await documents.getMany('leases', ['work'])).get('work')?.body;
}

describe('a lease', () => {
  it('is taken at once when nobody has had it', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const lease = await leaseOf(documents, clock, 'a').acquire(never);
    expect(lease?.fence).toBe(1);
    expect(await stored(documents)).toEqual({ owner: 'a', fence: 1, beat: 1 });
    await lease?.release();
  });

  it('is not taken from a holder that beats', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const first = await leaseOf(documents, clock, 'a').acquire(never);
    const stop = new AbortController();
    let second: unknown = 'waiting';
    const contending = leaseOf(documents, clock, 'b')
      .acquire(stop.signal)
      .then((lease) => {
        second = lease;
      });
    await pass(clock, 60_000);
    expect(second).toBe('waiting');
    expect(first?.lost.aborted).toBe(false);
    stop.abort();
    await contending;
    expect(second).toBeNull();
    await first?.release();
  });

  it('is taken over within 15 s after its holder died, and not before the ttl', async () => {
    const documents = await memoryDocuments();
    const dead = manualClock();
    // Its clock stands still from now on: it beats no more, like a killed process.
    await leaseOf(documents, dead, 'a').acquire(never);
    const clock = manualClock();
    let fence: number | undefined;
    const contending = leaseOf(documents, clock, 'b')
      .acquire(never)
      .then((lease) => {
        fence = lease?.fence;
        return lease;
      });
    const passed = await pass(clock, 15_000, () => fence !== undefined);
    expect(fence).toBe(2);
    expect(passed).toBeGreaterThanOrEqual(LEASE_TTL_MS);
    await (await contending)?.release();
  });

  it('is free at once after it was released', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const first = await leaseOf(documents, clock, 'a').acquire(never);
    await first?.release();
    expect(await stored(documents)).toMatchObject({ owner: null, fence: 1 });
    const second = await leaseOf(documents, clock, 'b').acquire(never);
    expect(second?.fence).toBe(2);
    await second?.release();
  });

  it('is taken at once by an owner who was killed holding it and came back', async () => {
    const documents = await memoryDocuments();
    await leaseOf(documents, manualClock(), 'a').acquire(never);
    const again = await leaseOf(documents, manualClock(), 'a').acquire(never);
    expect(again?.fence).toBe(2);
    await again?.release();
  });

  it('is lost by a holder that another has taken over', async () => {
    const documents = await memoryDocuments();
    const slow = manualClock();
    const first = await leaseOf(documents, slow, 'a').acquire(never);
    const clock = manualClock();
    let second: Awaited<ReturnType<ReturnType<typeof leaseOf>['acquire']>> | undefined;
    void leaseOf(documents, clock, 'b')
      .acquire(never)
      .then((lease) => {
        second = lease;
      });
    await pass(clock, 15_000, () => second !== undefined);
    expect(first?.lost.aborted).toBe(false);
    await pass(slow, 10_000, () => first?.lost.aborted === true);
    expect(first?.lost.aborted).toBe(true);
    // Its release does not touch what is another's now.
    await first?.release();
    expect(await stored(documents)).toMatchObject({ owner: 'b', fence: 2 });
    await second?.release();
  });

  it('is kept through a beat whose answer was lost, and through a short absence of the store', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const faults = ['none', 'lost', 'away', 'away', 'none'] as const;
    let writes = 0;
    const faulty = faultyDocuments(documents, () => faults[writes++] ?? 'none');
    const lease = await leaseOf(faulty, clock, 'a').acquire(never);
    await pass(clock, 60_000, () => writes >= 7);
    expect(lease?.lost.aborted).toBe(false);
    expect(await stored(documents)).toMatchObject({ owner: 'a', fence: 1 });
    await lease?.release();
  });

  it('is given up by a holder that could not beat for the ttl', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let writes = 0;
    const faulty = faultyDocuments(documents, () => (writes++ === 0 ? 'none' : 'away'));
    const lease = await leaseOf(faulty, clock, 'a').acquire(never);
    const passed = await pass(clock, 30_000, () => lease?.lost.aborted === true);
    expect(lease?.lost.aborted).toBe(true);
    expect(passed).toBeGreaterThanOrEqual(LEASE_TTL_MS);
    await lease?.release();
  });

  it('is had by one of many who want it at the same moment', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    const stop = new AbortController();
    const all = ['a', 'b', 'c', 'd'].map((owner) => leaseOf(documents, clock, owner).acquire(stop.signal));
    const first = await Promise.race(all);
    stop.abort();
    const held = (await Promise.all(all)).filter((lease) => lease !== null);
    expect(held).toEqual([first]);
    await first?.release();
  });

  it('says why it cannot be asked for, and asks again', async () => {
    const documents = await memoryDocuments();
    const clock = manualClock();
    let isAway = true;
    const faulty = faultyDocuments(documents, () => (isAway ? 'away' : 'none'));
    const lease = leaseOf(faulty, clock, 'a');
    let held: unknown;
    const acquiring = lease.acquire(never).then((got) => {
      held = got;
      return got;
    });
    await pass(clock, 3_000);
    expect(lease.unavailable).toBe('away, as the test wants it');
    isAway = false;
    await pass(clock, 3_000, () => held !== undefined);
    expect(lease.unavailable).toBeNull();
    await (await acquiring)?.release();
  });
});
