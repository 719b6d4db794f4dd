import { expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import type { Change } from '../../src/ports/limit-store.ts';
import { describeLimitsContract } from '../contracts/limits.ts';
import { manualClock } from '../support/manual-clock.ts';

const NODES = 2;

describeLimitsContract({
  name: 'limits in memory',
  available: true,
  async prepare(clock) {
    // The first two nodes are in one process; the third one is closed by its test.
    const store = createMemoryLimits({ clock });
    let opened = 0;
    return {
      open: async () => (opened++ < NODES ? store : createMemoryLimits({ clock })),
      dispose: () => store.close(),
    };
  },
});

it('limits in memory are bounded: of each kind, the states used least recently are dropped', async () => {
  const limits = createMemoryLimits({ clock: manualClock(), keysMax: 1_000 });
  const count: Change<number> = (state) => {
    const next = Number(state?.count ?? 0) + 1;
    return { result: next, next: { state: { count: next }, keepMs: 60_000 } };
  };
  await limits.update({ kind: 'a', id: 'first' }, count);
  await limits.update({ kind: 'b', id: 'first' }, count);
  for (let i = 0; i < 999; i++) await limits.update({ kind: 'a', id: `${i}` }, count);
  expect(await limits.update({ kind: 'a', id: 'first' }, count)).toBe(2);
  for (let i = 0; i < 1_000; i++) await limits.update({ kind: 'a', id: `more ${i}` }, count);
  expect(await limits.update({ kind: 'a', id: 'first' }, count)).toBe(1);
  expect(await limits.update({ kind: 'b', id: 'first' }, count)).toBe(2);
});
