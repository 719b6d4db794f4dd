import type { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { checkDefinition } from '../../kernel/document-checks.ts';
import { StoreError } from '../../kernel/errors.ts';
import type { IndexDefinition } from '../../kernel/query.ts';
import type { CollectionDefinition } from '../../ports/documents.ts';
import { EntryTable } from './documents-entries.ts';
import { type Column, type Index, type Layout, layoutOf, primaryIndexOf } from './documents-layout.ts';
import { indexedOf } from './documents-table.ts';
import type { Statements } from './statements.ts';

/** Must be increased when the format on disk changes. Documents are not migrated: they are rebuilt. */
const FORMAT = 1;

/** Documents that are read at once when an index is added to a collection. */
const FILL_AT_ONCE = 500;

/** How many existing documents of a collection were added to new indexes. */
export type FilledIndexes = Readonly<{ collection: string; documents: number }>;

/** The collections of a database. All methods must be called within a transaction. */
export class Catalog {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;

  constructor(database: DatabaseSync, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
  }

  /** Initialises a new database. Throws `UNAVAILABLE` for one of another version. */
  prepare(): void {
    const format = this.#statements.get<[number]>('PRAGMA user_version', [])?.[0];
    if (format === FORMAT) return;
    if (format !== 0) {
      throw new StoreError(
        'UNAVAILABLE',
        'the document database was created by another version of Parley: delete it, and it will be rebuilt',
      );
    }
    this.#database.exec(`
      CREATE TABLE collections (collection INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, indexes TEXT NOT NULL);
      CREATE TABLE tombstones (collection INTEGER, id, position, at INTEGER, PRIMARY KEY (collection, id)) WITHOUT ROWID;
      CREATE INDEX tombstones_at ON tombstones (at);
      PRAGMA user_version = ${FORMAT};
    `);
  }

  /** Changes whenever a collection or an index is created or dropped, by this connection or another. */
  version(): number {
    return this.#statements.get<[number]>('PRAGMA schema_version', [])?.[0] ?? 0;
  }

  /** The layout of a collection; `null` when it does not exist. */
  find(name: string): Layout | null {
    const row = this.#statements.get<[number, string]>('SELECT collection, indexes FROM collections WHERE name = ?', [
      name,
    ]);
    return row === undefined ? null : layoutOf(row[0], JSON.parse(row[1]));
  }

  /** Creates a collection, or those of the indexes that do not exist. */
  define({ name, indexes }: CollectionDefinition): FilledIndexes {
    const before = this.find(name) ?? this.#create(name);
    const all = before.indexes.map(({ definition }) => definition);
    for (const index of indexes.map(plain)) if (!all.some((known) => isSameIndex(known, index))) all.push(index);
    checkDefinition(name, all);
    if (all.length === before.indexes.length) return { collection: name, documents: 0 };
    this.#statements.run('UPDATE collections SET indexes = ? WHERE name = ?', [JSON.stringify(all), name]);
    return { collection: name, documents: this.#extend(before, layoutOf(before.collection, all)) };
  }

  /** Removes a collection with everything in it. */
  drop(name: string): void {
    const layout = this.find(name);
    if (layout === null) return;
    for (const { name, array } of layout.indexes) if (array !== null) this.#database.exec(`DROP TABLE ${name}`);
    this.#database.exec(`DROP TABLE ${layout.table}`);
    this.#statements.run('DELETE FROM tombstones WHERE collection = ?', [layout.collection]);
    this.#statements.run('DELETE FROM collections WHERE collection = ?', [layout.collection]);
  }

  #create(name: string): Layout {
    const sql = 'INSERT INTO collections (name, indexes) VALUES (?, ?) RETURNING collection';
    const [collection] = this.#statements.get<[number]>(sql, [name, '[]']) ?? [0];
    const layout = layoutOf(collection, []);
    // Columns without a type store values unchanged: an id that looks like a number remains text.
    this.#database.exec(`
      CREATE TABLE ${layout.table} (doc INTEGER PRIMARY KEY, id NOT NULL, position NOT NULL, body NOT NULL);
      CREATE UNIQUE INDEX ${primaryIndexOf(layout)} ON ${layout.table} (id);
    `);
    return layout;
  }

  /** Returns the number of documents that were added to the new indexes. */
  #extend(before: Layout, after: Layout): number {
    const isNew = (column: Column): boolean =>
      ![...before.columns, ...before.arrays].some((known) => known.name === column.name);
    const added = [...after.columns, ...after.arrays].filter(isNew);
    const indexes = after.indexes.slice(before.indexes.length);
    for (const column of added) this.#database.exec(`ALTER TABLE ${after.table} ADD COLUMN ${column.name}`);
    for (const index of indexes) if (index.array !== null) this.#database.exec(entryTable(index));
    const filled = this.#fill(after, added, indexes);
    for (const index of indexes) if (index.array === null) this.#database.exec(columnIndex(after, index));
    return filled;
  }

  /** Fills new columns and entry tables from the existing documents. */
  #fill(layout: Layout, added: readonly Column[], indexes: readonly Index[]): number {
    const withArray = indexes.filter(({ array }) => array !== null);
    const tables = withArray.map((index) => new EntryTable(layout, index, this.#statements));
    const set = added.map((column) => `${column.name} = ?`).join(', ');
    const select = `SELECT doc, id, body FROM ${layout.table} WHERE doc > ? ORDER BY doc LIMIT ${FILL_AT_ONCE}`;
    const next = (after: number) => this.#statements.all<[number, string, string]>(select, [after]);
    let filled = 0;
    for (let rows = next(0); rows.length > 0; rows = next(rows.at(-1)?.[0] ?? 0)) {
      for (const [doc, id, json] of rows) {
        const indexed = indexedOf(layout, JSON.parse(json));
        const values = [...indexed.columns, ...indexed.arrays];
        const fresh = [...layout.columns, ...layout.arrays].flatMap((column, i) =>
          added.includes(column) ? [values[i] ?? null] : [],
        );
        if (fresh.length > 0) this.#statements.run(`UPDATE ${layout.table} SET ${set} WHERE doc = ?`, [...fresh, doc]);
        for (const table of tables) table.add(id, doc, indexed);
      }
      filled += rows.length;
    }
    return filled;
  }
}

const columnNames = (columns: readonly Column[]): string[] => columns.map(({ name }) => name);

function entryTable({ name, columns }: Index): string {
  const keys = ['e', ...columnNames(columns), 'id'].join(', ');
  return `CREATE TABLE ${name} (${keys}, doc INTEGER NOT NULL, PRIMARY KEY (${keys})) WITHOUT ROWID`;
}

function columnIndex({ table }: Layout, { name, columns }: Index): string {
  return `CREATE INDEX ${name} ON ${table} (${[...columnNames(columns), 'id'].join(', ')})`;
}

export function isSameIndex(a: IndexDefinition, b: IndexDefinition): boolean {
  return a.array === b.array && isDeepStrictEqual(a.fields, b.fields);
}

/** An index definition as it is stored, without additional properties. */
function plain({ fields, array }: IndexDefinition): IndexDefinition {
  return array === undefined ? { fields: [...fields] } : { fields: [...fields], array };
}
