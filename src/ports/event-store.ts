import type { NewEvent, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';

/**
 * The event log: streams of events, and one order over all of them. The truth of Parley; everything else derives from it.
 * The adapters are held to `tests/contracts/event-store.ts`, which has no option per adapter.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`. System streams, and events of other writers in the same
 * database that are not Parley's, are never shown.
 */
export interface EventStore {
  /**
   * Appends events to one stream, all or none, and answers once they are durable.
   * The events get consecutive revisions and ascending positions. At most `MAX_APPEND_EVENTS` and `MAX_APPEND_BYTES`. They must not be
   * changed afterwards: subscriptions may be given the very same objects. A stream's name is 1 to 200 characters of well-formed text
   * without `$` in front.
   *
   * Throws `VERSION_CONFLICT` when the stream is not as expected, `INVALID` for an event its schema refuses (see `kernel/registry.ts`),
   * `UNKNOWN` when no answer came in time: repeat the identical append; if the first one was written, it conflicts.
   * An event id may occur twice in a log: it is not what keeps a command from being handled twice.
   */
  append(stream: string, events: readonly NewEvent[], options: { expect: ExpectedRevision }): Promise<Appended>;

  /**
   * Reads a part of one stream. A stream that does not exist, or of which retention left nothing, reads as empty.
   */
  readStream(stream: string, options?: ReadStreamOptions): Promise<StreamSlice>;

  /** Reads a part of the whole log in its order, or against it. */
  readAll(options: ReadAllOptions): Promise<LogSlice>;

  /**
   * Catch-up subscription: every event behind `after` in the order of the log, first from the past, then live as it is appended,
   * without gap and without double. Reconnects by itself. It ends quietly when `signal` is aborted or the consumer leaves the loop,
   * and throws `CLOSED` when the store is closed. Reads ahead at most two batches: a slow consumer costs no memory.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionBatch>;

  /**
   * Sets what a stream may forget; replaces what was set before. Forgotten events are hidden from `readStream` at once and removed from the
   * whole log later. The revisions of those that stay do not change, and a stream that forgot everything still knows its last one.
   * May throw `UNKNOWN`; repeating it is harmless.
   */
  setRetention(stream: string, retention: Retention): Promise<void>;

  /** Position of the last event of the log, `null` when it has none. */
  head(): Promise<Position | null>;

  /** Id of this log, made with it: a position means something only together with it. 1 to 36 characters, letters, digits and dashes. */
  epoch(): Promise<string>;

  /** Ends the subscriptions, waits for the appends that are under way, and frees what is held. May be called twice. */
  close(): Promise<void>;
}

/** Events in one append, 1 to this. */
export const MAX_APPEND_EVENTS = 4_096;

/** Bytes of all data and metadata of one append, as JSON. An EventStoreDB server takes 1 MiB by default, its own overhead included. */
export const MAX_APPEND_BYTES = 1_000_000;

/** What the stream must be for an append: without events yet, with some, whatever, or with this last revision. */
export type ExpectedRevision = 'none' | 'exists' | 'any' | bigint;

/** Revision and position of the last event appended. */
export type Appended = Readonly<{ revision: bigint; position: Position }>;

export type ReadStreamOptions = Readonly<{
  /** First revision to read, inclusive. Default: the first, or the last when backwards. */
  from?: bigint;
  /** Default `forwards`. */
  direction?: Direction;
  /** Events at most, 1 to 4,096. Default 512. */
  limit?: number;
}>;

export type Direction = 'forwards' | 'backwards';

/**
 * `end`: nothing more in this direction at the time of reading. An empty slice has it set. Without it there is more, even when fewer events
 * than asked for came (large ones come in smaller slices).
 */
export type StreamSlice = Readonly<{ events: readonly RecordedEvent[]; end: boolean }>;

export type ReadAllOptions = Readonly<{
  direction: Direction;
  /** Exclusive in both directions. `null`: from the start, or from the end when backwards. */
  from: Position | null;
  /** Events at most, 1 to 4,096. Default 512. */
  limit?: number;
  filter?: EventFilter;
}>;

/**
 * `next`: the `from` of the following read. It also moves past events that the filter left out, so that `events` may be empty before the `end`.
 * With `end` there was nothing more in this direction at the time of reading.
 */
export type LogSlice = Readonly<{ events: readonly RecordedEvent[]; next: Position | null; end: boolean }>;

/** Only events of these categories, or only of these types. */
export type EventFilter = Readonly<{ categories: readonly string[] }> | Readonly<{ types: readonly string[] }>;

export type SubscribeOptions = Readonly<{
  /** Exclusive. `null`: from the first event. */
  after: Position | null;
  filter?: EventFilter;
  /** Events in one batch at most, 1 to 4,096. Default 512. */
  batchSize?: number;
  signal?: AbortSignal;
}>;

/**
 * What has come. `position` is a checkpoint: everything up to it was delivered or left out by the filter, so it may be resumed from.
 * `events` may be empty when only the checkpoint moved, or when the subscription has just caught up.
 * `caughtUp`: there was nothing behind this batch when it was made.
 */
export type SubscriptionBatch = Readonly<{
  events: readonly RecordedEvent[];
  position: Position | null;
  caughtUp: boolean;
}>;

/** What a stream may forget. An empty object: nothing. */
export type Retention = Readonly<{
  /** Events older than this, in ms (a multiple of 1,000). */
  maxAgeMs?: number;
  /** All but the latest so many. */
  maxCount?: number;
  /** All below this revision. */
  truncateBefore?: bigint;
}>;
