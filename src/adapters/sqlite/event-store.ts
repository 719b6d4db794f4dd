import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreError } from '../../kernel/errors.ts';
import type { NewEvent } from '../../kernel/event.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Position } from '../../kernel/position.ts';
import type { EventRegistry } from '../../kernel/registry.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Appended,
  EventStore,
  ExpectedRevision,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  Retention,
  StreamSlice,
  SubscribeOptions,
  SubscriptionBatch,
} from '../../ports/event-store.ts';
import { Checkpoints } from './checkpoints.ts';
import { asStoreError, MEMORY } from './database.ts';
import { checkExpectation, checkStreamName, encodeEvents } from './event-store-encode.ts';
import { GroupCommit } from './event-store-group-commit.ts';
import { type Lock, lockFile } from './event-store-lock.ts';
import { Dictionary, Streams } from './event-store-names.ts';
import { checkLimit, EventReader } from './event-store-reader.ts';
import { checkRetention, RetentionRules } from './event-store-retention.ts';
import { toPlace, toPosition } from './event-store-rows.ts';
import { Scavenger } from './event-store-scavenger.ts';
import { type EventDatabase, openEventDatabase } from './event-store-schema.ts';
import { Subscription } from './event-store-subscription.ts';
import { EventWriter } from './event-store-writer.ts';

/** Pages of the write-ahead log (4 KiB each) after which a commit copies the rest of it into the database file itself: its bound. */
const WAL_PAGES = 8_192;
/** Reads are done at once, on this thread. After one of so many events others get a turn, so that a loop of reads does not keep them out. */
const LONG_READ = 64;

export type SqliteEventStoreOptions = Readonly<{
  /** A file, made when it is missing, or `:memory:`. */
  path: string;
  registry: EventRegistry;
  logger: Logger;
  /** Default: the system's time. */
  clock?: Pick<Clock, 'now'>;
}>;

/** The event store on one SQLite file. */
export interface SqliteEventStore extends EventStore {
  /** Removes now what streams may forget, in small steps; also done every minute. Resolves with the number of events removed. */
  scavenge(): Promise<number>;
}

/**
 * Opens the embedded event store: one file, one process. Appends are durable when they are answered, also against the loss of power.
 * Throws `StoreError` with `UNAVAILABLE`, in words, when the file is open already, is no event log, or is of a newer format.
 */
export async function openSqliteEventStore(options: SqliteEventStoreOptions): Promise<SqliteEventStore> {
  const lock = options.path === MEMORY ? null : lockFile(options.path);
  try {
    return new Store(openEventDatabase(options.path), lock, options);
  } catch (error) {
    lock?.release();
    throw asStoreError(error);
  }
}

class Store implements SqliteEventStore {
  readonly #opened: EventDatabase;
  readonly #lock: Lock | null;
  readonly #registry: EventRegistry;
  readonly #writer: EventWriter;
  readonly #reader: EventReader;
  readonly #rules: RetentionRules;
  readonly #commits: GroupCommit;
  readonly #scavenger: Scavenger;
  readonly #checkpoints: Checkpoints | null;
  readonly #subscriptions = new Set<Subscription>();
  #closing: Promise<void> | null = null;

  constructor(
    opened: EventDatabase,
    lock: Lock | null,
    { path, registry, logger, clock = Date }: SqliteEventStoreOptions,
  ) {
    const { database } = opened;
    const types = new Dictionary(database, 'types');
    const categories = new Dictionary(database, 'categories');
    const streams = new Streams(database, categories);
    const now = () => clock.now();
    const committed = () => this.#writer.committed;
    const flush = () => this.#writer.flush();
    this.#opened = opened;
    this.#lock = lock;
    this.#registry = registry;
    database.exec(`PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    this.#rules = new RetentionRules({ database, streams, now, committed, flush });
    this.#writer = new EventWriter({
      database,
      streams,
      types,
      now,
      isFollowed: () => this.#subscriptions.values().some((subscription) => subscription.isLive),
      onAppend: (head, first, recordedAt) => this.#rules.onAppend(head, first, recordedAt),
    });
    this.#reader = new EventReader({ database, registry, streams, types, categories, now, committed });
    this.#checkpoints = path === MEMORY ? null : new Checkpoints(path, logger);
    const rolledBack = () => {
      this.#writer.reset();
      streams.reset();
      types.reset();
    };
    this.#commits = new GroupCommit(
      database,
      { beforeCommit: flush, committed: () => this.#onCommit(), rolledBack },
      logger,
    );
    this.#scavenger = new Scavenger(this.#commits, this.#rules, logger);
  }

  append(stream: string, events: readonly NewEvent[], { expect }: { expect: ExpectedRevision }): Promise<Appended> {
    return this.#write((resolve, reject) => {
      checkStreamName(stream);
      checkExpectation(expect);
      const encoded = encodeEvents(this.#registry, events);
      let appended: Appended;
      this.#commits.submit({
        rows: encoded.length,
        bytes: encoded.reduce((sum, event) => sum + event.bytes, 0),
        run: () => {
          appended = this.#writer.write(stream, encoded, expect);
        },
        done: () => resolve(appended),
        failed: reject,
      });
    });
  }

  setRetention(stream: string, retention: Retention): Promise<void> {
    return this.#write((resolve, reject) => {
      checkStreamName(stream);
      checkRetention(retention);
      this.#commits.submit({
        rows: 1,
        bytes: 0,
        run: () => this.#rules.set(stream, retention),
        done: resolve,
        failed: reject,
      });
    });
  }

  async readStream(stream: string, options: ReadStreamOptions = {}): Promise<StreamSlice> {
    const slice = this.#read(() => this.#reader.readStream(stream, options));
    if (slice.events.length >= LONG_READ) await nextTurn();
    return slice;
  }

  async readAll(options: ReadAllOptions): Promise<LogSlice> {
    const slice = this.#read(() => this.#reader.readAll(options));
    await nextTurn();
    return slice;
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionBatch> {
    return { [Symbol.asyncIterator]: () => this.#startSubscription(options) };
  }

  async head(): Promise<Position | null> {
    return this.#read(() => (this.#writer.committed === 0 ? null : toPosition(this.#writer.committed)));
  }

  async epoch(): Promise<string> {
    return this.#read(() => this.#opened.epoch);
  }

  async scavenge(): Promise<number> {
    this.#checkOpen();
    return this.#scavenger.run();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#scavenger.stop();
    this.#commits.drain();
    for (const subscription of this.#subscriptions) subscription.close();
    try {
      await this.#checkpoints?.close();
    } finally {
      this.#opened.database.close();
      this.#lock?.release();
    }
  }

  #write<Result>(
    submit: (resolve: (result: Result) => void, reject: (error: StoreError) => void) => void,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      submit(resolve, reject);
    });
  }

  #read<Result>(work: () => Result): Result {
    this.#checkOpen();
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  #startSubscription({ after, filter, batchSize, signal }: SubscribeOptions): Subscription {
    this.#checkOpen();
    const subscription = new Subscription({
      after: toPlace(after),
      filter,
      batchSize: checkLimit(batchSize),
      signal,
      read: (place, limit, only) => this.#read(() => this.#reader.forwards(place, limit, only)),
      onEnd: (ended) => this.#subscriptions.delete(ended),
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #onCommit(): void {
    const before = this.#writer.committed;
    const fresh = this.#writer.takeCommitted();
    this.#checkpoints?.touch();
    if (this.#writer.committed === before) return;
    for (const subscription of this.#subscriptions) subscription.publish(fresh, this.#writer.committed);
  }

  #checkOpen(): void {
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the event log was closed');
  }
}
