import type { Clock } from '../../src/ports/clock.ts';

/** A clock that stands still until a test moves it. Sleepers wake when their time has come. */
export type ManualClock = Clock & Readonly<{ advance(ms: number): Promise<void>; sleeping(): number }>;

export function manualClock(startMs = Date.parse('2026-01-01T00:00:00.000Z')): ManualClock {
  let elapsed = 0;
  const sleepers = new Set<{ at: number; wake: () => void }>();
  return {
    now: () => startMs + elapsed,
    monotonic: () => elapsed,
    sleep(ms, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper = {
          at: elapsed + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake, { once: true });
      });
    },
    async advance(ms) {
      elapsed += ms;
      for (const sleeper of [...sleepers].sort((a, b) => a.at - b.at)) if (sleeper.at <= elapsed) sleeper.wake();
      // Lets what was woken run on before the test looks.
      await new Promise((resolve) => setImmediate(resolve));
    },
    sleeping: () => sleepers.size,
  };
}
