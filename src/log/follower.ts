import { backOffMs, STORE_BACK_OFF } from '../kernel/back-off.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { laterPosition, type Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventFilter } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';
import { LATE, within } from '../ports/within.ts';
import { type Anchor, compareWithLog } from './anchor.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { EventBatch, EventLog } from './event-log.ts';
import { FencedOff } from './lease.ts';

/** The log is not the one that the checkpoint was written for: it was restored from an older copy. */
export class LogDiverged extends Error {
  override readonly name = 'LogDiverged';
  /** The latest known event that both logs have, `null` when none is known. */
  readonly shared: Anchor | null;

  constructor(message: string, shared: Anchor | null) {
    super(message);
    this.shared = shared;
  }
}

/**
 * - `stopped`: it does not run on this node;
 * - `catching-up`: it has not reached the end of the log yet;
 * - `live`: it has, and handles events as they are appended;
 * - `retrying`: a store is unavailable, or handling failed, and it continues by itself after a pause;
 * - `diverged`: the log is not the one of its checkpoint.
 */
export type FollowerState = 'stopped' | 'catching-up' | 'live' | 'retrying' | 'diverged';

export type FollowerStatus = Readonly<{
  name: string;
  state: FollowerState;
  /** Everything up to here was handled. */
  position: Position | null;
  /** Events that wait, at most; `null` when the store does not know. */
  lagEvents: number | null;
  /** Age of the last handled event in ms while others wait; 0 when none waits, `null` before the first. */
  lagMs: number | null;
  /** Why it last failed, `null` when it has worked since. */
  lastError: string | null;
}>;

export type FollowerOptions = Readonly<{
  name: string;
  log: EventLog;
  clock: Clock;
  random: Random;
  logger: Logger;
  filter?: EventFilter;
  /** Events in one batch at most; default 512. */
  batchSize?: number;
  /** Where to start; called again after each interruption. */
  checkpoint(): Checkpoint;
  /** Handles one batch; the next one comes when that is done. `done`: it needs no more. */
  handle(batch: EventBatch): Promise<'done' | undefined>;
  /** Runs after each batch that was handled, before the next one is waited for. What it throws is treated as if `handle` had thrown it. */
  between?(batch: EventBatch): Promise<void>;
  /** What to do when no batch comes within so many ms; called before each wait. `null`: nothing. */
  idle?(): Readonly<{ afterMs: number; run(): Promise<void> }> | null;
  /** Whether to continue after a pause when handling threw this. Default: after `UNAVAILABLE` and `UNKNOWN` of a store. */
  isRetried?(error: unknown): boolean;
}>;

/**
 * Reads the log from a checkpoint, catches up and stays live: the one way in which projections, push and reactions follow the log. Batches are
 * handled one after the other. When a store is unavailable, it continues after growing pauses. A checkpoint of another log is noticed at the start
 * and after each interruption, also one after which the subscription has reconnected by itself. Which node runs it is decided by a lease (`lease.ts`), whose loss aborts the signal.
 */
