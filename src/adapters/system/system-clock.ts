import type { Clock } from '../../ports/clock.ts';

/** The longest delay that a timer of Node.js supports, in ms. */
export const TIMER_MAX = 2 ** 31 - 1;

/** A clock with the time of this machine. Delays longer than 24.8 days are shortened to that. */
export function createSystemClock(): Clock {
  const after: Clock['after'] = (ms, callback) => {
    const timer = setTimeout(callback, Math.min(ms, TIMER_MAX));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  };
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after,
    every(ms, callback) {
      const timer = setInterval(callback, Math.min(ms, TIMER_MAX));
      timer.unref();
      return { cancel: () => clearInterval(timer) };
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) {
          resolve();
          return;
        }
        const finish = () => {
          timer.cancel();
          signal?.removeEventListener('abort', finish);
          resolve();
        };
        const timer = after(ms, finish);
        signal?.addEventListener('abort', finish);
      }),
    nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
  };
}
