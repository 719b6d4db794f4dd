import { backOffMs, STORE_BACK_OFF } from '../../kernel/back-off.ts';
import { isStoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { laterPosition, type Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { EventFilter, StoredRecord, SubscriptionBatch } from '../../ports/event-store.ts';
import type { Random } from '../../ports/random.ts';
import type { Connection } from './connection.ts';
import { decodeRecord, type ServerRecord } from './envelope.ts';
import { Feed, type FeedBatch } from './feed.ts';
import { matches } from './filter.ts';
import type { Link } from './link.ts';
import { accessFailureOf, failedRead } from './outcomes.ts';
import { toPlace } from './position.ts';
import type { Reader } from './reader.ts';
import { subscribeRequest } from './requests.ts';

export type SubscriptionDeps = Readonly<{
  connection: Connection;
  reader: Reader;
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

export type SubscriptionSettings = Readonly<{
  after: Position | null;
  filter: EventFilter | undefined;
  batchSize: number;
  /** Ends the subscription without an error when aborted. */
  stop: AbortSignal;
  /** See `SubscribeOptions`. */
  reconnected?: (() => Promise<void>) | undefined;
}>;

/**
 * A catch-up subscription over as many calls as it takes: after a failed call it resumes after the last record or checkpoint, whichever is later.
 * Throws only where another attempt would fail too: `INVALID` for a position that the log does not have, `UNAVAILABLE` for a damaged record.
 */
export async function* follow(
  deps: SubscriptionDeps,
  settings: SubscriptionSettings,
): AsyncGenerator<SubscriptionBatch, void> {
  const { clock, random } = deps;
  const { stop } = settings;
  const subscription = new Subscription(deps, settings);
  for (let failures = 0; !stop.aborted; ) {
    const feed = await subscription.open(failures);
    if (feed !== null) {
      const cancel = () => feed.cancel();
      stop.addEventListener('abort', cancel);
      let isComplete = false;
      try {
        isComplete = await subscription.isComplete(feed, failures);
        let batch = isComplete ? await feed.nextBatch() : null;
        for (; batch !== null && !stop.aborted; batch = await feed.nextBatch()) {
          failures = 0;
          const accepted = subscription.accept(batch);
          if (accepted !== null) yield accepted;
          if (subscription.goesLive(batch)) break;
        }
      } finally {
        stop.removeEventListener('abort', cancel);
        cancel();
      }
      if (isComplete && feed.error === null) continue;
      if (isComplete) subscription.failed(feed, failures);
    }
    await clock.sleep(backOffMs(STORE_BACK_OFF, failures++, random.fraction()), stop);
  }
}

/** The state of a subscription that outlives its calls. */
class Subscription {
  readonly #deps: SubscriptionDeps;
  readonly #settings: SubscriptionSettings;
  #position: Position | null;
  /** The last record delivered: records up to it are skipped when they are sent again. Checkpoints do not count here. */
  #delivered: Position | null;
  /**
   * Past records are filtered by the server. Live records are filtered here, so that every record of the log moves the position at once: with a filter,
   * the server sends checkpoints only from time to time.
   */
  #isLive: boolean;
  /** What the current call was started with: a connection, and the record after which it starts. */
  #link: Link | null = null;
  #start: Position | null = null;
  /** Whether a call has failed, and the log may be another one since. */
  #isInterrupted = false;

  constructor(deps: SubscriptionDeps, settings: SubscriptionSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.#position = settings.after;
    this.#delivered = settings.after;
    this.#isLive = settings.filter === undefined;
  }

  /**
   * Starts a call after the last record before the current position; what it sends again is left out. EventStoreDB 23.10 starts after the first record
   * at the given place or after it, so that without the record of the position, which may have been scavenged, the next one would be lost. `null`
   * when a call is not possible at the moment.
   */
  async open(failures: number): Promise<Feed | null> {
    const { connection, reader } = this.#deps;
    const { filter, batchSize, stop, reconnected } = this.#settings;
    try {
      if (this.#isInterrupted) await reconnected?.();
      this.#isInterrupted = false;
      this.#link = await connection.link();
      const on = { link: this.#link, stop };
      this.#start = this.#position === null ? null : await reader.recordBefore(toPlace(this.#position), on);
      const place = this.#start === null ? null : toPlace(this.#start);
      const request = subscribeRequest(place, this.#isLive ? undefined : filter);
      const call = this.#link.read(request, Number.POSITIVE_INFINITY);
      return new Feed(call, { decode: (record) => this.#decode(record), batchSize });
    } catch (error) {
      if (this.#settings.stop.aborted) return null;
      this.#isInterrupted = true;
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      this.#logFailure(error, failures);
      return null;
    }
  }

  /**
   * Whether a call that was started delivers every record. The record that it was to start after may have been scavenged before the server read it.
   * Records do not come back: one that exists after the start existed at the start. Logs why it is not so.
   */
  async isComplete(feed: Feed, failures: number): Promise<boolean> {
    const { stop } = this.#settings;
    // A call that failed before delivers nothing.
    if (this.#start === null || this.#link === null || !(await feed.hasStarted())) return true;
    try {
      if (await this.#deps.reader.hasRecord(this.#start, { link: this.#link, stop })) return true;
      this.#logFailure(new Error('the record to start after was scavenged'), failures);
    } catch (error) {
      if (stop.aborted) return false;
      this.#isInterrupted = true;
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      this.#logFailure(error, failures);
    }
    return false;
  }

  /** The batch for the consumer; `null` when it has nothing new: only what was sent again. */
  accept({ records, position, caughtUp }: FeedBatch): SubscriptionBatch | null {
    const before = this.#position;
    this.#position = laterPosition(before, position);
    this.#delivered = records.at(-1)?.position ?? this.#delivered;
    const isCaughtUp = caughtUp && this.#isLive;
    if (records.length === 0 && this.#position === before && !isCaughtUp) return null;
    return { records, position: this.#position, caughtUp: isCaughtUp };
  }

  /** Whether this batch was the last one of the past, so that another call must deliver the live records. */
  goesLive({ caughtUp }: FeedBatch): boolean {
    if (!caughtUp || this.#isLive) return false;
    this.#isLive = true;
    return true;
  }

  /** Handles a call that ended by itself. Throws where a new call would fail too. */
  failed({ error }: Feed, failures: number): void {
    if (isStoreError(error)) throw error;
    this.#isInterrupted = true;
    if (this.#link !== null) this.#deps.connection.failed(this.#link, error);
    const denied = accessFailureOf(error);
    if (denied !== null) {
      this.#deps.connection.access.rejected(denied, 'read', '$all');
      return;
    }
    const failure = failedRead(error);
    if (failure.code !== 'UNAVAILABLE') throw failure;
    this.#logFailure(error, failures);
  }

  #decode(serverRecord: ServerRecord): StoredRecord | null {
    const record = decodeRecord(serverRecord);
    if (record === null) return null;
    this.#deps.reader.seen(record.position);
    const isNew = this.#delivered === null || record.position > this.#delivered;
    return isNew && matches(this.#settings.filter, record) ? record : null;
  }

  #logFailure(error: unknown, failures: number): void {
    if (failures > 0 || accessFailureOf(isStoreError(error) ? error.cause : error) !== null) return;
    this.#deps.logger.warn({ err: error }, 'subscription to the event store interrupted, reconnecting');
  }
}
