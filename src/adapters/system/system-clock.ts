import type { Clock } from '../../ports/clock.ts';

/** The longest time that a timer takes, in ms. */
const TIMER_MAX = 2 ** 31 - 1;

/** The machine's own time. */
export function createSystemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) {
          resolve();
          return;
        }
        const finish = () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', finish);
          resolve();
        };
        const timer = setTimeout(finish, Math.min(ms, TIMER_MAX));
        timer.unref();
        signal?.addEventListener('abort', finish);
      }),
  };
}
