import type { DatabaseSync } from 'node:sqlite';
import { checkFilter, checkSort } from '../../kernel/conditions.ts';
import { cursorAfter, decodeCursor } from '../../kernel/cursor.ts';
import { checkBatch, checkCap, checkDefinition, checkIds, checkLimit } from '../../kernel/document-checks.ts';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { type Filter, type IndexDefinition, requirePlan, type Sort } from '../../kernel/query.ts';
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
import { Checkpoints } from './checkpoints.ts';
import { asStoreError, inTransaction, MEMORY, openDatabase } from './database.ts';
import { Catalog, isSameIndex } from './documents-catalog.ts';
import { countSql, findSql } from './documents-find.ts';
import { contentOf, type DocumentRow, DocumentTable, documentOf } from './documents-table.ts';
import { DocumentWriter, type Prepared } from './documents-writer.ts';
import { Statements } from './statements.ts';

/** Memory for cached pages, in KiB. Large, because writes to indexes over random ids touch many pages. */
const CACHE_KIB = 32_768;
/** Size limit of the write-ahead log in pages of 4 KiB, at which a commit copies it into the database file itself. */
const WAL_PAGES = 8_192;
const STATEMENTS = 512;
/** Attempts at emptying the write-ahead log while another connection copies it, and the pause in between, in ms. */
const PURGE_ATTEMPTS = 250;
const PURGE_PAUSE_MS = 20;
/** Reads run synchronously on this thread. After reading more documents than this, other work gets a turn. */
const LONG_READ = 64;

const BY_ID: Sort = { fields: [], direction: 'asc' };

export type SqliteDocumentsOptions = Readonly<{
  /** A file, created when it does not exist, or `:memory:`. */
  path: string;
  clock: Clock;
  logger: Logger;
}>;

/** A collection that was defined at this store: its table, and those of its indexes that were defined at this store. */
type Collection = Readonly<{ table: DocumentTable; indexes: readonly IndexDefinition[] }>;

/**
 * Opens the embedded document store. Writes survive a crash of the process. After a power failure the last batches may be missing, but never a part
 * of one; since the checkpoints are among the documents, the missing part is then rebuilt from the event log.
 * Several processes may open the same file. Throws `StoreError` with `UNAVAILABLE` when it is not a database, or has another format.
 */
export async function openSqliteDocuments(options: SqliteDocumentsOptions): Promise<DocumentStore> {
  const database = openDatabase(options.path, 'process');
  try {
    return new Store(database, options);
  } catch (error) {
    database.close();
    throw asStoreError(error);
  }
}

