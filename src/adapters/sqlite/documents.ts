import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkFilter, checkSort } from '../../kernel/conditions.ts';
import { cursorBehind, decodeCursor } from '../../kernel/cursor.ts';
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

/** Memory for pages, in KiB: indexes over random ids are written all over. */
const CACHE_KIB = 32_768;
/** Pages of the write-ahead log (4 KiB each) after which a commit copies the rest of it into the database file itself: its bound. */
const WAL_PAGES = 8_192;
const STATEMENTS = 512;
/** Reads are done at once, on this thread. After one of so many documents others get a turn. */
const LONG_READ = 64;

const BY_ID: Sort = { fields: [], direction: 'asc' };

export type SqliteDocumentsOptions = Readonly<{
  /** A file, made when it is missing, or `:memory:`. */
  path: string;
  clock: Pick<Clock, 'now'>;
  logger: Logger;
}>;

/** A collection that this store was told of: its table, and those of its indexes that were among what was told. */
type Collection = Readonly<{ table: DocumentTable; indexes: readonly IndexDefinition[] }>;

/**
 * Opens the embedded store of documents. What is written survives the death of the process. After a loss of power the last batches
 * may be missing, never a part of one: checkpoints stand among the documents, so that what is missing is built anew from the event log.
 * Several processes may open the same file. Throws `StoreError` with `UNAVAILABLE` when it is no database, or of another format.
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
  readonly #clock: Pick<Clock, 'now'>;
  readonly #statements: Statements;
  readonly #catalog: Catalog;
  readonly #writer: DocumentWriter;
  readonly #checkpoints: Checkpoints | null;
  /** What `define` was told, by name. */
  readonly #told = new Map<string, readonly IndexDefinition[]>();
  /** What was read of the catalog since it was of this version. */
  readonly #known = new Map<string, Collection>();
  #version = 0;
  #closing: Promise<void> | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(database: DatabaseSync, { path, clock, logger }: SqliteDocumentsOptions) {
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    database.exec(`PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    this.#database = database;
    this.#clock = clock;
    this.#statements = new Statements(database, STATEMENTS);
    this.#catalog = new Catalog(database, this.#statements, logger);
    this.#writer = new DocumentWriter(this.#statements);
    inTransaction(database, () => this.#catalog.prepare());
    this.#checkpoints = path === MEMORY ? null : new Checkpoints(path, logger);
  }

  async define(collections: readonly CollectionDefinition[]): Promise<void> {
    for (const { name, indexes } of collections) checkDefinition(name, indexes);
    this.#transact(() => {
      for (const collection of collections) this.#catalog.define(collection);
    });
    for (const { name, indexes } of collections) {
      const told = this.#told.get(name) ?? [];
      const fresh = indexes.filter((index) => !told.some((each) => isSameIndex(each, index)));
      this.#told.set(name, [...told, ...fresh]);
      this.#known.delete(name);
    }
  }

  async drop(collection: string): Promise<void> {
    checkDefinition(collection, []);
    this.#transact(() => this.#catalog.drop(collection));
    this.#told.delete(collection);
  }

  async getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    checkIds(ids);
    const found = this.#read(() => this.#collection(collection).table.read(ids));
    if (found.size > LONG_READ) await nextTurn();
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
    if (items.length > LONG_READ) await nextTurn();
    const last = items.at(-1);
    return { items, next: rows.length > limit && last !== undefined ? cursorBehind(last, filter, sort) : null };
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
    // Writing is done at once, on this thread. Each batch has a turn of the event loop to itself, and others get theirs in between.
    this.#lastTurn = this.#lastTurn.then(() => nextTurn());
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

  /** Throws `INVALID` for a collection that was not defined, or is no more. */
  #collection(name: string): Collection {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const told = this.#told.get(name);
    const layout = told === undefined ? null : this.#catalog.find(name);
    if (told === undefined || layout === null)
      throw new StoreError('INVALID', `the collection '${name}' was not defined`);
    const definitions = layout.indexes.map(({ definition }) => definition);
    const indexes = definitions.filter((definition) => told.some((each) => isSameIndex(each, definition)));
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
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the store of documents is closed');
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  /** Forgets what was read of the catalog when that has changed, here or in another process. */
  #refresh(): void {
    const version = this.#catalog.version();
    if (version !== this.#version) this.#known.clear();
    this.#version = version;
  }
}
