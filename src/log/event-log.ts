import type { StoreError } from '../kernel/errors.ts';
import type { NewEvent, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { Appended, Direction, EventFilter, ExpectedRevision, Retention } from '../ports/event-store.ts';
import type { Anchor } from './anchor.ts';
import type { EncodedEvents } from './codec.ts';

/**
 * The event log: what everything in Parley appends to and reads from. It is an event store (`ports/event-store.ts`) with a codec above it: events
 * are checked against their schema, their personal fields sealed, and what is read is opened and brought up to date. It checks the arguments of
 * every call, so that adapters need not.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` (also when a personal key cannot be read), `CLOSED`, and `INVALID` for a call that is
 * wrong in itself.
 */
export interface EventLog {
  /**
   * Checks and seals events, so that they can be appended once or again, identically. Resolves at once where all keys are cached.
   * Throws `INVALID` for an event that its schema does not allow, `ERASED` for personal data of a person who was erased, and `UNAVAILABLE` when a
   * key cannot be read: nothing is ever written unsealed.
   */
  encode(events: readonly NewEvent[]): Promise<EncodedEvents>;

  /**
   * Whether these events could be encoded and appended: `null`, or the error that `encode` would throw. A promise only where a key has to be read.
   * By this the events of one command are refused before they join a batch.
   */
  admit(events: readonly NewEvent[]): StoreError | null | Promise<StoreError | null>;

  /**
   * Appends events to one stream, all or none, and resolves once they are durable; see `EventStore.append`. Throws what `encode` throws,
   * `VERSION_CONFLICT` when the stream is not as expected, `UNKNOWN` when no answer came in time: repeat it with the same encoded events.
   */
  append(
    stream: string,
    events: readonly NewEvent[] | EncodedEvents,
    options: { expect: ExpectedRevision },
  ): Promise<Appended>;

  /** Reads a part of one stream. A stream that does not exist, or of which retention left nothing, reads as empty. */
  readStream(stream: string, options?: ReadStream): Promise<StreamEvents>;

  /** Reads a part of the whole log in its order, or against it. */
  readAll(options: ReadAll): Promise<LogEvents>;

  /** Catch-up subscription, see `EventStore.subscribe`. Throws `UNAVAILABLE` when events cannot be decoded at the moment: subscribe again. */
  subscribe(options: Subscribe): AsyncIterable<EventBatch>;

  /** Types of the events that erase a person. */
  readonly erasingTypes: ReadonlySet<string>;

  /** Calls back for each person whose erasure is read on this node, by any of its subscriptions; more than once for the same. */
  onErased(listener: (personId: string) => void): void;

  /**
   * The last event before a position, or of the log (`null`), as an anchor. `null` when there is none, or when so many records of other programs come
   * after it that one read does not find it. It is not decoded.
   */
  recordBefore(position: Position | null): Promise<Anchor | null>;

  /** Calls back when a follower of this node has found that the log was restored from an older copy: what was read before may not be in it. */
  onRestored(listener: () => void): void;

  /** Reports that to all listeners. */
  restored(): void;

  /** See `EventStore`. */
  setRetention(stream: string, retention: Retention): Promise<void>;
  isPosition(text: string): boolean;
  head(): Promise<Position | null>;
  idAt(position: Position): Promise<string | null>;
  countAfter(position: Position | null): Promise<number | null>;
  epoch(): Promise<string>;
  close(): Promise<void>;
}

export type ReadStream = Readonly<{
  /** First revision to read, inclusive. Default: the first, or the last when backwards. */
  from?: bigint;
  /** Default `forwards`. */
  direction?: Direction;
  /** Events at most, 1 to 4,096. Default 512. */
  limit?: number;
  /** With `omit`, sealed fields are read as `null`, and no personal key is needed. Default `open`. */
  personal?: 'open' | 'omit';
}>;

/** See `StreamSlice` of the event store. */
export type StreamEvents = Readonly<{ events: readonly RecordedEvent[]; end: boolean }>;

export type ReadAll = Readonly<{
  direction: Direction;
  /** Exclusive in both directions. `null`: from the start, or from the end when backwards. */
  from: Position | null;
  /** Events at most, 1 to 4,096. Default 512. */
  limit?: number;
  filter?: EventFilter;
}>;

/** See `LogSlice` of the event store. */
export type LogEvents = Readonly<{ events: readonly RecordedEvent[]; next: Position | null; end: boolean }>;

export type Subscribe = Readonly<{
  /** Exclusive. `null`: from the first event. */
  after: Position | null;
  filter?: EventFilter;
  /** Events in one batch at most, 1 to 4,096. Default 512. */
  batchSize?: number;
  signal?: AbortSignal;
  /** See `SubscribeOptions` of the event store. */
  reconnected?: () => Promise<void>;
}>;

/** See `SubscriptionBatch` of the event store. */
export type EventBatch = Readonly<{ events: readonly RecordedEvent[]; position: Position | null; caughtUp: boolean }>;
