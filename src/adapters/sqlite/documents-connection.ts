import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import type { IndexDefinition } from '../../kernel/query.ts';
import type { CollectionDefinition } from '../../ports/documents.ts';
import { asStoreError, type Durability, inTransaction, openDatabase } from './database.ts';
import { Catalog, type FilledIndexes, isSameIndex } from './documents-catalog.ts';
import { DocumentTable } from './documents-table.ts';
import { Statements } from './statements.ts';

const STATEMENTS = 512;
const DURABILITY: Durability = 'process';

/** A collection that was defined at this connection: its table, and those of its indexes that were defined here. */
export type Collection = Readonly<{ table: DocumentTable; indexes: readonly IndexDefinition[] }>;

/** One connection to a database of documents. Every call runs synchronously on the calling thread. */
export class DocumentConnection {
  readonly statements: Statements;
  readonly #database: DatabaseSync;
  readonly #catalog: Catalog;
  /** The indexes that `define` was called with, by collection. */
  readonly #defined = new Map<string, readonly IndexDefinition[]>();
  /** Collections read from the catalog, valid as long as its version is `#version`. */
  readonly #known = new Map<string, Collection>();
  #version = 0;

  /** Opens the file, and creates it when it does not exist. `cacheKib`: memory for cached pages. Throws as `openSqliteDocuments`. */
  constructor(path: string, { cacheKib, walPages }: Readonly<{ cacheKib: number; walPages: number }>) {
    const database = openDatabase(path, DURABILITY);
    try {
      database.exec(`PRAGMA cache_size = -${cacheKib}`);
      database.exec(`PRAGMA wal_autocheckpoint = ${walPages}`);
      // Deleted and replaced content is overwritten in the database file, so that erasing a person leaves nothing there.
      database.exec('PRAGMA secure_delete = ON');
      this.statements = new Statements(database, STATEMENTS);
      this.#catalog = new Catalog(database, this.statements);
      this.#database = database;
      inTransaction(database, () => this.#catalog.prepare());
    } catch (error) {
      database.close();
      throw asStoreError(error);
    }
  }

  /** See `DocumentStore.define`. Returns the collections with documents for which an index was added. */
  define(collections: readonly CollectionDefinition[]): readonly FilledIndexes[] {
    const filled = this.transact(() => collections.map((collection) => this.#catalog.define(collection)));
    for (const { name, indexes } of collections) {
      const defined = this.#defined.get(name) ?? [];
      const added = indexes.filter((index) => !defined.some((each) => isSameIndex(each, index)));
      this.#defined.set(name, [...defined, ...added]);
      this.#known.delete(name);
    }
    return filled.filter(({ documents }) => documents > 0);
  }

  drop(collection: string): void {
    this.transact(() => this.#catalog.drop(collection));
    this.#defined.delete(collection);
  }

  /** To be called within `read` or `transact`. Throws `INVALID` for a collection that was not defined, or was dropped. */
  collection(name: string): Collection {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const defined = this.#defined.get(name);
    const layout = defined === undefined ? null : this.#catalog.find(name);
    if (defined === undefined || layout === null)
      throw new StoreError('INVALID', `the collection '${name}' is not defined`);
    const definitions = layout.indexes.map(({ definition }) => definition);
    const indexes = definitions.filter((definition) => defined.some((each) => isSameIndex(each, definition)));
    const collection = { table: new DocumentTable(layout, this.statements), indexes };
    this.#known.set(name, collection);
    return collection;
  }

  /** Runs `work`, which sees the collections as they are now. Errors of SQLite are thrown as `UNAVAILABLE`. */
  read<Result>(work: () => Result): Result {
    try {
      this.#refresh();
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  /** The same in a transaction, which is rolled back when it throws. */
  transact<Result>(work: () => Result): Result {
    return this.read(() =>
      inTransaction(this.#database, () => {
        this.#refresh();
        return work();
      }),
    );
  }

  /** Rewrites the file without the earlier content that is in the free space of its pages. Takes 6 to 10 ms per MB. */
  vacuum(): void {
    this.read(() => this.#database.exec('VACUUM'));
  }

  /** Copies the write-ahead log into the database file and empties it; `false` when another connection is using it. */
  emptyWriteAheadLog(): boolean {
    return this.read(() => this.statements.get<[number]>('PRAGMA wal_checkpoint(TRUNCATE)', [])?.[0] === 0);
  }

  close(): void {
    this.#database.close();
  }

  /** Discards cached collections when the catalog has changed, through this connection or another. */
  #refresh(): void {
    const version = this.#catalog.version();
    if (version !== this.#version) this.#known.clear();
    this.#version = version;
  }
}