export class Follower {
  readonly #options: FollowerOptions;
  #state: FollowerState = 'stopped';
  #position: Position | null = null;
  #recordedAt: string | null = null;
  #atEnd = false;
  #lastError: string | null = null;
  /** Id of the anchor that the log was found not to have. */
  #lost: string | null = null;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get state(): FollowerState {
    return this.#state;
  }

  /** Why it waits for a store, `null` when it does not. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Whether there was nothing after the last batch, and when its last event was recorded. */
  get end(): Readonly<{ reached: boolean; recordedAt: string | null }> {
    return { reached: this.#atEnd, recordedAt: this.#recordedAt };
  }

  async status(): Promise<FollowerStatus> {
    const { name, clock } = this.#options;
    const lagEvents = await this.#countWaiting();
    const isWaiting = lagEvents === null ? !this.#atEnd : lagEvents > 0;
    const age = this.#recordedAt === null ? null : Math.max(0, clock.now() - Date.parse(this.#recordedAt));
    return {
      name,
      state: this.#state,
      position: this.#position,
      lagEvents,
      lagMs: isWaiting ? age : 0,
      lastError: this.#lastError,
    };
  }

  /**
   * Follows until the signal is aborted or `handle` needs no more. Throws `CLOSED` when a store was closed, `FencedOff` and `LogDiverged` at once,
   * and what `handle` throws and is not retried.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    this.#state = 'catching-up';
    try {
      for (let failures = 0; !signal.aborted; ) {
        try {
          const isDone = await this.#follow(signal, () => {
            failures = 0;
          });
          if (isDone || signal.aborted) return;
          throw new StoreError('UNAVAILABLE', 'the subscription ended by itself');
        } catch (error) {
          if (signal.aborted && isStoreError(error)) return;
          if (!this.#isRetried(error)) throw error;
          this.#failed(error, failures);
          await clock.sleep(backOffMs(STORE_BACK_OFF, failures++, random.fraction()), signal);
        }
      }
    } finally {
      if ((this.#state as FollowerState) !== 'diverged') this.#state = 'stopped';
      this.#atEnd = false;
    }
  }

  async #follow(signal: AbortSignal, wentWell: () => void): Promise<boolean> {
    const { log, filter, batchSize, handle, between } = this.#options;
    const checkpoint = this.#options.checkpoint();
    await this.#verify(checkpoint);
    this.#position = checkpoint.position;
    const batches = log
      .subscribe({
        // Not from its position: when only the part after the anchor is another one, events of that part must not be missed.
        after: checkpoint.anchor?.position ?? checkpoint.position,
        signal,
        reconnected: () => this.#verify(this.#options.checkpoint()),
        ...(filter !== undefined && { filter }),
        ...(batchSize !== undefined && { batchSize }),
      })
      [Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#idlingUntil(batches.next());
        if (done === true) return false;
        this.#atEnd = false;
        const outcome = await handle(value);
        this.#handled(value);
        if (outcome === 'done') return true;
        if (!signal.aborted) await between?.(value);
        if (signal.aborted) return false;
        wentWell();
      }
    } finally {
      await batches.return?.();
    }
  }

  #handled({ events, position, caughtUp }: EventBatch): void {
    this.#position = laterPosition(this.#position, position);
    this.#recordedAt = events.at(-1)?.recordedAt ?? this.#recordedAt;
    this.#atEnd = caughtUp;
    this.#lastError = null;
    if (caughtUp || this.#state === 'retrying') this.#state = caughtUp ? 'live' : 'catching-up';
  }

  /** Waits for the next batch, and runs the idle task when that takes long. */
  async #idlingUntil<Next>(next: Promise<Next>): Promise<Next> {
    const idle = this.#options.idle?.() ?? null;
    if (idle === null) return next;
    if ((await within(this.#options.clock, idle.afterMs, next)) === LATE) await idle.run();
    return next;
  }

  /** Throws `LogDiverged` unless the log still has the event of the checkpoint, or may have removed it. */
  async #verify({ position, anchor, former = [] }: Checkpoint): Promise<void> {
    if (anchor === null) return;
    const { log, name, logger, clock } = this.#options;
    const now = clock.now();
    const { isSame, shared } = await compareWithLog(log, { anchor, former }, now);
    if (isSame) return;
    const head = await log.head();
    this.#state = 'diverged';
    log.restored();
    if (this.#lost !== anchor.id) {
      const since = new Date(now).toISOString();
      this.#lastError = `the event log does not have the event at ${anchor.position} that '${name}' has handled: it was restored from an older copy (noticed at ${since})`;
      logger.error({ follower: name, position, anchor, head, shared }, this.#lastError);
    }
    this.#lost = anchor.id;
    throw new LogDiverged(this.#lastError ?? 'the event log was restored from an older copy', shared);
  }

  #isRetried(error: unknown): boolean {
    if (error instanceof FencedOff || error instanceof LogDiverged || isStoreError(error, 'CLOSED')) return false;
    return this.#options.isRetried?.(error) ?? isStoreError(error, 'UNAVAILABLE', 'UNKNOWN');
  }

  #failed(error: unknown, failures: number): void {
    const { name, logger } = this.#options;
    this.#state = 'retrying';
    this.#lastError = error instanceof Error ? error.message : String(error);
    const level = isStoreError(error) ? 'warn' : 'error';
    if (failures === 0 || level === 'error')
      logger[level]({ err: error, follower: name }, 'a follower was interrupted and will try again');
  }

  async #countWaiting(): Promise<number | null> {
    if (this.#state === 'stopped') return null;
    try {
      const count = await this.#options.log.countAfter(this.#position);
      if (count !== null) return count;
    } catch (error) {
      if (!isStoreError(error)) throw error;
    }
    return this.#atEnd ? 0 : null;
  }
}
