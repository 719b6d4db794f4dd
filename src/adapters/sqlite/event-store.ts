import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Appended,
  EventStore,
  ExpectedRevision,
  LogSlice,
  NewRecord,
  ReadAllOptions,
  ReadStreamOptions,
  Retention,
  StreamSlice,
  SubscribeOptions,
  SubscriptionBatch,
} from '../../ports/event-store.ts';
import type { Random } from '../../ports/random.ts';
import { Checkpoints } from './checkpoints.ts';
import { asStoreError, MEMORY } from './database.ts';
import { GroupCommit } from './event-store-group-commit.ts';
import { type Lock, lockFile } from './event-store-lock.ts';
import { Dictionary, Streams } from './event-store-names.ts';
import { RecordReader } from './event-store-reader.ts';
import { RetentionRules } from './event-store-retention.ts';
import { encodeRecords, isPosition, toPlace, toPosition } from './event-store-rows.ts';
import { Scavenger } from './event-store-scavenger.ts';
import { type EventDatabase, openEventDatabase } from './event-store-schema.ts';
import { Subscription } from './event-store-subscription.ts';
import { RecordWriter } from './event-store-writer.ts';

/** Limit of the write-ahead log, in pages of 4 KiB: above it, a commit copies the rest into the database file itself. 64 MiB. */
const WAL_PAGES = 16_384;
/** Reads run synchronously. One of this many records or more is followed by a turn of the event loop, so that a loop of reads does not block it. */
const LONG_READ = 64;

export type SqliteEventStoreOptions = Readonly<{
  /** A file, created when it does not exist, or `:memory:`. */
  path: string;
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

/** The event store on one SQLite file. */
export interface SqliteEventStore extends EventStore {
  /** Removes records as the retention of their streams allows; also done every minute. Resolves with the number of records removed. */
  scavenge(): Promise<number>;
}

/**
 * Opens the embedded event store: one file, one process. Appends survive a power failure once they are resolved.
 * Throws `StoreError` with `UNAVAILABLE` when the file is already open, is not an event store, or has another format.
 */
export async function openSqliteEventStore(options: SqliteEventStoreOptions): Promise<SqliteEventStore> {
  const lock = options.path === MEMORY ? null : lockFile(options.path);
  try {
    return new Store(
      openEventDatabase(options.path, () => options.random.uuid(options.clock.now())),
      lock,
      options,
    );
  } catch (error) {
    lock?.release();
    throw asStoreError(error);
  }
}

class Store implements SqliteEventStore {
  readonly #opened: EventDatabase;
  readonly #lock: Lock | null;
  readonly #clock: Clock;
  readonly #writer: RecordWriter;
  readonly #reader: RecordReader;
  readonly #rules: RetentionRules;
  readonly #commits: GroupCommit;
  readonly #scavenger: Scavenger;
  readonly #checkpoints: Checkpoints | null;
  readonly #subscriptions = new Set<Subscription>();
  #closing: Promise<void> | null = null;

  constructor(opened: EventDatabase, lock: Lock | null, { path, clock, logger }: SqliteEventStoreOptions) {
    const { database } = opened;
    const types = new Dictionary(database, 'types');
    const categories = new Dictionary(database, 'categories');
    const streams = new Streams(database, categories);
    const now = () => clock.now();
    const committed = () => this.#writer.committed;
    const flush = () => this.#writer.flush();
    this.#opened = opened;
    this.#lock = lock;
    this.#clock = clock;
    database.exec(`PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    this.#rules = new RetentionRules({ database, streams, now, committed, flush });
    this.#writer = new RecordWriter({
      database,
      streams,
      types,
      now,
      isFollowed: () => this.#subscriptions.values().some((subscription) => subscription.isLive),
      onAppend: (head, first, recordedAt) => this.#rules.onAppend(head, first, recordedAt),
    });
    this.#reader = new RecordReader({ database, streams, types, categories, now, committed });
    this.#checkpoints = path === MEMORY ? null : new Checkpoints(path, clock, logger);
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
    this.#scavenger = new Scavenger({ commits: this.#commits, rules: this.#rules, clock, logger });
  }

  append(stream: string, records: readonly NewRecord[], { expect }: { expect: ExpectedRevision }): Promise<Appended> {
    return this.#write((resolve, reject) => {
      const encoded = encodeRecords(records);
      let appended: Appended;
      this.#commits.submit({
        rows: encoded.length,
        bytes: encoded.reduce((sum, { bytes }) => sum + bytes, 0),
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
      this.#commits.submit({
        rows: 1,
        bytes: 0,
        run: () => this.#rules.set(stream, retention),
        done: resolve,
        failed: reject,
      });
    });
  }

  async readStream(stream: string, options: ReadStreamOptions): Promise<StreamSlice> {
    const slice = this.#read(() => this.#reader.readStream(stream, options));
    if (slice.records.length >= LONG_READ) await this.#clock.nextTurn();
    return slice;
  }

  async readAll(options: ReadAllOptions): Promise<LogSlice> {
    const slice = this.#read(() => this.#reader.readAll(options));
    await this.#clock.nextTurn();
    return slice;
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionBatch> {
    return { [Symbol.asyncIterator]: () => this.#startSubscription(options) };
  }

  async head(): Promise<Position | null> {
    return this.#read(() => (this.#writer.committed === 0 ? null : toPosition(this.#writer.committed)));
  }

  isPosition(text: string): boolean {
    return isPosition(text);
  }

  async idAt(position: Position): Promise<string | null> {
    return this.#read(() => this.#reader.idAt(position));
  }

  /** Places have no gaps, so that only records that were removed are counted in addition. */
  async countAfter(position: Position | null): Promise<number> {
    return this.#read(() => Math.max(0, this.#writer.committed - (position === null ? 0 : toPlace(position))));
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
      after: after === null ? 0 : this.#reader.placeOf(after),
      filter,
      batchSize,
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
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the event store was closed');
  }
}
