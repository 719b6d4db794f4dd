import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { Appended, ExpectedRevision, StoredRecord } from '../../ports/event-store.ts';
import { prepareTuples } from './database.ts';
import type { Dictionary, StreamHead, Streams } from './event-store-names.ts';
import { checksumOf, type EncodedRecord, toPosition, toTime } from './event-store-rows.ts';

/** A record that was just committed. */
export type FreshRecord = Readonly<{ record: StoredRecord; place: number; bytes: number }>;

export type WriterDeps = Readonly<{
  database: DatabaseSync;
  streams: Streams;
  types: Dictionary;
  /** ms since the epoch. */
  now(): number;
  /** Whether a subscription takes the records of the group. */
  isFollowed(): boolean;
  /** Called for each append, within its transaction, with its stream as it is now, its first revision, and its time in ms since the epoch. */
  onAppend(head: StreamHead, first: number, recordedAt: number): void;
}>;

const COLUMNS = 10;
/** Rows of one INSERT; 32 are a quarter faster than single ones, the others are for the remainder. */
const CHUNKS = [32, 8, 1] as const;
const LARGEST = CHUNKS[0];

/** Writes records within the transaction of a group, and assigns revisions and positions without gaps. */
export class RecordWriter {
  readonly #deps: WriterDeps;
  readonly #inserts: ReadonlyMap<number, StatementSync>;
  readonly #selectLast: () => [number | null][];
  #pending: SQLInputValue[] = [];
  #fresh: FreshRecord[] = [];
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

  /** Place of the last committed record, 0 when there is none. Retention never removes that one, so no place is assigned twice. */
  get committed(): number {
    return this.#committed;
  }

  /** Adds the records of one append to the group, or throws `VERSION_CONFLICT` and adds nothing. */
  write(stream: string, records: readonly EncodedRecord[], expect: ExpectedRevision): Appended {
    const found = this.#deps.streams.find(stream);
    checkExpected(stream, found?.last ?? -1, expect);
    const head = found ?? this.#deps.streams.ensure(stream);
    this.#recordedAt ??= this.#deps.now();
    const isFollowed = this.#deps.isFollowed();
    const first = head.last + 1;
    for (const encoded of records) this.#add(head, encoded, this.#recordedAt, isFollowed);
    this.#deps.onAppend(head, first, this.#recordedAt);
    return { revision: BigInt(head.last), position: toPosition(this.#last) };
  }

  /** Writes the collected rows. */
  flush(): void {
    for (const rows of CHUNKS) {
      const size = rows * COLUMNS;
      while (this.#pending.length >= size) this.#insert(rows, this.#pending.splice(0, size));
    }
  }

  /** To be called when the group is durable. Returns those of its records that a subscription takes. */
  takeCommitted(): readonly FreshRecord[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    this.#recordedAt = null;
    this.#committed = this.#last;
    return fresh;
  }

  /** To be called after a rollback: discards the group. */
  reset(): void {
    this.#pending = [];
    this.#fresh = [];
    this.#recordedAt = null;
    this.#last = this.#committed;
  }

  #add(head: StreamHead, encoded: EncodedRecord, recordedAt: number, isFollowed: boolean): void {
    const { record, metadata } = encoded;
    const { id, type, schemaVersion, data, source } = record;
    const place = ++this.#last;
    const revision = ++head.last;
    const checksum = checksumOf({
      position: place,
      revision,
      stream: head.name,
      type,
      version: schemaVersion,
      recordedAt,
      id,
      metadata,
      data,
    });
    const typeId = this.#deps.types.ensure(type);
    this.#pending.push(
      place,
      head.id,
      revision,
      typeId,
      schemaVersion,
      recordedAt,
      encoded.id,
      metadata,
      data,
      checksum,
    );
    if (this.#pending.length === LARGEST * COLUMNS) {
      this.#insert(LARGEST, this.#pending);
      this.#pending = [];
    }
    if (!isFollowed) return;
    const stored: StoredRecord & { source?: object } = {
      id,
      type,
      schemaVersion,
      data,
      metadata: record.metadata,
      stream: head.name,
      revision: BigInt(revision),
      position: toPosition(place),
      recordedAt: toTime(recordedAt),
    };
    if (source !== undefined) stored.source = source;
    this.#fresh.push({ record: stored, place, bytes: encoded.bytes });
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
  const actual = last === -1 ? 'has no records' : `is at revision ${last}`;
  throw new StoreError('VERSION_CONFLICT', `unexpected revision: stream '${stream}' ${actual}, expected: ${expect}`, {
    actual: last === -1 ? null : BigInt(last),
  });
}
