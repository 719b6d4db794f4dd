/** Time as a port, so that a whole node can run on a virtual clock. The only implementation outside the tests is `adapters/system`. */
export interface Clock {
  /** Wall-clock time, ms since the epoch. For what is shown or stored. */
  now(): number;
  /** Time that only moves forward, ms from an arbitrary start. For deadlines, leases and durations. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when `signal` is aborted; never rejects. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after `ms`, unless cancelled before. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer;
  /** Calls back every `ms` until cancelled. Does not keep the process alive. */
  every(ms: number, callback: () => void): Timer;
  /** Resolves in a later turn of the event loop: lets I/O and other work run in between. */
  nextTurn(): Promise<void>;
}

/** A timer that was started. */
export type Timer = Readonly<{
  /** Stops it. Harmless when repeated, and after it has fired. */
  cancel(): void;
}>;
