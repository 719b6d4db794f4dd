import type { Handled, HandleOptions } from './command-handler.ts';
import { outcomeUnknown, tooLate, unavailable } from './refusals.ts';

/**
 * Where an earlier outcome of the command may still be found: in the stream after this revision. `own`: this node may have appended it too, not only
 * others.
 */
export type Search = Readonly<{ after: bigint; own: boolean }>;

export type JobOptions = Readonly<{
  /** `clock.monotonic()` at which it is given up, in ms. */
  deadline: number;
  search: Search | null;
  onSettled(): void;
}>;

/** A command in the queue of its stream, and the caller who waits for its outcome. It is settled once; later outcomes are ignored. */
export class Job<C> {
  readonly command: C;
  readonly options: HandleOptions;
  readonly search: Search | null;
  /** The outcome. */
  readonly handled: Promise<Handled>;
  /** Whether its events may have been written. */
  isAppending = false;
  /** Whether the position of its outcome is that of a later event of the same append. */
  sharesAppend = false;
  readonly #deadline: number;
  readonly #onSettled: () => void;
  readonly #resolve: (handled: Handled) => void;
  readonly #reject: (error: unknown) => void;
  #settled = false;

  constructor(command: C, options: HandleOptions, { deadline, search, onSettled }: JobOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<Handled>();
    this.command = command;
    this.options = options;
    this.search = search;
    this.handled = promise;
    this.#deadline = deadline;
    this.#onSettled = onSettled;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get settled(): boolean {
    return this.#settled;
  }

  resolve(handled: Handled): void {
    if (this.#settle()) this.#resolve(handled);
  }

  reject(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  /** Rejects it when its deadline has passed, or its client has left before it was decided. Returns whether it is settled. */
  giveUp(now: number): boolean {
    if (this.#settled) return true;
    if (now >= this.#deadline) this.reject(this.isAppending ? outcomeUnknown() : tooLate());
    else if (!this.isAppending && this.options.signal?.aborted === true) {
      this.reject(unavailable('the client left before the command was decided'));
    }
    return this.#settled;
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#onSettled();
    return true;
  }
}
