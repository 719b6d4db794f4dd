import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { Appended, ExpectedRevision } from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { EncodedEvent } from './event-store-encode.ts';
import type { Dictionary, StreamHead, Streams } from './event-store-names.ts';
import { checksumOf, toPosition, toTime } from './event-store-rows.ts';

/** An event that was just committed. */
export type FreshEvent = Readonly<{ event: RecordedEvent; place: number; bytes: number }>;

export type WriterDeps = Readonly<{
  database: DatabaseSync;
  streams: Streams;
  types: Dictionary;
  /** ms since the epoch. */
  now(): number;
  /** Whether anybody wants the events of the group. */
  isFollowed(): boolean;
  /** Told of each append, within its transaction: its stream as it is now, its first revision, and its time in ms since the epoch. */
  onAppend(head: StreamHead, first: number, recordedAt: number): void;
}>;

const COLUMNS = 10;
/** Rows of one INSERT; 32 gain a quarter over single ones, the others are for what is left. */
const CHUNKS = [32, 8, 1] as const;
const LARGEST = CHUNKS[0];

/** Writes event rows within the transaction of a group: knows the last position, gives out revisions and positions without gaps. */
export class EventWriter {
  readonly #deps: WriterDeps;
  readonly #inserts: ReadonlyMap<number, StatementSync>;
  readonly #selectLast: () => [number | null][];
  #pending: SQLInputValue[] = [];
  #fresh: FreshEvent[] = [];
  #recordedAt: number | null = null;
  #last: number;
  #committed: number;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    const row = `(${Array(COLUMNS).fill('?').join(',')})`;
    const prepare = (rows: number) =>
      deps.database.prepare(`INSERT INTO events VALUES ${Array(rows).fill(row).join(',')}`);
    this.#inserts = new Map(CHUNKS.map((rows) => [rows, prepare(rows)]));
    this.#selectLast = prepareTuples<[number | null]>(deps.database, 'SELECT MAX(position) FROM events');
    this.#last = this.#readLast();
    this.#committed = this.#last;
  }

  /** Place of the last event that was committed, 0 without any. Retention never removes that one, so it cannot be given out twice. */
  get committed(): number {
    return this.#committed;
  }

  /** Adds the events of one append to the group, or throws `VERSION_CONFLICT` and adds nothing. */
  write(stream: string, events: readonly EncodedEvent[], expect: ExpectedRevision): Appended {
    const found = this.#deps.streams.find(stream);
    checkExpected(stream, found?.last ?? -1, expect);
    const head = found ?? this.#deps.streams.ensure(stream);
    this.#recordedAt ??= this.#deps.now();
    const followed = this.#deps.isFollowed();
    const first = head.last + 1;
    for (const event of events) this.#add(head, event, this.#recordedAt, followed);
    this.#deps.onAppend(head, first, this.#recordedAt);
    return { revision: BigInt(head.last), position: toPosition(this.#last) };
  }

  /** Writes the rows that were only collected so far. */
  flush(): void {
    for (const rows of CHUNKS) {
      const size = rows * COLUMNS;
      while (this.#pending.length >= size) this.#insert(rows, this.#pending.splice(0, size));
    }
  }

  /** The group is durable: its events, if anybody wanted them. */
  takeCommitted(): readonly FreshEvent[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    this.#recordedAt = null;
    this.#committed = this.#last;
    return fresh;
  }

  /** Nothing of the group was written. */
  reset(): void {
    this.#pending = [];
    this.#fresh = [];
    this.#recordedAt = null;
    this.#last = this.#committed;
  }

  #add(head: StreamHead, encoded: EncodedEvent, recordedAt: number, followed: boolean): void {
    const { event, version, metadata, data } = encoded;
    const { id, type } = event;
    const place = ++this.#last;
    const revision = ++head.last;
    const checksum = checksumOf({
      position: place,
      revision,
      stream: head.name,
      type,
      version,
      recordedAt,
      id,
      metadata,
      data,
    });
    const typeId = this.#deps.types.ensure(type);
    this.#pending.push(place, head.id, revision, typeId, version, recordedAt, encoded.id, metadata, data, checksum);
    if (this.#pending.length === LARGEST * COLUMNS) {
      this.#insert(LARGEST, this.#pending);
      this.#pending = [];
    }
    if (!followed) return;
    const recorded: RecordedEvent = {
      type,
      data: event.data,
      id,
      schemaVersion: version,
      stream: head.name,
      revision: BigInt(revision),
      position: toPosition(place),
      recordedAt: toTime(recordedAt),
      metadata: event.metadata,
    };
    this.#fresh.push({ event: recorded, place, bytes: encoded.bytes });
  }

  #insert(rows: number, parameters: readonly SQLInputValue[]): void {
    this.#inserts.get(rows)?.run(...parameters);
  }

  #readLast(): number {
    return this.#selectLast()[0]?.[0] ?? 0;
  }
}

function checkExpected(stream: string, last: number, expect: ExpectedRevision): void {
  if (expect === 'any') return;
  if (expect === 'none' ? last === -1 : expect === 'exists' ? last >= 0 : BigInt(last) === expect) return;
  const is = last === -1 ? 'has no events' : `is at revision ${last}`;
  throw new StoreError('VERSION_CONFLICT', `stream '${stream}' ${is}, expected was ${expect}`, {
    actual: last === -1 ? null : BigInt(last),
  });
}
