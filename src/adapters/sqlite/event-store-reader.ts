import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { EventRegistry } from '../../kernel/registry.ts';
import type {
  Direction,
  EventFilter,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  StreamSlice,
} from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { Dictionary, Streams } from './event-store-names.ts';
import { visibleFrom } from './event-store-retention.ts';
import { decodeRow, EVENT_COLUMNS, EVENT_TABLES, type EventRow, toPlace, toPosition } from './event-store-rows.ts';

const DEFAULT_LIMIT = 512;
const MAX_LIMIT = 4_096;
/** Rows fetched at once; between fetches their size is looked at. */
const FETCH_ROWS = 64;
/** Characters of JSON after which a slice ends early. */
const SLICE_CHARACTERS = 4_194_304;
/** Places of the log that one filtered slice looks at, so that a filter that fits little does not hold up the event loop. */
const SCAN_PLACES = 8_192;

export type ReaderDeps = Readonly<{
  database: DatabaseSync;
  registry: EventRegistry;
  streams: Streams;
  types: Dictionary;
  categories: Dictionary;
  /** ms since the epoch. */
  now(): number;
  /** Place of the last committed event of the log, 0 without any. */
  committed(): number;
}>;

/** A part of the log by places: `next` is where the following part starts, exclusive. */
export type LogPart = Readonly<{ events: readonly RecordedEvent[]; next: number; end: boolean }>;

/** Fetches the rows that follow `after` (or those from the start), at most so many. */
type Fetch = (after: EventRow | undefined, limit: number) => EventRow[];

/** Reads committed events, checks their checksums and upcasts them. */
export class EventReader {
  readonly #deps: ReaderDeps;
  readonly #streamForwards: (stream: number, from: number, since: number, limit: number) => EventRow[];
  readonly #streamBackwards: (stream: number, to: number, from: number, since: number, limit: number) => EventRow[];

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
    const select = `SELECT ${EVENT_COLUMNS} FROM ${EVENT_TABLES} WHERE e.stream = ?`;
    this.#streamForwards = prepareTuples<EventRow>(
      deps.database,
      `${select} AND e.revision >= ? AND e.recorded_at >= ? ORDER BY e.revision LIMIT ?`,
    );
    this.#streamBackwards = prepareTuples<EventRow>(
      deps.database,
      `${select} AND e.revision <= ? AND e.revision >= ? AND e.recorded_at >= ? ORDER BY e.revision DESC LIMIT ?`,
    );
  }

  /** See `EventStore.readStream`. */
  readStream(stream: string, { from, direction = 'forwards', limit }: ReadStreamOptions): StreamSlice {
    const most = checkLimit(limit);
    if (from !== undefined && from < 0n) throw new StoreError('INVALID', `revisions start at 0, not at ${from}`);
    const head = this.#deps.streams.find(stream);
    if (head === undefined) return { events: [], end: true };
    const { revision: first, recordedAt: since } = visibleFrom(head, this.#deps.now());
    const start = Number(from ?? (direction === 'forwards' ? 0 : head.last));
    const fetch: Fetch =
      direction === 'forwards'
        ? (after, rows) => this.#streamForwards(head.id, after ? after[1] + 1 : Math.max(start, first), since, rows)
        : (after, rows) => this.#streamBackwards(head.id, after ? after[1] - 1 : start, first, since, rows);
    const { events, more } = this.#collect(fetch, most);
    return { events, end: !more };
  }

  /** See `EventStore.readAll`. */
  readAll({ direction, from, limit, filter }: ReadAllOptions): LogSlice {
    const start = from === null && direction === 'backwards' ? null : toPlace(from);
    const part =
      direction === 'forwards'
        ? this.forwards(start ?? 0, checkLimit(limit), filter)
        : this.#backwards(start ?? this.#deps.committed() + 1, checkLimit(limit), filter);
    // Without a single event, neither end of the log has a position.
    const next = part.next === 0 || (from === null && this.#deps.committed() === 0) ? from : toPosition(part.next);
    return { events: part.events, next, end: part.end };
  }

  /** The events behind `after`. `next` is at the end of the log when nothing more of it fits. */
  forwards(after: number, limit: number, filter: EventFilter | undefined): LogPart {
    const last = this.#deps.committed();
    if (after >= last) return { events: [], next: after, end: true };
    const to = filter === undefined ? last : Math.min(last, after + SCAN_PLACES);
    const { events, more, lastPlace } = this.#scan('forwards', { after, before: to + 1 }, limit, filter);
    return more ? { events, next: lastPlace, end: false } : { events, next: to, end: to === last };
  }

  #backwards(before: number, limit: number, filter: EventFilter | undefined): LogPart {
    if (before <= 1) return { events: [], next: before, end: true };
    const after = filter === undefined ? 0 : Math.max(0, before - 1 - SCAN_PLACES);
    const { events, more, lastPlace } = this.#scan('backwards', { after, before }, limit, filter);
    return more ? { events, next: lastPlace, end: false } : { events, next: after + 1, end: after === 0 };
  }

  #scan(
    direction: Direction,
    range: { after: number; before: number },
    limit: number,
    filter: EventFilter | undefined,
  ) {
    const order = direction === 'forwards' ? '' : 'DESC';
    const select = prepareTuples<EventRow>(
      this.#deps.database,
      `SELECT ${EVENT_COLUMNS} FROM ${EVENT_TABLES} WHERE e.position > ? AND e.position < ?${this.#condition(filter)}
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

  /** The filter by integers; names that no event has yet fit nothing. */
  #condition(filter: EventFilter | undefined): string {
    if (filter === undefined) return '';
    const [column, names, dictionary] =
      'types' in filter
        ? ['e.type', filter.types, this.#deps.types]
        : ['s.category', filter.categories, this.#deps.categories];
    const ids = names.map((name) => dictionary.find(name)).filter((id) => id !== undefined);
    return ` AND ${column} IN (${ids.join(',')})`;
  }

  /** Up to `limit` events, fewer when they are large; looks one row further to know whether there are `more`. */
  #collect(fetch: Fetch, limit: number): { events: RecordedEvent[]; more: boolean; lastPlace: number } {
    const events: RecordedEvent[] = [];
    let characters = 0;
    let last: EventRow | undefined;
    for (;;) {
      const asked = Math.min(FETCH_ROWS, limit + 1 - events.length);
      const rows = fetch(last, asked);
      for (const row of rows) {
        if (events.length === limit || characters >= SLICE_CHARACTERS)
          return { events, more: true, lastPlace: last?.[0] ?? 0 };
        events.push(decodeRow(this.#deps.registry, row));
        characters += row[7].length + row[8].length;
        last = row;
      }
      if (rows.length < asked) return { events, more: false, lastPlace: last?.[0] ?? 0 };
    }
  }
}

/** A limit, 512 when none is given. Throws `INVALID` outside 1 to 4,096. */
export function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new StoreError('INVALID', `a limit is 1 to ${MAX_LIMIT}, not ${limit}`);
}
