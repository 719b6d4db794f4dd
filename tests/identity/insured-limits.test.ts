import { beforeEach, describe, expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { InsuredLimits } from '../../src/identity/insured-limits.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { Change, LimitStore, SharedLimits } from '../../src/ports/limit-store.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { seededRandom } from '../support/seeded-random.ts';

const key = { kind: 'test', id: 'a' };
const count: Change<number> = (state) => {
  const next = Number(state?.count ?? 0) + 1;
  return { result: next, next: { state: { count: next }, keepMs: 3_600_000 } };
};

describe('limits of a node whose shared store', () => {
  let clock: ManualClock;
  let fault: 'none' | 'unavailable' | 'hangs';
  let calls: number;
  let lines: string[];
  let shared: SharedLimits;
  let node: InsuredLimits;
  beforeEach(() => {
    clock = manualClock();
    [fault, calls, lines] = ['none', 0, []];
    shared = createMemoryLimits({ clock });
    const faulty = async <Result>(call: () => Promise<Result>): Promise<Result> => {
      calls++;
      if (fault === 'unavailable') throw new StoreError('UNAVAILABLE', 'away');
      if (fault === 'hangs') return new Promise<Result>(() => {});
      return call();
    };
    const store: LimitStore = {
      read: (keys) => faulty(() => shared.read(keys)),
      update: (of, change) => faulty(() => shared.update(of, change)),
      close: () => shared.close(),
    };
    const log = (_fields: unknown, text?: string) => lines.push(text ?? '');
    // Only these two levels are used.
    const logger = { warn: log, info: log } as unknown as Logger;
    node = new InsuredLimits(store, createMemoryLimits({ clock }), { clock, random: seededRandom('insured'), logger });
  });

  it('responds are those of the store', async () => {
    expect(await node.update(key, count)).toBe(1);
    expect(await shared.update(key, count)).toBe(2);
    expect((await node.read([key])).states).toEqual([{ count: 2 }]);
    expect(node.awayMs()).toBe(0);
    await node.close();
  });

  it('is unavailable are counted by the node itself, without calling the store for each', async () => {
    await node.update(key, count);
    fault = 'unavailable';
    expect(await node.update(key, count)).toBe(1);
    const before = calls;
    for (let i = 2; i < 100; i++) expect(await node.update(key, count)).toBe(i);
    expect((await node.read([key])).states).toEqual([{ count: 99 }]);
    expect(calls).toBe(before);
    expect(await shared.update(key, count)).toBe(2);
    expect(lines).toEqual(['the shared limits are unavailable: this node counts on its own']);
    await node.close();
  });

  it('does not respond are counted by the node after a second', async () => {
    fault = 'hangs';
    let counted: number | null = null;
    const counting = node.update(key, count).then((result) => {
      counted = result;
    });
    await clock.advance(999);
    expect(counted).toBeNull();
    await clock.advance(1);
    await counting;
    expect(counted).toBe(1);
    expect(node.awayMs()).toBe(1_000);
    const closed = node.close();
    await clock.advance(1_000);
    await closed;
  });

  it('was away are shared again once it accepts a change, and the time without it is known until then', async () => {
    await node.update(key, count);
    fault = 'unavailable';
    await node.update(key, count);
    for (let i = 0; i < 30; i++) await clock.advance(5_000);
    expect(node.awayMs()).toBe(150_000);
    // One attempt every few seconds.
    expect(calls).toBeGreaterThan(20);
    expect(calls).toBeLessThan(45);
    fault = 'none';
    await clock.advance(5_000);
    expect(node.awayMs()).toBe(0);
    expect(await node.update(key, count)).toBe(2);
    expect(lines.at(-1)).toBe('the shared limits are available again');
    fault = 'unavailable';
    await clock.advance(10_000);
    // What this node counted before is still there.
    expect(await node.update(key, count)).toBe(2);
    expect(node.awayMs()).toBe(0);
    await clock.advance(1);
    expect(node.awayMs()).toBe(1);
    await node.close();
    expect(clock.sleeping()).toBe(0);
  });

  it('was closed reject calls', async () => {
    await node.close();
    await expect(node.update(key, count)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(node.read([key])).rejects.toMatchObject({ code: 'CLOSED' });
    expect(lines).toEqual([]);
  });
});
