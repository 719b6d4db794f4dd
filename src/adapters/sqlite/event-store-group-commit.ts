import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { asStoreError } from './database.ts';

/** One write. Exactly one of `done` and `failed` is called, once. */
export interface Job {
  /** Its size within a group: the rows it writes, and the bytes of their content. */
  readonly rows: number;
  readonly bytes: number;
  /** Writes, within the transaction of the group. A `StoreError` rejects this job alone; it must be thrown before anything was changed. */
  run(): void;
  /** Called once it is durable. */
  done(): void;
  failed(error: StoreError): void;
}

/** Callbacks that are called for every group. */
export type GroupHooks = Readonly<{
  /** Writes the rows that the jobs have collected. */
  beforeCommit(): void;
  /** Called after `done` or `failed` of every job. */
  committed(): void;
  /** Nothing of the group was written: discards all state that assumed it would be. */
  rolledBack(): void;
}>;

/** Limits of one group; further jobs wait for the next turn of the event loop. A single larger job is a group by itself. */
const GROUP_ROWS = 512;
const GROUP_BYTES = 1_048_576;

/** Limits of the queue; further jobs are rejected. */
const QUEUE_ROWS = 16_384;
const QUEUE_BYTES = 67_108_864;

/** SQLite's extended error codes for a failed fsync of a file and of a folder. */
const FSYNC_FAILED = [1034, 1290];

/**
 * The only writer of the database. Jobs that are submitted during one turn of the event loop are committed together, with one fsync, and completed
 * only after it. A job that is rejected does not affect the others. The commit runs on this thread: a worker would cost a quarter of the throughput.
 */
export class GroupCommit {
  readonly #database: DatabaseSync;
  readonly #hooks: GroupHooks;
  readonly #logger: Logger;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  #queue: Job[] = [];
  #queuedRows = 0;
  #queuedBytes = 0;
  #turn: NodeJS.Immediate | null = null;
  #broken: StoreError | null = null;

  constructor(database: DatabaseSync, hooks: GroupHooks, logger: Logger) {
    this.#database = database;
    this.#hooks = hooks;
    this.#logger = logger;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#commit = database.prepare('COMMIT');
  }

  /** Queues a job. Throws `UNAVAILABLE` when the queue is full, or after a failed fsync. */
  submit(job: Job): void {
    if (this.#broken !== null) throw this.#broken;
    const isFull = this.#queuedRows + job.rows > QUEUE_ROWS || this.#queuedBytes + job.bytes > QUEUE_BYTES;
    if (isFull && this.#queue.length > 0) throw new StoreError('UNAVAILABLE', 'too many appends are pending');
    this.#queue.push(job);
    this.#queuedRows += job.rows;
    this.#queuedBytes += job.bytes;
    this.#turn ??= setImmediate(() => this.#takeTurn());
  }

  /** Commits everything that is queued, synchronously. */
  drain(): void {
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#turn = null;
    while (this.#queue.length > 0) this.#commitGroup(this.#takeGroup());
  }

  #takeTurn(): void {
    this.#turn = null;
    this.#commitGroup(this.#takeGroup());
    if (this.#queue.length > 0) this.#turn ??= setImmediate(() => this.#takeTurn());
  }

  #takeGroup(): Job[] {
    let rows = 0;
    let bytes = 0;
    let size = 0;
    for (const job of this.#queue) {
      if (size > 0 && (rows + job.rows > GROUP_ROWS || bytes + job.bytes > GROUP_BYTES)) break;
      rows += job.rows;
      bytes += job.bytes;
      size++;
    }
    this.#queuedRows -= rows;
    this.#queuedBytes -= bytes;
    const group = this.#queue;
    this.#queue = group.splice(size);
    return group;
  }

  #commitGroup(group: readonly Job[]): void {
    const rejected = new Map<Job, StoreError>();
    const failure = this.#broken ?? this.#tryCommit(group, rejected);
    // A rejection may depend on what another job of the group wrote, so it too is reported only after the commit.
    for (const job of group) {
      const error = failure ?? rejected.get(job);
      if (error === undefined) job.done();
      else job.failed(error);
    }
    if (failure === null) this.#hooks.committed();
  }

  /** Writes and commits a group, and adds the jobs that threw a `StoreError` to `rejected`. Returns the error for all jobs when the commit failed. */
  #tryCommit(group: readonly Job[], rejected: Map<Job, StoreError>): StoreError | null {
    try {
      this.#begin.run();
      for (const job of group) {
        try {
          job.run();
        } catch (error) {
          if (!isStoreError(error)) throw error;
          rejected.set(job, error);
        }
      }
      this.#hooks.beforeCommit();
      this.#commit.run();
      return null;
    } catch (error) {
      return this.#rollBack(error);
    }
  }

  /** Returns the error for all jobs of the group. */
  #rollBack(cause: unknown): StoreError {
    this.#hooks.rolledBack();
    this.#logger.error({ err: cause }, 'a group of appends could not be committed');
    try {
      // After some errors (disk full, I/O) SQLite has already rolled back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch (error) {
      this.#broken = asStoreError(error);
    }
    if (!isFsyncFailure(cause)) return asStoreError(cause);
    // After a failed fsync the system may treat lost pages as written, and a later fsync would not report it. Only a restart reads what is on the disk.
    this.#broken = new StoreError(
      'UNAVAILABLE',
      'an fsync failed; the event store accepts no appends until a restart',
      {
        cause,
      },
    );
    return new StoreError('UNKNOWN', 'an append was written, but the fsync failed', { cause });
  }
}

const isFsyncFailure = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && FSYNC_FAILED.includes(Number(error.errcode));
