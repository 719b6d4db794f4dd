import type { Clock } from './clock.ts';

/** What `within` resolves with when nothing came in time. */
export const LATE = Symbol('late');

/**
 * What a promise resolves or rejects with, or `LATE` after `ms`. The work goes on then, and its owner no longer waits: a later rejection is not
 * reported as unhandled.
 */
export async function within<Result>(
  clock: Clock,
  ms: number,
  promise: Promise<Result>,
): Promise<Result | typeof LATE> {
  const late = Promise.withResolvers<typeof LATE>();
  const timer = clock.after(ms, () => late.resolve(LATE));
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    timer.cancel();
  }
}
