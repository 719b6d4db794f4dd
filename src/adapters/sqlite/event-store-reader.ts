import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type {
  Direction,
  EventFilter,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  StoredRecord,
  StreamSlice,
} from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { Dictionary, Streams } from './event-store-names.ts';
import { visibleFrom } from './event-store-retention.ts';
import { decodeRow, RECORD_COLUMNS, RECORD_TABLES, type RecordRow, toPlace, toPosition } from './event-store-rows.ts';

/** Rows fetched at once; their size is checked between fetches. */
const FETCH_ROWS = 64;
/** Characters of JSON after which a slice ends early. */
const SLICE_CHARACTERS = 4_194_304;
/** Places of the log that one filtered slice covers, so that a filter with few matches does not block the event loop. */
const SCAN_PLACES = 8_192;

export type ReaderDeps = Readonly<{
  database: DatabaseSync;
  streams: Streams;
  types: Dictionary;
  categories: Dictionary;
  /** ms since the epoch. */
  now(): number;
  /** Place of the last committed record of the log, 0 when it has none. */
  committed(): number;
}>;

/** The records of a range of places. `next` is where the following range starts, exclusive. */
export type LogRange = Readonly<{ records: readonly StoredRecord[]; next: number; end: boolean }>;

/** Fetches at most `limit` rows after `after`, by default from the start. */
type Fetch = (after: RecordRow | undefined, limit: number) => RecordRow[];

/** Reads committed records and verifies their checksums. */
export class RecordReader {
  readonly #deps: ReaderDeps;
  readonly #streamForwards: (stream: number, from: number, since: number, limit: number) => RecordRow[];
  readonly #streamBackwards: (stream: number, to: number, from: number, since: number, limit: number) => RecordRow[];
  readonly #at: (place: number) => RecordRow[];

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
    const select = `SELECT ${RECORD_COLUMNS} FROM ${RECORD_TABLES} WHERE e.stream = ?`;
    this.#streamForwards = prepareTuples<RecordRow>(
      deps.database,
      `${select} AND e.revision >= ? AND e.recorded_at >= ? ORDER BY e.revision LIMIT ?`,
    );
    this.#streamBackwards = prepareTuples<RecordRow>(
      deps.database,
      `${select} AND e.revision <= ? AND e.revision >= ? AND e.recorded_at >= ? ORDER BY e.revision DESC LIMIT ?`,
    );
    this.#at = prepareTuples<RecordRow>(
      deps.database,
      `SELECT ${RECORD_COLUMNS} FROM ${RECORD_TABLES} WHERE e.position = ?`,
    );
  }

  /** See `EventStore.readStream`. */
  readStream(stream: string, { from, direction, limit }: ReadStreamOptions): StreamSlice {
    const head = this.#deps.streams.find(stream);
    if (head === undefined) return { records: [], end: true };
    const { revision: first, recordedAt: since } = visibleFrom(head, this.#deps.now());
    const start = Number(from ?? (direction === 'forwards' ? 0 : head.last));
    const fetch: Fetch =
      direction === 'forwards'
        ? (after, rows) => this.#streamForwards(head.id, after ? after[1] + 1 : Math.max(start, first), since, rows)
        : (after, rows) => this.#streamBackwards(head.id, after ? after[1] - 1 : start, first, since, rows);
    const { records, more } = this.#collect(fetch, limit);
    return { records, end: !more };
  }

  /** See `EventStore.readAll`. */
  readAll({ direction, from, limit, filter }: ReadAllOptions): LogSlice {
    const start = from === null ? null : this.placeOf(from);
    const range =
      direction === 'forwards'
        ? this.forwards(start ?? 0, limit, filter)
        : this.#backwards(start ?? this.#deps.committed() + 1, limit, filter);
    // Neither end of an empty log has a position.
    const next = range.next === 0 || (from === null && this.#deps.committed() === 0) ? from : toPosition(range.next);
    return { records: range.records, next, end: range.end };
  }

  /** The place of a position of this log. Throws `INVALID` for one that this store did not make. */
  placeOf(position: Position): number {
    const place = toPlace(position);
    if (place <= this.#deps.committed()) return place;
    throw new StoreError('INVALID', `the event log does not have this position: it ends before '${position}'`);
  }

  /** Id of the record at a position, `null` when there is none. Throws `INVALID` for a position that this store did not make. */
  idAt(position: Position): string | null {
    const [row] = this.#at(toPlace(position));
    return row === undefined ? null : decodeRow(row).id;
  }

  /** The records after a place. `next` is at the end of the log when no further record matches. */
  forwards(after: number, limit: number, filter: EventFilter | undefined): LogRange {
    const last = this.#deps.committed();
    if (after >= last) return { records: [], next: after, end: true };
    const to = filter === undefined ? last : Math.min(last, after + SCAN_PLACES);
    const { records, more, lastPlace } = this.#scan('forwards', { after, before: to + 1 }, limit, filter);
    return more ? { records, next: lastPlace, end: false } : { records, next: to, end: to === last };
  }

  #backwards(before: number, limit: number, filter: EventFilter | undefined): LogRange {
    if (before <= 1) return { records: [], next: before, end: true };
    const after = filter === undefined ? 0 : Math.max(0, before - 1 - SCAN_PLACES);
    const { records, more, lastPlace } = this.#scan('backwards', { after, before }, limit, filter);
    return more ? { records, next: lastPlace, end: false } : { records, next: after + 1, end: after === 0 };
  }

  #scan(
    direction: Direction,
    range: { after: number; before: number },
    limit: number,
    filter: EventFilter | undefined,
  ) {
    const order = direction === 'forwards' ? '' : 'DESC';
    const select = prepareTuples<RecordRow>(
      this.#deps.database,
      `SELECT ${RECORD_COLUMNS} FROM ${RECORD_TABLES} WHERE e.position > ? AND e.position < ?${this.#condition(filter)}
       ORDER BY e.position ${order} LIMIT ?`,
    );
    return this.#collect(
      (row, rows) =>
        direction === 'forwards'
          ? select(row?.[0] ?? range.after, range.before, rows)
          : select(range.after, row?.[0] ?? range.before, rows),
      limit,
    );
  }

  /** The filter as SQL, with the integers of the names; names that no record has yet match nothing. */
  #condition(filter: EventFilter | undefined): string {
    if (filter === undefined) return '';
    const [column, names, dictionary] =
      'types' in filter
        ? ['e.type', filter.types, this.#deps.types]
        : ['s.category', filter.categories, this.#deps.categories];
    const ids = names.map((name) => dictionary.find(name)).filter((id) => id !== undefined);
    return ` AND ${column} IN (${ids.join(',')})`;
  }

  /** Up to `limit` records, fewer when they are large; fetches one row more to know whether there are `more`. */
  #collect(fetch: Fetch, limit: number): { records: StoredRecord[]; more: boolean; lastPlace: number } {
    const records: StoredRecord[] = [];
    let characters = 0;
    let last: RecordRow | undefined;
    for (;;) {
      const count = Math.min(FETCH_ROWS, limit + 1 - records.length);
      const rows = fetch(last, count);
      for (const row of rows) {
        if (records.length === limit || characters >= SLICE_CHARACTERS) {
          return { records, more: true, lastPlace: last?.[0] ?? 0 };
        }
        records.push(decodeRow(row));
        characters += row[7].length + row[8].length;
        last = row;
      }
      if (rows.length < count) return { records, more: false, lastPlace: last?.[0] ?? 0 };
    }
  }
}
