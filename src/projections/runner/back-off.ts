import { isStoreError, type StoreError } from '../../kernel/errors.ts';
import type { Clock } from '../../ports/clock.ts';

const FIRST_MS = 50;
const LONGEST_MS = 5_000;

export type Persistence = Readonly<{
  clock: Clock;
  /** Ends the repeating; the step is then left as it is. */
  signal: AbortSignal;
  /** Told each time a store was found to be away, and `null` when it goes well again. */
  away(error: StoreError | null): void;
}>;

/**
 * Repeats a step for as long as a store is away, with jitter and longer and longer pauses up to 5 s. A long step says by `goesWell` that it
 * works again. Throws whatever else the step throws.
 */
export async function whileAway(
  { clock, signal, away }: Persistence,
  step: (goesWell: () => void) => Promise<void> | void,
): Promise<void> {
  let next = FIRST_MS;
  const goesWell = (): void => {
    next = FIRST_MS;
    away(null);
  };
  while (!signal.aborted) {
    try {
      await step(goesWell);
      return goesWell();
    } catch (error) {
      if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
      away(error);
      await clock.sleep(next * (0.5 + Math.random() / 2), signal);
      next = Math.min(LONGEST_MS, next * 2);
    }
  }
}
