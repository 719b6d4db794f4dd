/**
 * Time, as a port: what decides or expires asks this, so that tests can move it.
 */
export interface Clock {
  /** Wall-clock time, ms since the epoch. For what is shown or stored. */
  now(): number;
  /** Time that only moves forward, ms from an arbitrary start. For deadlines and leases. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when `signal` is aborted; never rejects. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
