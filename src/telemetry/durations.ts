import type { Clock } from '../ports/clock.ts';

/** Buckets of durations in seconds: from a read in memory to the longest deadline of a store. */
export const DURATION_BUCKETS: readonly number[] = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Seconds since a value of `clock.monotonic()`. */
export const secondsSince = (clock: Clock, startedAt: number): number => (clock.monotonic() - startedAt) / 1_000;
