import { hasReached, type Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';

/** Those who wait until a position was reached. */
export class PositionWaiters {
  readonly #clock: Clock;
  readonly #checks = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The position may have moved. */
  check(): void {
    for (const check of this.#checks) check();
  }

  /** Resolves once `reached()` is at or after the position, after `ms`, or when `signal` is aborted. */
  async wait(position: Position, reached: () => Position | null, ms: number, signal: AbortSignal): Promise<void> {
    if (hasReached(reached(), position)) return;
    const done = new AbortController();
    const check = (): void => {
      if (hasReached(reached(), position)) done.abort();
    };
    this.#checks.add(check);
    await this.#clock.sleep(ms, AbortSignal.any([done.signal, signal]));
    this.#checks.delete(check);
  }
}
