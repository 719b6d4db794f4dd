import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Retention } from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { StoredRetention, StreamHead, Streams } from './event-store-names.ts';

/** Rows removed, and streams examined, in one step at most. */
const STEP_ROWS = 256;
const STEP_STREAMS = 64;
/** When to retry the removal of a record that is the last one of the log. */
const RETRY_MS = 60_000;

export type RetentionDeps = Readonly<{
  database: DatabaseSync;
  streams: Streams;
  /** ms since the epoch. */
  now(): number;
  /** Place of the last committed record of the log. */
  committed(): number;
  /** Writes the collected rows of the current group. */
  flush(): void;
}>;

type RowHead = readonly [place: number, revision: number, recordedAt: number];

/**
 * The retention of streams. The reader hides records immediately; `step` removes them from the log, a bounded number at a time.
 * All of it runs within the transaction of a group.
 */
export class RetentionRules {
  readonly #deps: RetentionDeps;
  readonly #remove: StatementSync;
  readonly #upsert: StatementSync;
  readonly #setDue: StatementSync;
  readonly #setForgotten: StatementSync;
  readonly #deleteRecords: StatementSync;
  readonly #selectDue: (now: number, limit: number) => [string][];
  readonly #selectOldest: (stream: number, limit: number) => RowHead[];

  constructor(deps: RetentionDeps) {
    const { database } = deps;
    this.#deps = deps;
    this.#remove = database.prepare('DELETE FROM retention WHERE stream = ?');
    this.#upsert = database.prepare('INSERT OR REPLACE INTO retention VALUES (?, ?, ?, ?, ?, ?)');
    this.#setDue = database.prepare('UPDATE retention SET due = ? WHERE stream = ?');
    this.#setForgotten = database.prepare('UPDATE streams SET forgotten = ? WHERE id = ?');
    this.#deleteRecords = database.prepare('DELETE FROM events WHERE stream = ? AND revision <= ?');
    this.#selectDue = prepareTuples<[string]>(
      database,
      'SELECT s.name FROM retention r JOIN streams s ON s.id = r.stream WHERE r.due <= ? ORDER BY r.due LIMIT ?',
    );
    this.#selectOldest = prepareTuples<RowHead>(
      database,
      'SELECT position, revision, recorded_at FROM events WHERE stream = ? ORDER BY revision LIMIT ?',
    );
  }

  /** Replaces the retention of a stream. */
  set(stream: string, retention: Retention): void {
    const head = this.#deps.streams.ensure(stream);
    const { maxAgeMs = null, maxCount = null, disposable = false } = retention;
    const truncateBefore = retention.truncateBefore === undefined ? null : toNumber(retention.truncateBefore);
    if (maxAgeMs === null && maxCount === null && truncateBefore === null) {
      this.#remove.run(head.id);
      head.retention = null;
      return;
    }
    const due =
      maxCount === null && truncateBefore === null ? this.#oldestExpiry(head, maxAgeMs ?? 0) : this.#deps.now();
    this.#upsert.run(head.id, maxAgeMs, maxCount, truncateBefore, disposable ? 1 : 0, due);
    head.retention = { maxAgeMs, maxCount, truncateBefore, disposable, due };
  }

  /** To be called after records from revision `first` on were appended: schedules their removal. */
  onAppend(head: StreamHead, first: number, recordedAt: number): void {
    const rules = head.retention;
    if (rules === null) return;
    const exceedsCount = rules.maxCount !== null && head.last >= rules.maxCount;
    const isTruncated = rules.truncateBefore !== null && first < rules.truncateBefore;
    const due =
      exceedsCount || isTruncated ? recordedAt : rules.maxAgeMs === null ? null : expiryOf(recordedAt, rules.maxAgeMs);
    if (due !== null && (rules.due === null || due < rules.due)) this.#schedule(head, rules, due);
  }

  /** Removes a bounded number of records that may be removed. `more`: there may be more of them now. */
  step(): { removed: number; more: boolean } {
    this.#deps.flush();
    const now = this.#deps.now();
    const names = this.#selectDue(now, STEP_STREAMS);
    let removed = 0;
    for (const [name] of names) {
      const head = this.#deps.streams.find(name);
      if (head?.retention) removed += this.#removeOldest(head, head.retention, now, STEP_ROWS - removed);
      if (removed >= STEP_ROWS) break;
    }
    return { removed, more: removed >= STEP_ROWS || names.length === STEP_STREAMS };
  }

  #removeOldest(head: StreamHead, rules: StoredRetention, now: number, limit: number): number {
    const visible = visibleFrom(head, now);
    const isRemovable = ([, revision, recordedAt]: RowHead) =>
      revision < visible.revision || recordedAt < visible.recordedAt;
    const rows = this.#selectOldest(head.id, limit + 1);
    // The last record of the log is kept, so that its position is not assigned twice.
    const firstKept = rows.findIndex((row) => !isRemovable(row) || row[0] >= this.#deps.committed());
    const count = Math.min(firstKept === -1 ? rows.length : firstKept, limit);
    const last = rows[count - 1];
    const next = rows[count];
    if (last !== undefined) this.#deleteRecords.run(head.id, last[1]);
    if (next === undefined && rules.disposable) {
      this.#remove.run(head.id);
      this.#deps.streams.remove(head);
      return count;
    }
    if (last !== undefined) this.#setForgotten.run(last[1], head.id);
    if (next === undefined) this.#schedule(head, rules, null);
    else if (!isRemovable(next))
      this.#schedule(head, rules, rules.maxAgeMs === null ? null : expiryOf(next[2], rules.maxAgeMs));
    else if (count < limit) this.#schedule(head, rules, now + RETRY_MS);
    return count;
  }

  #schedule(head: StreamHead, rules: StoredRetention, due: number | null): void {
    if (rules.due === due) return;
    this.#setDue.run(due, head.id);
    rules.due = due;
  }

  #oldestExpiry(head: StreamHead, maxAgeMs: number): number | null {
    let [oldest] = this.#selectOldest(head.id, 1);
    if (oldest === undefined && head.last >= 0) {
      // Rows of this group that are not written yet. Otherwise they stay together: writing many at once is cheaper.
      this.#deps.flush();
      [oldest] = this.#selectOldest(head.id, 1);
    }
    return oldest === undefined ? null : expiryOf(oldest[2], maxAgeMs);
  }
}

/** The first revision, and the earliest time, of the records of a stream that are returned. */
export function visibleFrom(head: StreamHead, now: number): { revision: number; recordedAt: number } {
  const rules = head.retention;
  if (rules === null) return { revision: 0, recordedAt: 0 };
  const byCount = rules.maxCount === null ? 0 : head.last - rules.maxCount + 1;
  return {
    revision: Math.max(0, byCount, rules.truncateBefore ?? 0),
    recordedAt: rules.maxAgeMs === null ? 0 : now - rules.maxAgeMs,
  };
}

/** No revision gets near the largest safe integer. */
const toNumber = (revision: bigint): number => Math.min(Number(revision), Number.MAX_SAFE_INTEGER);

/** The first moment at which a record of this time is too old. */
const expiryOf = (recordedAt: number, maxAgeMs: number): number => recordedAt + maxAgeMs + 1;
