import type { EventMetadata } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';

/**
 * The raw event store: streams of records, and one order over all of them. Data is JSON text that the store neither reads nor changes: schemas,
 * upcasters and personal data are the concern of the event log above it (`src/log/event-log.ts`), which also checks the arguments of every call
 * (`src/log/checks.ts`), so that an adapter may rely on them.
 * The adapters are held to `tests/contracts/event-store.ts`, which has no option per adapter.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`. System streams, and records of other writers in the same database that are
 * not Parley's, are never returned.
 */
export interface EventStore {
  /**
   * Appends records to one stream, all or none, and resolves once they are durable. They get consecutive revisions and ascending positions.
   *
   * Throws `VERSION_CONFLICT` when the stream is not as expected, `UNKNOWN` when no answer came in time: repeat the identical append; if the first
   * one was written, it conflicts. An id may occur twice in a store: it is not what keeps a command from being handled twice.
   */
  append(stream: string, records: readonly NewRecord[], options: { expect: ExpectedRevision }): Promise<Appended>;

  /** Reads a part of one stream. A stream that does not exist, or of which retention left nothing, reads as empty. */
  readStream(stream: string, options: ReadStreamOptions): Promise<StreamSlice>;

  /**
   * Reads a part of the whole log in its order, or against it. Throws `INVALID` for a position that the store did not make, also for one after the end
   * of the log. The record of a position may be gone.
   */
  readAll(options: ReadAllOptions): Promise<LogSlice>;

  /**
   * Catch-up subscription: every record after `after` in the order of the log, first from the past, then live as it is appended, without gap and
   * without duplicate. Reconnects by itself. It ends quietly when `signal` is aborted or the consumer leaves the loop, and throws `CLOSED` when
   * the store is closed, `INVALID` for a position as `readAll` does. Reads ahead at most two batches: a slow consumer costs no memory.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionBatch>;

  /**
   * Sets what a stream may forget; replaces what was set before. Forgotten records are hidden from `readStream` at once and removed from the whole
   * log later. The revisions of those that stay do not change, and a stream that forgot everything still knows its last one, unless it is disposable.
   * May throw `UNKNOWN`; repeating it is harmless.
   */
  setRetention(stream: string, retention: Retention): Promise<void>;

  /** Whether a text from outside is spelled like a position of this store. There may be no record at it, or none yet. */
  isPosition(text: string): boolean;

  /**
   * Position of the last record of the log, `null` when it has none. Costs the same whatever is in the log: where the last records are of other
   * writers, it may be the position of one of these, and there may be no record of Parley's at all.
   */
  head(): Promise<Position | null>;

  /** Id of the record at exactly this position, `null` when there is none (any more). Throws `INVALID` for a position that the store did not make. */
  idAt(position: Position): Promise<string | null>;

  /** An upper bound of how many records there are after a position (`null`: in all); `null` where the store would have to read them to know. */
  countAfter(position: Position | null): Promise<number | null>;

  /** Id of this log, made with it: a position means something only together with it. 1 to 36 characters, letters, digits and dashes. */
  epoch(): Promise<string>;

  /** Ends the subscriptions, waits for the appends in progress, and frees what is held. May be called twice. */
  close(): Promise<void>;
}

/** A record on its way to the store. */
export type NewRecord = Readonly<{
  /** UUID in lower case. */
  id: string;
  type: string;
  /** Version of the schema of `data`, from 1. */
  schemaVersion: number;
  /** JSON text of an object. */
  data: string;
  metadata: EventMetadata;
  /**
   * What `data` was made from. Not stored: a store may hand it, with the record, to subscribers in the same process, who then need not decode it.
   * It is not changed afterwards.
   */
  source?: object;
}>;

/** A record as the store returns it. */
export type StoredRecord = NewRecord &
  Readonly<{
    stream: string;
    /** Place in its stream, from 0 without gaps. */
    revision: bigint;
    position: Position;
    /** When the store took it, ISO 8601 UTC with milliseconds. */
    recordedAt: string;
  }>;

/** Records in one append, 1 to this. */
export const MAX_APPEND_EVENTS = 4_096;

/** Bytes of all data and metadata of one append, as JSON. An EventStoreDB server takes 1 MiB by default, its own overhead included. */
export const MAX_APPEND_BYTES = 1_000_000;

/** What the stream must be for an append: without records yet, with some, whatever, or with this last revision. */
export type ExpectedRevision = 'none' | 'exists' | 'any' | bigint;

/** Revision and position of the last record appended. */
export type Appended = Readonly<{ revision: bigint; position: Position }>;

export type Direction = 'forwards' | 'backwards';

export type ReadStreamOptions = Readonly<{
  /** First revision to read, inclusive; `null`: the first, or the last when backwards. */
  from: bigint | null;
  direction: Direction;
  /** Records at most, 1 to 4,096. */
  limit: number;
}>;

/**
 * `end`: nothing more in this direction at the time of reading. An empty slice has it set. Without it there is more, even when fewer records than
 * asked for came (large ones come in smaller slices).
 */
export type StreamSlice = Readonly<{ records: readonly StoredRecord[]; end: boolean }>;

export type ReadAllOptions = Readonly<{
  direction: Direction;
  /** Exclusive in both directions. `null`: from the start, or from the end when backwards. */
  from: Position | null;
  /** Records at most, 1 to 4,096. */
  limit: number;
  filter?: EventFilter | undefined;
}>;

/**
 * `next`: the `from` of the following read. It also moves past records that the filter left out, so that `records` may be empty before the `end`.
 * With `end` there was nothing more in this direction at the time of reading.
 */
export type LogSlice = Readonly<{ records: readonly StoredRecord[]; next: Position | null; end: boolean }>;

/** Only records of these categories, or only of these types. */
export type EventFilter = Readonly<{ categories: readonly string[] }> | Readonly<{ types: readonly string[] }>;

export type SubscribeOptions = Readonly<{
  /** Exclusive. `null`: from the first record. */
  after: Position | null;
  filter?: EventFilter | undefined;
  /** Records in one batch at most, 1 to 4,096. */
  batchSize: number;
  signal?: AbortSignal | undefined;
  /**
   * Called when the subscription has reconnected, before it continues, by a store that does so. What it throws ends the subscription, except
   * `UNAVAILABLE`: then it reconnects again.
   */
  reconnected?: (() => Promise<void>) | undefined;
}>;

/**
 * `position` is a checkpoint: everything up to it was delivered or left out by the filter, so it may be resumed from. `records` may be empty when
 * only the checkpoint moved, or when the subscription has just caught up. `caughtUp`: there was nothing after this batch when it was made.
 */
export type SubscriptionBatch = Readonly<{
  records: readonly StoredRecord[];
  position: Position | null;
  caughtUp: boolean;
}>;

/** What a stream may forget. An empty object: nothing. */
export type Retention = Readonly<{
  /** Records older than this, in ms (a multiple of 1,000). */
  maxAgeMs?: number;
  /** All but the latest so many. */
  maxCount?: number;
  /** All below this revision. */
  truncateBefore?: bigint;
  /**
   * Once everything was forgotten, the stream itself may be forgotten too, with its retention. It then starts again at revision 0, or goes on from its
   * last one where the store keeps that: those who append must be prepared for both.
   */
  disposable?: boolean;
}>;
