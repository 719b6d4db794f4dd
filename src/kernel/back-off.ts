/** Pauses between attempts, in ms: the first, doubled after each attempt up to the longest. */
export type BackOffSettings = Readonly<{ firstMs: number; longestMs: number }>;

/**
 * Between attempts to reach a store. The longest pause adds to the time for which everything lags after the store is available again, and one attempt a
 * second is no load, so it is short.
 */
export const STORE_BACK_OFF: BackOffSettings = { firstMs: 50, longestMs: 1_000 };

/** More doublings than that reach every longest pause, and 2 to their power stays exact. */
const DOUBLINGS_MAX = 30;

/**
 * The pause before attempt `attempt + 1`, counted from 0, with jitter: between half of the full pause and all of it, so that those who failed
 * together do not try again together. `fraction`: see `Random`.
 */
export function backOffMs({ firstMs, longestMs }: BackOffSettings, attempt: number, fraction: number): number {
  const full = Math.min(longestMs, firstMs * 2 ** Math.min(attempt, DOUBLINGS_MAX));
  return full * (0.5 + fraction / 2);
}
