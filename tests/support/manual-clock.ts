import type { Clock, Timer } from '../../src/ports/clock.ts';

/** A clock that stands still until a test moves it. Timers fire when their time has come, in its order. */
export type ManualClock = Clock & Readonly<{ advance(ms: number): Promise<void>; sleeping(): number }>;

type Pending = { at: number; readonly serial: number; fire: () => void };

export function manualClock(startMs = Date.parse('2026-01-01T00:00:00.000Z')): ManualClock {
  let elapsed = 0;
  let serial = 0;
  const pending = new Set<Pending>();

  const after = (ms: number, callback: () => void): Timer => {
    const entry: Pending = {
      at: elapsed + ms,
      serial: serial++,
      fire: () => {
        pending.delete(entry);
        callback();
      },
    };
    pending.add(entry);
    return { cancel: () => void pending.delete(entry) };
  };

  const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => startMs + elapsed,
    monotonic: () => elapsed,
    after,
    every(ms, callback) {
      let timer: Timer;
      const again = (): void => {
        timer = after(ms, again);
        callback();
      };
      timer = after(ms, again);
      return { cancel: () => timer.cancel() };
    },
    sleep(ms, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wake = (): void => {
          timer.cancel();
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const timer = after(ms, wake);
        signal?.addEventListener('abort', wake, { once: true });
      });
    },
    nextTurn,
    async advance(ms) {
      elapsed += ms;
      // Timers that are started by those that fire are for later, unless they are due at once: those fire at the next move.
      const due = [...pending].filter(({ at }) => at <= elapsed).sort((a, b) => a.at - b.at || a.serial - b.serial);
      for (const entry of due) if (pending.has(entry)) entry.fire();
      // Lets what was woken run on before the test looks.
      await nextTurn();
    },
    sleeping: () => pending.size,
  };
}
