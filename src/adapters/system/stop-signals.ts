import type { EventEmitter } from 'node:events';
import type { Clock } from '../../ports/clock.ts';

/** The signals that stop the process. SIGHUP comes when its terminal is closed. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** Signals within this time after the first are the same request, in ms: a terminal sends one to all its processes, and wrappers such as npm pass it on. */
const REPEATED_MS = 1_000;

export type StopHandlers = Readonly<{
  /** The first signal: stop in order. */
  stop(signal: string): void;
  /** A later request: stop at once. */
  stopNow(signal: string): void;
}>;

/** Handles the stop signals of a process. */
export function handleStopSignals(source: EventEmitter, clock: Clock, { stop, stopNow }: StopHandlers): void {
  let firstAt: number | null = null;
  for (const signal of SIGNALS) {
    source.on(signal, () => {
      if (firstAt === null) {
        firstAt = clock.monotonic();
        stop(signal);
      } else if (clock.monotonic() - firstAt >= REPEATED_MS) {
        stopNow(signal);
      }
    });
  }
}
