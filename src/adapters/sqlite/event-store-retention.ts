import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { Retention } from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { StoredRetention, StreamHead, Streams } from './event-store-names.ts';

/** Rows removed, and streams looked at, in one step at most. */
const STEP_ROWS = 256;
const STEP_STREAMS = 64;
/** When to look again for an event that may go, but is still the last one of the log. */
const RETRY_MS = 60_000;

export type RetentionDeps = Readonly<{
  database: DatabaseSync;
  streams: Streams;
  /** ms since the epoch. */
  now(): number;
  /** Place of the last committed event of the log. */
  committed(): number;
  /** Writes the rows of this group that were only collected so far. */
  flush(): void;
}>;

type RowHead = readonly [place: number, revision: number, recordedAt: number];

/**
 * What streams may forget: kept beside them, hidden by the reader at once, removed from the log step by step.
 * All of it runs within the transaction of a group.
 */
export class RetentionRules {
  readonly #deps: RetentionDeps;
  readonly #remove: StatementSync;
  readonly #upsert: StatementSync;
  readonly #setDue: StatementSync;
  readonly #setForgotten: StatementSync;
  readonly #deleteEvents: StatementSync;
  readonly #selectDue: (now: number, limit: number) => [string][];
  readonly #selectOldest: (stream: number, limit: number) => RowHead[];

  constructor(deps: RetentionDeps) {
    const { database } = deps;
    this.#deps = deps;
    this.#remove = database.prepare('DELETE FROM retention WHERE stream = ?');
    this.#upsert = database.prepare('INSERT OR REPLACE INTO retention VALUES (?, ?, ?, ?, ?)');
    this.#setDue = database.prepare('UPDATE retention SET due = ? WHERE stream = ?');
    this.#setForgotten = database.prepare('UPDATE streams SET forgotten = ? WHERE id = ?');
    this.#deleteEvents = database.prepare('DELETE FROM events WHERE stream = ? AND revision <= ?');
    this.#selectDue = prepareTuples<[string]>(
      database,
      'SELECT s.name FROM retention r JOIN streams s ON s.id = r.stream WHERE r.due <= ? ORDER BY r.due LIMIT ?',
    );
    this.#selectOldest = prepareTuples<RowHead>(
      database,
      'SELECT position, revision, recorded_at FROM events WHERE stream = ? ORDER BY revision LIMIT ?',
    );
  }

  /** Replaces what a stream may forget. */
  set(stream: string, retention: Retention): void {
    const head = this.#deps.streams.ensure(stream);
    const { maxAgeMs = null, maxCount = null } = retention;
    const truncateBefore = retention.truncateBefore === undefined ? null : toNumber(retention.truncateBefore);
    if (maxAgeMs === null && maxCount === null && truncateBefore === null) {
      this.#remove.run(head.id);
      head.retention = null;
      return;
    }
    const due = maxCount === null && truncateBefore === null ? this.#oldestEnds(head, maxAgeMs ?? 0) : this.#deps.now();
    this.#upsert.run(head.id, maxAgeMs, maxCount, truncateBefore, due);
    head.retention = { maxAgeMs, maxCount, truncateBefore, due };
  }

  /** Events from revision `first` on were appended: notes when there will be something to forget. */
  onAppend(head: StreamHead, first: number, recordedAt: number): void {
    const rules = head.retention;
    if (rules === null) return;
    const tooMany = rules.maxCount !== null && head.last >= rules.maxCount;
    const tooEarly = rules.truncateBefore !== null && first < rules.truncateBefore;
    const due = tooMany || tooEarly ? recordedAt : rules.maxAgeMs === null ? null : endOf(recordedAt, rules.maxAgeMs);
    if (due !== null && (rules.due === null || due < rules.due)) this.#plan(head, rules, due);
  }

  /** Removes a bounded part of what may go. `more`: there may be more of it now. */
  step(): { removed: number; more: boolean } {
    this.#deps.flush();
    const now = this.#deps.now();
    const names = this.#selectDue(now, STEP_STREAMS);
    let removed = 0;
    for (const [name] of names) {
      const head = this.#deps.streams.find(name);
      if (head?.retention) removed += this.#forget(head, head.retention, now, STEP_ROWS - removed);
      if (removed >= STEP_ROWS) break;
    }
    return { removed, more: removed >= STEP_ROWS || names.length === STEP_STREAMS };
  }

  #forget(head: StreamHead, rules: StoredRetention, now: number, limit: number): number {
    const visible = visibleFrom(head, now);
    const mayGo = ([, revision, recordedAt]: RowHead) => revision < visible.revision || recordedAt < visible.recordedAt;
    const rows = this.#selectOldest(head.id, limit + 1);
    // The log's last event stays: its position must not be given out again.
    const stays = rows.findIndex((row) => !mayGo(row) || row[0] >= this.#deps.committed());
    const count = Math.min(stays === -1 ? rows.length : stays, limit);
    const last = rows[count - 1];
    if (last !== undefined) {
      this.#deleteEvents.run(head.id, last[1]);
      this.#setForgotten.run(last[1], head.id);
    }
    const next = rows[count];
    if (next === undefined) this.#plan(head, rules, null);
    else if (!mayGo(next)) this.#plan(head, rules, rules.maxAgeMs === null ? null : endOf(next[2], rules.maxAgeMs));
    else if (count < limit) this.#plan(head, rules, now + RETRY_MS);
    return count;
  }

  #plan(head: StreamHead, rules: StoredRetention, due: number | null): void {
    if (rules.due === due) return;
    this.#setDue.run(due, head.id);
    rules.due = due;
  }

  #oldestEnds(head: StreamHead, maxAgeMs: number): number | null {
    this.#deps.flush();
    const [oldest] = this.#selectOldest(head.id, 1);
    return oldest === undefined ? null : endOf(oldest[2], maxAgeMs);
  }
}

/** The first revision, and the earliest time, that a stream still shows. */
export function visibleFrom(head: StreamHead, now: number): { revision: number; recordedAt: number } {
  const rules = head.retention;
  if (rules === null) return { revision: 0, recordedAt: 0 };
  const byCount = rules.maxCount === null ? 0 : head.last - rules.maxCount + 1;
  return {
    revision: Math.max(0, byCount, rules.truncateBefore ?? 0),
    recordedAt: rules.maxAgeMs === null ? 0 : now - rules.maxAgeMs,
  };
}

/** Throws `INVALID` for a retention that cannot be. */
export function checkRetention({ maxAgeMs, maxCount, truncateBefore }: Retention): void {
  const ageFits =
    maxAgeMs === undefined || (Number.isSafeInteger(maxAgeMs) && maxAgeMs >= 1_000 && maxAgeMs % 1_000 === 0);
  const countFits = maxCount === undefined || (Number.isSafeInteger(maxCount) && maxCount >= 1);
  if (ageFits && countFits && (truncateBefore === undefined || truncateBefore >= 0n)) return;
  throw new StoreError('INVALID', 'a retention has whole seconds, a count from 1, and a revision from 0');
}

/** No stream ever gets near the limit of a safe integer. */
const toNumber = (revision: bigint): number => Math.min(Number(revision), Number.MAX_SAFE_INTEGER);

/** The first moment at which an event of this time is too old. */
const endOf = (recordedAt: number, maxAgeMs: number): number => recordedAt + maxAgeMs + 1;
