import { backOffMs } from '../kernel/back-off.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Change, LimitKey, LimitStates, LimitStore, SharedLimits } from '../ports/limit-store.ts';
import type { Random } from '../ports/random.ts';
import { LATE, within } from '../ports/within.ts';

/** How long a request waits for the shared store, in ms. */
const PATIENCE_MS = 1_000;
const BACK_OFF = { firstMs: 250, longestMs: 5_000 };
/** A state without meaning: writing it shows whether the store accepts changes. */
const PROBE: LimitKey = { kind: 'probe', id: 'probe' };
const PROBE_KEPT_MS = 60_000;

type Deps = Readonly<{ clock: Clock; random: Random; logger: Logger }>;

/**
 * Limits shared by all nodes that keep counting on this node alone while the shared store is unavailable. After the first call that fails or has no
 * response, no request waits for it: it is tried in the background until it responds. Counts of the meantime stay where they were made.
 */
export class InsuredLimits implements SharedLimits {
  readonly #shared: LimitStore;
  readonly #local: LimitStore;
  readonly #deps: Deps;
  readonly #closing = new AbortController();
  /** Monotonic time of the call that failed; `null` while the shared store is available. */
  #awaySince: number | null = null;
  #probing: Promise<void> = Promise.resolve();

  /** Owns both stores, and closes them. */
  constructor(shared: LimitStore, local: LimitStore, deps: Deps) {
    this.#shared = shared;
    this.#local = local;
    this.#deps = deps;
  }

  read(keys: readonly LimitKey[]): Promise<LimitStates> {
    return this.#ask((store) => store.read(keys));
  }

  update<Result>(key: LimitKey, change: Change<Result>): Promise<Result> {
    return this.#ask((store) => store.update(key, change));
  }

  awayMs(): number {
    return this.#awaySince === null ? 0 : this.#deps.clock.monotonic() - this.#awaySince;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#probing;
    await Promise.all([this.#shared.close(), this.#local.close()]);
  }

  async #ask<Result>(call: (store: LimitStore) => Promise<Result>): Promise<Result> {
    if (this.#awaySince !== null) return call(this.#local);
    const since = this.#deps.clock.monotonic();
    const outcome = await this.#attempt(() => call(this.#shared));
    if (!(outcome instanceof StoreError)) return outcome.result;
    if (outcome.code === 'CLOSED') throw outcome;
    this.#away(since, outcome);
    return call(this.#local);
  }

  /** The result of a call to the shared store, or why there is none. */
  async #attempt<Result>(call: () => Promise<Result>): Promise<{ result: Result } | StoreError> {
    try {
      const result = await within(this.#deps.clock, PATIENCE_MS, call());
      if (result !== LATE) return { result };
      return new StoreError('UNAVAILABLE', `no response within ${PATIENCE_MS} ms`);
    } catch (error) {
      if (isStoreError(error)) return error;
      throw error;
    }
  }

  #away(since: number, error: StoreError): void {
    if (this.#awaySince !== null || this.#closing.signal.aborted) return;
    this.#awaySince = since;
    this.#deps.logger.warn({ err: error }, 'the shared limits are unavailable: this node counts on its own');
    this.#probing = this.#probe();
  }

  /** Until the store responds, or this is closed. */
  async #probe(): Promise<void> {
    const { clock, random, logger } = this.#deps;
    const { signal } = this.#closing;
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(backOffMs(BACK_OFF, attempt, random.fraction()), signal);
      if (signal.aborted) return;
      const outcome = await this.#attempt(() => this.#shared.update(PROBE, touch));
      if (outcome instanceof StoreError) continue;
      logger.info({ awayMs: Math.round(this.awayMs()) }, 'the shared limits are available again');
      this.#awaySince = null;
      return;
    }
  }
}

const touch: Change<null> = () => ({ result: null, next: { state: {}, keepMs: PROBE_KEPT_MS } });
