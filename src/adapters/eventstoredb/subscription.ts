import { isStoreError } from '../../kernel/errors.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { Logger } from '../../kernel/logger.ts';
import { laterPosition, type Position } from '../../kernel/position.ts';
import type { EventRegistry } from '../../kernel/registry.ts';
import type { Clock } from '../../ports/clock.ts';
import type { EventFilter, SubscriptionBatch } from '../../ports/event-store.ts';
import type { Connection } from './connection.ts';
import { decodeEvent, type StoredRecord } from './envelope.ts';
import { Feed, type Taken } from './feed.ts';
import { fits } from './filter.ts';
import { failedRead } from './outcomes.ts';
import { type Place, toPlace } from './position.ts';
import type { Reader } from './reader.ts';
import { subscribeRequest } from './requests.ts';

/** First pause before a new attempt, in ms; it doubles up to the largest, with jitter. */
const PAUSE_MS = 50;
const PAUSE_MAX_MS = 5_000;

export type SubscriptionDeps = Readonly<{
  connection: Connection;
  reader: Reader;
  registry: EventRegistry;
  clock: Clock;
  logger: Logger;
}>;

/** Settings of a subscription, checked. It ends quietly when `stop` is aborted. */
export type SubscriptionSettings = Readonly<{
  after: Position | null;
  filter: EventFilter | undefined;
  batchSize: number;
  stop: AbortSignal;
}>;

/**
 * Everything behind a position, over as many calls as it takes: after one that broke off it goes on behind the last event or checkpoint, whichever
 * is later. Throws only what a new attempt would not mend: `INVALID` for a position the log does not have, `UNAVAILABLE` for a damaged event.
 */
export async function* follow(
  deps: SubscriptionDeps,
  settings: SubscriptionSettings,
): AsyncGenerator<SubscriptionBatch, void> {
  const { stop } = settings;
  const run = new Run(deps, settings);
  for (let failures = 0; !stop.aborted; ) {
    const feed = await run.open(failures);
    if (feed !== null) {
      const leave = () => feed.cancel();
      stop.addEventListener('abort', leave);
      try {
        for (let taken = await feed.take(); taken !== null && !stop.aborted; taken = await feed.take()) {
          failures = 0;
          yield run.accept(taken);
          if (run.isOver(taken)) break;
        }
      } finally {
        stop.removeEventListener('abort', leave);
        leave();
      }
      if (feed.error === null) continue;
      run.failed(feed, failures);
    }
    await deps.clock.sleep(pauseMs(failures++), stop);
  }
}

/** Where a subscription stands, from one call to the next. */
class Run {
  readonly #deps: SubscriptionDeps;
  readonly #settings: SubscriptionSettings;
  #position: Position | null;
  /** The last event that was delivered: what comes again is passed over. A checkpoint does not count for that. */
  #delivered: Position | null;
  /**
   * The past comes through the server's filter. What is live comes without it and is sifted here, because only so does each event of the log move the
   * position at once: with a filter the server tells only now and then how far it is.
   */
  #isLive: boolean;
  #link: Awaited<ReturnType<Connection['link']>> | null = null;

  constructor(deps: SubscriptionDeps, settings: SubscriptionSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.#position = settings.after;
    this.#delivered = settings.after;
    this.#isLive = settings.filter === undefined;
  }

  /** Begins a call behind the position. `null` when that was not possible this time. */
  async open(failures: number): Promise<Feed | null> {
    const { connection, reader } = this.#deps;
    const { filter, batchSize } = this.#settings;
    try {
      const from = this.#position === null ? null : await align(reader, this.#position);
      this.#link = await connection.link();
      const request = subscribeRequest(from, this.#isLive ? undefined : filter);
      const call = this.#link.streams.read(request, ...this.#link.arguments(Number.POSITIVE_INFINITY));
      return new Feed(call, { decode: (record) => this.#decode(record), batchSize });
    } catch (error) {
      if (this.#settings.stop.aborted) return null;
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      this.#complain(error, failures);
      return null;
    }
  }

  accept({ events, position, caughtUp }: Taken): SubscriptionBatch {
    this.#position = laterPosition(this.#position, position);
    this.#delivered = events.at(-1)?.position ?? this.#delivered;
    return { events, position: this.#position, caughtUp: caughtUp && this.#isLive };
  }

  /** Whether the past is over with this, and another call brings what is live. */
  isOver({ caughtUp }: Taken): boolean {
    if (!caughtUp || this.#isLive) return false;
    this.#isLive = true;
    return true;
  }

  /** A call ended by itself. Throws what a new one would not mend. */
  failed({ error }: Feed, failures: number): void {
    if (isStoreError(error)) throw error;
    if (this.#link !== null) this.#deps.connection.failed(this.#link, error);
    const failure = failedRead(error);
    if (failure.code !== 'UNAVAILABLE') throw failure;
    this.#complain(error, failures);
  }

  #decode(record: StoredRecord): RecordedEvent | null {
    const event = decodeEvent(this.#deps.registry, record);
    if (event === null) return null;
    this.#deps.reader.seen(event.position);
    const isNew = this.#delivered === null || event.position > this.#delivered;
    return isNew && fits(this.#settings.filter, event) ? event : null;
  }

  #complain(error: unknown, failures: number): void {
    if (failures > 0) return;
    this.#deps.logger.warn({ err: error }, 'a subscription to the event store broke off and is taken up again');
  }
}

/**
 * A place to subscribe behind. EventStoreDB 23.10 starts behind the first record at the place or beyond it, so that a checkpoint that is no
 * record's own place would cost the record that follows: then it is the place of the record before. Newer servers take either.
 */
async function align(reader: Reader, position: Position): Promise<Place | null> {
  const place = toPlace(position);
  if (place.commit === place.prepare) return place;
  const before = await reader.recordBefore(place);
  return before === null ? null : toPlace(before);
}

function pauseMs(failures: number): number {
  const full = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(failures, 10));
  return full / 2 + (Math.random() * full) / 2;
}
