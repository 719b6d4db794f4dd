import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { Clock } from '../../src/ports/clock.ts';

/** Seconds between two readings of `tickingClock`. Exact in binary, so that sums are too. */
export const TICK = 0.25;

/** A clock whose `monotonic` moves by 250 ms with each reading, and counts them: a call that is measured once takes exactly that long. */
export function tickingClock(): Clock & { readings(): number } {
  let readings = 0;
  return { ...createSystemClock(), monotonic: () => readings++ * TICK * 1_000, readings: () => readings };
}

export const newEvent = (number: number): NewEvent => ({
  id: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
  type: 'Happened',
  data: { number },
  metadata: { actor: null, correlationId: 'c', causationId: null, commandId: 'd' },
});

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const settled = await promise.then(
    () => null,
    (error: unknown) => ({ error }),
  );
  if (settled === null) throw new Error('it did not reject');
  return settled.error;
}
