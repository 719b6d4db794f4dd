import { type BackOffSettings, backOffMs } from '../kernel/back-off.ts';
import { isStoreError } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';

/** The stream whose retention is written as a probe. It has no records. */
const PROBE = 'probe-append';
const RETENTION = { maxAgeMs: 1_000 };
/**
 * Pauses before a probe. They grow while appends fail after successful probes, because a probe may succeed where a larger append does not. After a
 * failed probe they do not: the node is ready soon after the store is available again.
 */
const PROBES: BackOffSettings = { firstMs: 1_000, longestMs: 10_000 };

/**
 * Whether the event store accepts appends, by the outcome of the last one: a full disk or a missing quorum does not affect reads. A node that is not
 * ready gets no commands, so `check` then writes a little by itself, without adding a record to the log.
 */
export class AppendHealth {
  /** The given store, whose appends are observed. */
  readonly store: EventStore;
  readonly #inner: EventStore;
  readonly #clock: Clock;
  readonly #random: Random;
  #isFailing = false;
  /** Times that it stopped being ready since the last append that succeeded. */
  #relapses = 0;
  #probeAt = 0;
  #probing: Promise<void> | null = null;

  constructor(store: EventStore, { clock, random }: Readonly<{ clock: Clock; random: Random }>) {
    this.#inner = store;
    this.#clock = clock;
    this.#random = random;
    const succeeded = () => {
      this.#isFailing = false;
      this.#relapses = 0;
    };
    const failed = (error: unknown) => this.#failed(error);
    this.store = {
      append(stream, records, options) {
        const appended = store.append(stream, records, options);
        appended.then(succeeded, failed);
        return appended;
      },
      readStream: (stream, options) => store.readStream(stream, options),
      readAll: (options) => store.readAll(options),
      subscribe: (options) => store.subscribe(options),
      setRetention: (stream, retention) => store.setRetention(stream, retention),
      isPosition: (text) => store.isPosition(text),
      head: () => store.head(),
      idAt: (position) => store.idAt(position),
      countAfter: (position) => store.countAfter(position),
      epoch: () => store.epoch(),
      close: () => store.close(),
    };
  }

  /** Resolves with `null` when the last append, or a probe after it, succeeded, otherwise with the reason. */
  async check(): Promise<string | null> {
    if (this.#isFailing && this.#clock.monotonic() >= this.#probeAt) {
      this.#probing ??= this.#probe().finally(() => {
        this.#probing = null;
      });
      await this.#probing;
    }
    return this.#isFailing ? 'the last append to the event log failed' : null;
  }

  async #probe(): Promise<void> {
    try {
      await this.#inner.setRetention(PROBE, RETENTION);
      this.#isFailing = false;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      this.#pause(0);
    }
  }

  #failed(error: unknown): void {
    // A conflict shows neither that the store can write nor that it cannot.
    if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) return;
    if (!this.#isFailing) this.#pause(this.#relapses++);
    this.#isFailing = true;
  }

  #pause(relapses: number): void {
    this.#probeAt = this.#clock.monotonic() + backOffMs(PROBES, relapses, this.#random.fraction());
  }
}
