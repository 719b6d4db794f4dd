import { isStoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached, type Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';

/** Requests that may wait at once; for one more, the answer is "not reached" at once. */
const WAITERS_MAX = 10_000;
/** Pace of reading stored checkpoints while a request waits for them, in ms. */
const POLL_EVERY_MS = 50;

type Waiter = { position: Position; missing: Set<string>; settle(reached: boolean): void };

export type ProgressOptions = Readonly<{
  clock: Clock;
  logger: Logger;
  /** The stored positions of these projections. */
  poll(projections: readonly string[]): Promise<ReadonlyMap<string, Position | null>>;
  /** Called when a request begins to wait. */
  waits?(): void;
}>;

/**
 * How far the projections have come, as this node knows it: those it runs itself from memory, the others from one shared poll, which runs only while
 * a request waits for them.
 */
export class Progress {
  readonly #options: ProgressOptions;
  /** Projections this node runs. */
  readonly #own = new Map<string, Readonly<{ position: Position | null; parked: boolean }>>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  #waiting = 0;
  #polling = false;
  #closed = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  /** Whether a request waits. */
  get isAwaited(): boolean {
    return this.#waiting > 0;
  }

  /** The position of a projection that this node runs; `undefined` when another runs it. */
  own(projection: string): Position | null | undefined {
    return this.#own.get(projection)?.position;
  }

  /** Notes how far a projection of this node has come; a parked one moves no further. */
  advance(projection: string, position: Position | null, parked: boolean): void {
    this.#own.set(projection, { position, parked });
    this.#reached(projection, position);
    if (parked) for (const waiter of this.#of(projection)) waiter.settle(false);
  }

  /** This node no longer runs it. */
  release(projection: string): void {
    if (this.#own.delete(projection)) this.#poll();
  }

  /** See `ReadModels.waitFor`. */
  waitFor(
    projections: readonly string[],
    position: Position,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const missing = new Set(projections.filter((name) => !hasReached(this.#own.get(name)?.position ?? null, position)));
    if (missing.size === 0) return Promise.resolve(true);
    const cannotBe = [...missing].some((name) => this.#own.get(name)?.parked === true);
    if (cannotBe || this.#closed || signal?.aborted === true || this.#waiting >= WAITERS_MAX)
      return Promise.resolve(false);
    return new Promise((resolve) => this.#enter(position, missing, timeoutMs, signal, resolve));
  }

  /** Settles all waiting requests with "not reached", and later ones too. */
  close(): void {
    this.#closed = true;
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.settle(false);
  }

  #enter(
    position: Position,
    missing: Set<string>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    resolve: (reached: boolean) => void,
  ): void {
    const settled = new AbortController();
    const giveUp = (): void => waiter.settle(false);
    const waiter: Waiter = {
      position,
      missing,
      settle: (reached) => {
        if (settled.signal.aborted) return;
        settled.abort();
        signal?.removeEventListener('abort', giveUp);
        for (const name of missing) this.#of(name).delete(waiter);
        this.#waiting--;
        resolve(reached);
      },
    };
    this.#waiting++;
    for (const name of missing) this.#of(name).add(waiter);
    signal?.addEventListener('abort', giveUp);
    void this.#options.clock.sleep(timeoutMs, settled.signal).then(giveUp);
    this.#options.waits?.();
    this.#poll();
  }

  #of(projection: string): Set<Waiter> {
    let waiters = this.#waiters.get(projection);
    if (waiters === undefined) {
      waiters = new Set();
      this.#waiters.set(projection, waiters);
    }
    return waiters;
  }

  #reached(projection: string, position: Position | null): void {
    for (const waiter of this.#of(projection)) {
      if (!hasReached(position, waiter.position)) continue;
      this.#of(projection).delete(waiter);
      waiter.missing.delete(projection);
      if (waiter.missing.size === 0) waiter.settle(true);
    }
  }

  /** Projections that are awaited and not run here. */
  #foreign(): readonly string[] {
    return [...this.#waiters].filter(([name, { size }]) => size > 0 && !this.#own.has(name)).map(([name]) => name);
  }

  #poll(): void {
    if (this.#polling || this.#closed || this.#foreign().length === 0) return;
    this.#polling = true;
    void this.#pollOn().finally(() => {
      this.#polling = false;
      this.#poll();
    });
  }

  async #pollOn(): Promise<void> {
    for (let names = this.#foreign(); names.length > 0 && !this.#closed; names = this.#foreign()) {
      try {
        const positions = await this.#options.poll(names);
        for (const [name, position] of positions) if (!this.#own.has(name)) this.#reached(name, position);
      } catch (error) {
        // Each waiting request has its own time-out.
        const level = isStoreError(error) ? 'debug' : 'error';
        this.#options.logger[level]({ err: error }, 'checkpoints could not be read');
      }
      if (this.#foreign().length > 0) await this.#options.clock.sleep(POLL_EVERY_MS);
    }
  }
}