class Store implements DocumentStore {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #statements: Statements;
  readonly #catalog: Catalog;
  readonly #writer: DocumentWriter;
  readonly #checkpoints: Checkpoints | null;
  /** The indexes that `define` was called with, by collection. */
  readonly #defined = new Map<string, readonly IndexDefinition[]>();
  /** Collections read from the catalog, valid as long as its version is `#version`. */
  readonly #known = new Map<string, Collection>();
  #version = 0;
  #closing: Promise<void> | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(database: DatabaseSync, { path, clock, logger }: SqliteDocumentsOptions) {
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    database.exec(`PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    // Deleted and replaced content is overwritten in the database file, so that erasing a person leaves nothing there.
    database.exec('PRAGMA secure_delete = ON');
    // A process that was killed before `purge` has left the earlier content in the write-ahead log.
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#database = database;
    this.#clock = clock;
    this.#statements = new Statements(database, STATEMENTS);
    this.#catalog = new Catalog(database, this.#statements, logger);
    this.#writer = new DocumentWriter(this.#statements);
    inTransaction(database, () => this.#catalog.prepare());
    this.#checkpoints = path === MEMORY ? null : new Checkpoints(path, clock, logger);
  }

  async define(collections: readonly CollectionDefinition[]): Promise<void> {
    for (const { name, indexes } of collections) checkDefinition(name, indexes);
    this.#transact(() => {
      for (const collection of collections) this.#catalog.define(collection);
    });
    for (const { name, indexes } of collections) {
      const defined = this.#defined.get(name) ?? [];
      const added = indexes.filter((index) => !defined.some((each) => isSameIndex(each, index)));
      this.#defined.set(name, [...defined, ...added]);
      this.#known.delete(name);
    }
  }

  async drop(collection: string): Promise<void> {
    checkDefinition(collection, []);
    this.#transact(() => this.#catalog.drop(collection));
    this.#defined.delete(collection);
  }

  async getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    checkIds(ids);
    const found = this.#read(() => this.#collection(collection).table.read(ids));
    if (found.size > LONG_READ) await this.#clock.nextTurn();
    return found;
  }

  async find(collection: string, { filter, sort = BY_ID, limit, after }: Query): Promise<Page> {
    checkLimit(limit);
    checkFilter(filter);
    checkSort(sort);
    const rows = this.#read(() => {
      const { table, indexes } = this.#collection(collection);
      const plan = requirePlan(collection, indexes, filter, sort.fields);
      const keyset = after === undefined ? null : decodeCursor(after, filter, sort);
      const query = findSql(table.layout, plan, { filter, sort, keyset, limit: limit + 1 });
      return query === null ? [] : this.#statements.all<DocumentRow>(query.sql, query.parameters);
    });
    const items = rows.slice(0, limit).map(documentOf);
    if (items.length > LONG_READ) await this.#clock.nextTurn();
    const last = items.at(-1);
    return { items, next: rows.length > limit && last !== undefined ? cursorAfter(last, filter, sort) : null };
  }

  async count(collection: string, filter: Filter, cap: number): Promise<number> {
    checkCap(cap);
    checkFilter(filter);
    return this.#read(() => {
      const { table, indexes } = this.#collection(collection);
      const query = countSql(table.layout, requirePlan(collection, indexes, filter, null), filter, cap);
      return query === null ? 0 : (this.#statements.get<[number]>(query.sql, query.parameters)?.[0] ?? 0);
    });
  }

  async apply({ writes, last }: WriteBatch): Promise<ApplyOutcome> {
    checkBatch(writes, last);
    // Writes run synchronously on this thread, each batch in a separate turn of the event loop, so that other work can run in between.
    this.#lastTurn = this.#lastTurn.then(() => this.#clock.nextTurn());
    await this.#lastTurn;
    return this.#transact(() => {
      const now = this.#clock.now();
      const prepared = writes.map((write) => this.#prepare(write));
      const preparedLast = last === undefined ? [] : [this.#prepare(last)];
      let rejected = prepared.filter((each) => !this.#writer.write(each, now));
      if (rejected.length === 0) rejected = preparedLast.filter((each) => !this.#writer.write(each, now));
      this.#writer.purge(now);
      return { rejected: rejected.map(({ write }) => write) };
    });
  }

  /**
   * Earlier content is in the free space of pages that SQLite has rebalanced, and in the write-ahead log: rewriting the file and emptying the log
   * removes both. Blocks this thread for 6 to 10 ms per MB.
   */
  async purge(): Promise<void> {
    this.#read(() => this.#database.exec('VACUUM'));
    for (let attempt = 0; attempt < PURGE_ATTEMPTS; attempt++) {
      const [busy] = this.#read(() => this.#statements.get<[number]>('PRAGMA wal_checkpoint(TRUNCATE)', [])) ?? [0];
      if (busy === 0) return;
      await this.#clock.sleep(PURGE_PAUSE_MS);
    }
    throw new StoreError('UNAVAILABLE', 'the write-ahead log of the documents is in use and could not be emptied');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#checkpoints?.close();
    } finally {
      this.#database.close();
    }
  }

  #prepare(write: Write): Prepared {
    const { table } = this.#collection(write.collection);
    const content = write.body === null ? null : contentOf(table.layout, write.position, write.body);
    return { write, table, content };
  }

  /** Throws `INVALID` for a collection that was not defined, or was dropped. */
  #collection(name: string): Collection {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const defined = this.#defined.get(name);
    const layout = defined === undefined ? null : this.#catalog.find(name);
    if (defined === undefined || layout === null)
      throw new StoreError('INVALID', `the collection '${name}' is not defined`);
    const definitions = layout.indexes.map(({ definition }) => definition);
    const indexes = definitions.filter((definition) => defined.some((each) => isSameIndex(each, definition)));
    const collection = { table: new DocumentTable(layout, this.#statements), indexes };
    this.#known.set(name, collection);
    return collection;
  }

  #read<Result>(work: () => Result): Result {
    return this.#guarded(() => {
      this.#refresh();
      return work();
    });
  }

  #transact<Result>(work: () => Result): Result {
    const transaction = (): Result => {
      this.#refresh();
      return work();
    };
    const result = this.#guarded(() => inTransaction(this.#database, transaction));
    this.#checkpoints?.touch();
    return result;
  }

  #guarded<Result>(work: () => Result): Result {
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the document store is closed');
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  /** Discards cached collections when the catalog has changed, here or in another process. */
  #refresh(): void {
    const version = this.#catalog.version();
    if (version !== this.#version) this.#known.clear();
    this.#version = version;
  }
}
