import type { SQLInputValue } from 'node:sqlite';
import { checkFilter, checkSort } from '../../kernel/conditions.ts';
import { cursorAfter, decodeCursor } from '../../kernel/cursor.ts';
import { checkBatch, checkCap, checkDefinition, checkIds, checkLimit } from '../../kernel/document-checks.ts';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { type Filter, requirePlan, type Sort } from '../../kernel/query.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  ApplyOutcome,
  CollectionDefinition,
  DocumentStore,
  Page,
  Query,
  StoredDocument,
  Write,
  WriteBatch,
} from '../../ports/documents.ts';
import { MEMORY } from './database.ts';
import { type Collection, DocumentConnection } from './documents-connection.ts';
import { countSql, findSql } from './documents-find.ts';
import type { Layout } from './documents-layout.ts';
import { contentOf, type DocumentRow, documentOf } from './documents-table.ts';
import { ThreadWrites } from './documents-thread.ts';
import { DirectWrites, type EncodedBatch, type Target, type WriteSide } from './documents-writes.ts';

/** Memory for cached pages of the reading connection, in KiB. What was written recently is in the file cache of the system too. */
const CACHE_KIB = 8_192;
/** The reading connection does not copy the write-ahead log after its rare writes (`define`, `drop`). */
const WAL_PAGES = 0;
/** Attempts at emptying the write-ahead log while another connection is using it, and the pause in between, in ms. */
const PURGE_ATTEMPTS = 250;
const PURGE_PAUSE_MS = 20;
/** Attempts at a batch for which another node adds an index again and again. */
const STALE_ATTEMPTS = 10;
/** Reads run synchronously on this thread. After reading more documents than this, other work gets a turn. */
const LONG_READ = 64;

const BY_ID: Sort = { fields: [], direction: 'asc' };

export type SqliteDocumentsOptions = Readonly<{
  /** A file, created when it does not exist, or `:memory:`. */
  path: string;
  clock: Clock;
  logger: Logger;
}>;

/**
 * Opens the embedded document store. Writes survive a crash of the process. After a power failure the last batches may be missing, but never a part
 * of one; since the checkpoints are among the documents, the missing part is then rebuilt from the event log.
 * A file is read on the calling thread and written on another one; in memory, both happen on the calling thread.
 * Several processes may open the same file. Throws `StoreError` with `UNAVAILABLE` when it is not a database, or has another format.
 */
export async function openSqliteDocuments({ path, clock, logger }: SqliteDocumentsOptions): Promise<DocumentStore> {
  const connection = new DocumentConnection(path, { cacheKib: CACHE_KIB, walPages: WAL_PAGES });
  // A process that was killed before `purge` has left the earlier content in the write-ahead log.
  connection.emptyWriteAheadLog();
  const writes = path === MEMORY ? DirectWrites.over(connection) : new ThreadWrites(path, clock, logger);
  return new Store(connection, writes, clock, logger);
}

class Store implements DocumentStore {
  readonly #connection: DocumentConnection;
  readonly #writes: WriteSide;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #closing: Promise<void> | null = null;

  constructor(connection: DocumentConnection, writes: WriteSide, clock: Clock, logger: Logger) {
    this.#connection = connection;
    this.#writes = writes;
    this.#clock = clock;
    this.#logger = logger;
  }

  async define(collections: readonly CollectionDefinition[]): Promise<void> {
    for (const { name, indexes } of collections) checkDefinition(name, indexes);
    this.#checkOpen();
    for (const filled of await this.#writes.define(collections)) {
      this.#logger.info(filled, 'added indexes to a collection');
    }
    this.#checkOpen();
    // Everything exists by now: this connection only takes note of what was defined.
    this.#connection.define(collections);
  }

  async drop(collection: string): Promise<void> {
    checkDefinition(collection, []);
    this.#checkOpen();
    await this.#writes.drop(collection);
    this.#checkOpen();
    this.#connection.drop(collection);
  }

