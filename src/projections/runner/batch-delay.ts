import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { Clock } from '../../ports/clock.ts';

/**
 * After a batch, what comes is gathered for so many times what that one took, up to a longest time in ms. So handling takes a bounded share of
 * the thread for as long as it keeps up, and the more there is to do, the fewer times a hot document is written. For those who wait, the share
 * may be larger.
 */
const FACTOR = 4;
const FACTOR_AWAITED = 1;
const LONGEST_MS = 500;

export type GatheringOptions = Readonly<{
  /** Whether somebody waits for what comes to be handled. */
  isAwaited(): boolean;
  sleep: Clock['sleep'];
}>;

/** The pause between two batches. */
export class Gathering {
  readonly #options: GatheringOptions;
  #rest = new AbortController();

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /** Somebody waits from now on. */
  hurry(): void {
    this.#rest.abort();
  }

  /** Gives others a turn, and gathers after a batch that took so long, in ms. */
  async pause(tookMs: number, signal: AbortSignal): Promise<void> {
    if (tookMs < 1) return await yieldToOthers();
    const { isAwaited, sleep } = this.#options;
    const least = Math.min(tookMs * FACTOR_AWAITED, LONGEST_MS);
    const most = Math.min(tookMs * FACTOR, LONGEST_MS);
    await sleep(least, signal);
    if (isAwaited()) return;
    this.#rest = new AbortController();
    await sleep(most - least, AbortSignal.any([signal, this.#rest.signal]));
  }
}
