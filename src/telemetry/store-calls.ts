import { isStoreError, type StoreErrorCode } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Histogram } from '../ports/telemetry.ts';
import { secondsSince } from './durations.ts';

/** How a call to a store failed, as a label value. `error`: it was not a `StoreError`. */
export type StoreFailure = 'conflict' | 'unavailable' | 'unknown' | 'invalid' | 'closed' | 'erased' | 'error';

const FAILURES: Readonly<Record<StoreErrorCode, StoreFailure>> = {
  VERSION_CONFLICT: 'conflict',
  UNAVAILABLE: 'unavailable',
  UNKNOWN: 'unknown',
  INVALID: 'invalid',
  CLOSED: 'closed',
  ERASED: 'erased',
};

export const storeFailure = (error: unknown): StoreFailure => (isStoreError(error) ? FAILURES[error.code] : 'error');

/**
 * Measures calls to a store by operation and outcome (`done` or the failure). The returned function takes the promise of a call that was started at
 * `startedAt` (`clock.monotonic()`), and settles as it does: `observe('find', clock.monotonic(), store.find(…))`.
 */
export function storeCalls<Operation extends string>(
  duration: Histogram<'operation' | 'outcome'>,
  clock: Clock,
): <Result>(operation: Operation, startedAt: number, call: Promise<Result>) => Promise<Result> {
  return async (operation, startedAt, call) => {
    let outcome: 'done' | StoreFailure = 'done';
    try {
      return await call;
    } catch (error) {
      outcome = storeFailure(error);
      throw error;
    } finally {
      duration.observe(secondsSince(clock, startedAt), { operation, outcome });
    }
  };
}
