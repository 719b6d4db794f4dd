import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { asStoreError } from './database.ts';

/** A piece of writing. Exactly one of `done` and `failed` is called, once. */
export interface Job {
  /** What it weighs in a group: rows it writes, and bytes of their content. */
  readonly rows: number;
  readonly bytes: number;
  /** Writes, within the group's transaction. Throws a `StoreError` to refuse itself alone, before it has changed anything. */
  run(): void;
  /** It is durable. */
  done(): void;
  failed(error: StoreError): void;
}

/** What takes part in every group. */
export type GroupHooks = Readonly<{
  /** Writes what the jobs have collected. */
  beforeCommit(): void;
  /** After the jobs were told. */
  committed(): void;
  /** Nothing of the group was written: forget what was assumed of it. */
  rolledBack(): void;
}>;

/** Of one group; more waits for the next turn of the event loop. A single larger job is a group of its own. */
const GROUP_ROWS = 512;
const GROUP_BYTES = 1_048_576;

/** Of what may wait; more is refused. */
const QUEUE_ROWS = 16_384;
const QUEUE_BYTES = 67_108_864;

/** SQLite's extended codes for a failed fsync of a file and of a folder. */
const FSYNC_FAILED = [1034, 1290];

/**
 * The one writer. What is submitted during a turn of the event loop is committed together, with one fsync, and each job is told only after
 * it. A job that refuses itself harms no other. The commit runs on this thread: a worker would cost a quarter of the throughput.
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

  /** Queues a job. Throws `UNAVAILABLE` when too much is waiting already, or when the disk can no longer be trusted. */
  submit(job: Job): void {
    if (this.#broken !== null) throw this.#broken;
    const full = this.#queuedRows + job.rows > QUEUE_ROWS || this.#queuedBytes + job.bytes > QUEUE_BYTES;
    if (full && this.#queue.length > 0)
      throw new StoreError('UNAVAILABLE', 'too many appends are waiting for the event log');
    this.#queue.push(job);
    this.#queuedRows += job.rows;
    this.#queuedBytes += job.bytes;
    this.#turn ??= setImmediate(() => this.#takeTurn());
  }

  /** Commits everything that waits, now. */
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
    const refused = new Map<Job, StoreError>();
    const failure = this.#broken ?? this.#tryCommit(group, refused);
    // A refusal may rest on what another of the group wrote, so it too is told only now.
    for (const job of group) {
      const error = failure ?? refused.get(job);
      if (error === undefined) job.done();
      else job.failed(error);
    }
    if (failure === null) this.#hooks.committed();
  }

  /** Writes and commits a group; collects the jobs that refused themselves. Gives what to tell all of them when it failed, else `null`. */
  #tryCommit(group: readonly Job[], refused: Map<Job, StoreError>): StoreError | null {
    try {
      this.#begin.run();
      for (const job of group) {
        try {
          job.run();
        } catch (error) {
          if (!isStoreError(error)) throw error;
          refused.set(job, error);
        }
      }
      this.#hooks.beforeCommit();
      this.#commit.run();
      return null;
    } catch (error) {
      return this.#rollBack(error);
    }
  }

  /** What to tell the jobs of a group that could not be committed. */
  #rollBack(cause: unknown): StoreError {
    this.#hooks.rolledBack();
    this.#logger.error({ err: cause }, 'a group of appends could not be committed');
    try {
      // SQLite itself has rolled back already after some errors (disk full, I/O).
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch (error) {
      this.#broken = asStoreError(error);
    }
    if (!isFsyncFailure(cause)) return asStoreError(cause);
    // After a failed fsync the system may hold for written what is not, and a later fsync would not tell. Only a restart reads the truth.
    this.#broken = new StoreError(
      'UNAVAILABLE',
      'the disk failed to keep an append; the event log takes no more until a restart',
      { cause },
    );
    return new StoreError('UNKNOWN', 'the disk failed to confirm an append', { cause });
  }
}

const isFsyncFailure = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && FSYNC_FAILED.includes(Number(error.errcode));
