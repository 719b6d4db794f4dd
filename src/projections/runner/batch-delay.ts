import type { Clock } from '../../ports/clock.ts';

/**
 * After a batch, further events are collected for a multiple of the time which that batch took, up to a longest time in ms. So handling takes a
 * bounded share of the thread as long as it keeps up, and the more there is to do, the fewer times a frequently changed document is written.
 * While a request waits for the read model, the share is larger.
 */
const FACTOR = 4;
const FACTOR_AWAITED = 1;
const LONGEST_MS = 500;

export type BatchDelayOptions = Readonly<{
  /** Whether a request waits for events to be handled. */
  isAwaited(): boolean;
  clock: Clock;
}>;

/** The pause between two batches. */
export class BatchDelay {
  readonly #options: BatchDelayOptions;
  #rest = new AbortController();

  constructor(options: BatchDelayOptions) {
    this.#options = options;
  }

  /** A request waits from now on. */
  hurry(): void {
    this.#rest.abort();
  }

  /** Pauses after a batch that took so long, in ms; at least until a later turn of the event loop. */
  async pause(tookMs: number, signal: AbortSignal): Promise<void> {
    const { isAwaited, clock } = this.#options;
    if (tookMs < 1) return clock.nextTurn();
    const least = Math.min(tookMs * FACTOR_AWAITED, LONGEST_MS);
    const most = Math.min(tookMs * FACTOR, LONGEST_MS);
    await clock.sleep(least, signal);
    if (isAwaited()) return;
    this.#rest = new AbortController();
    await clock.sleep(most - least, AbortSignal.any([signal, this.#rest.signal]));
  }
}