  async getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    checkIds(ids);
    const found = this.#read(collection, ({ table }) => table.read(ids));
    if (found.size > LONG_READ) await this.#clock.nextTurn();
    return found;
  }

  async find(collection: string, { filter, sort = BY_ID, limit, after }: Query): Promise<Page> {
    checkLimit(limit);
    checkFilter(filter);
    checkSort(sort);
    const rows = this.#read(collection, ({ table, indexes }) => {
      const plan = requirePlan(collection, indexes, filter, sort.fields);
      const keyset = after === undefined ? null : decodeCursor(after, filter, sort);
      const query = findSql(table.layout, plan, { filter, sort, keyset, limit: limit + 1 });
      return query === null ? [] : this.#connection.statements.all<DocumentRow>(query.sql, query.parameters);
    });
    const items = rows.slice(0, limit).map(documentOf);
    if (items.length > LONG_READ) await this.#clock.nextTurn();
    const last = items.at(-1);
    return { items, next: rows.length > limit && last !== undefined ? cursorAfter(last, filter, sort) : null };
  }

  async count(collection: string, filter: Filter, cap: number): Promise<number> {
    checkCap(cap);
    checkFilter(filter);
    return this.#read(collection, ({ table, indexes }) => {
      const query = countSql(table.layout, requirePlan(collection, indexes, filter, null), filter, cap);
      return query === null ? 0 : (this.#connection.statements.get<[number]>(query.sql, query.parameters)?.[0] ?? 0);
    });
  }

  async apply({ writes, last }: WriteBatch): Promise<ApplyOutcome> {
    checkBatch(writes, last);
    for (let attempt = 0; attempt < STALE_ATTEMPTS; attempt++) {
      this.#checkOpen();
      const applied = await this.#writes.apply(this.#encode(writes, last));
      if (applied === 'stale') continue;
      return { rejected: applied.flatMap((i) => writes[i] ?? last ?? []) };
    }
    throw new StoreError('UNAVAILABLE', 'the indexes of the collections changed too often');
  }

  /**
   * Earlier content is in the free space of pages that SQLite has rebalanced, and in the write-ahead log: rewriting the file and emptying the log
   * removes both.
   */
  async purge(): Promise<void> {
    this.#checkOpen();
    await this.#writes.vacuum();
    for (let attempt = 0; attempt < PURGE_ATTEMPTS; attempt++) {
      if (await this.#writes.emptyWriteAheadLog()) return;
      await this.#clock.sleep(PURGE_PAUSE_MS);
      this.#checkOpen();
    }
    throw new StoreError('UNAVAILABLE', 'the write-ahead log of the documents is in use and could not be emptied');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#writes.close();
    } finally {
      this.#connection.close();
    }
  }

  /** Throws `INVALID` for a collection that is not defined, and for a body that cannot be stored or does not fit the indexes. */
  #encode(writes: readonly Write[], last: Write | undefined): EncodedBatch {
    const all = last === undefined ? writes : [...writes, last];
    const targets: Target[] = [];
    const numbers = new Map<string, number>();
    const values: SQLInputValue[] = [];
    return this.#connection.read(() => {
      for (const { collection, id, position, guard, body } of all) {
        const { layout } = this.#connection.collection(collection).table;
        let number = numbers.get(collection);
        if (number === undefined) {
          number = targets.push(targetOf(collection, layout)) - 1;
          numbers.set(collection, number);
        }
        if (body === null) {
          values.push(number, id, position, guard, null);
          continue;
        }
        const { json, columns, arrays } = contentOf(layout, position, body);
        values.push(number, id, position, guard, json, ...columns, ...arrays);
      }
      return { now: this.#clock.now(), targets, values, size: all.length, hasLast: last !== undefined };
    });
  }

  #read<Result>(name: string, work: (collection: Collection) => Result): Result {
    this.#checkOpen();
    return this.#connection.read(() => work(this.#connection.collection(name)));
  }

  #checkOpen(): void {
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the document store is closed');
  }
}

function targetOf(name: string, { collection, indexes, columns, arrays }: Layout): Target {
  return { name, collection, indexes: indexes.length, columns: columns.length, arrays: arrays.length };
}
