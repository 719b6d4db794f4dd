import type { SQLInputValue, SQLOutputValue } from 'node:sqlite';
import { elementsAt, encodeBody, scalarAt } from '../../kernel/document.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { StoredDocument } from '../../ports/documents.ts';
import { EntryTable, type Indexed } from './documents-entries.ts';
import { encodeScalar, isSame, type Layout } from './documents-layout.ts';
import type { Statements } from './statements.ts';

/** A document to write, as the contents of a row. */
export type Content = Indexed & Readonly<{ position: string; json: string }>;

/** A stored row without the body. */
export type Row = Indexed & Readonly<{ doc: number; position: string }>;

/** The numbers of ids of prepared statements; fewer ids are padded by repeating the first one. */
const READ_SIZES = [1, 8, 64, 256];

/** The indexed data of a body. Throws `INVALID` when the body does not fit the indexes. */
export function indexedOf(layout: Layout, body: JsonObject): Indexed {
  return {
    columns: layout.columns.map(({ path }) => encodeScalar(scalarAt(body, path))),
    arrays: layout.arrays.map(({ path }) => JSON.stringify(elementsAt(body, path))),
  };
}

/** The contents of a row. Throws `INVALID` for a body that cannot be stored or does not fit the indexes. */
export function contentOf(layout: Layout, position: string, body: JsonObject): Content {
  return { position, json: encodeBody(body), ...indexedOf(layout, body) };
}

/** Reads and writes the rows of one collection, including those of its entry tables. */
export class DocumentTable {
  readonly layout: Layout;
  readonly #statements: Statements;
  readonly #entries: readonly EntryTable[];
  readonly #indexed: readonly string[];
  readonly #select: string;
  readonly #insert: string;

  constructor(layout: Layout, statements: Statements) {
    this.layout = layout;
    this.#statements = statements;
    const withArray = layout.indexes.filter(({ array }) => array !== null);
    this.#entries = withArray.map((index) => new EntryTable(layout, index, statements));
    this.#indexed = [...layout.columns, ...layout.arrays].map(({ name }) => name);
    this.#select = `SELECT ${['doc', 'position', ...this.#indexed].join(', ')} FROM ${layout.table} WHERE id = ?`;
    const columns = ['id', 'position', ...this.#indexed, 'body'];
    this.#insert = `INSERT INTO ${layout.table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ON CONFLICT DO NOTHING`;
  }

  row(id: string): Row | undefined {
    const row = this.#statements.get<[number, string, ...SQLOutputValue[]]>(this.#select, [id]);
    if (row === undefined) return undefined;
    const size = 2 + this.layout.columns.length;
    return { doc: row[0], position: row[1], columns: row.slice(2, size), arrays: row.slice(size).map(String) };
  }

  /** Adds a document; `false` when one of this id exists. */
  insert(id: string, content: Content): boolean {
    const { position, columns, arrays, json } = content;
    const doc = this.#statements.insert(this.#insert, [id, position, ...columns, ...arrays, json]);
    if (doc === null) return false;
    for (const table of this.#entries) table.add(id, doc, content);
    return true;
  }

  /** Sets only the columns that have changed, so that SQLite does not update the other indexes. */
  update(id: string, row: Row, content: Content): void {
    const before = [...row.columns, ...row.arrays];
    const now = [...content.columns, ...content.arrays];
    const parameters: SQLInputValue[] = [content.position, content.json];
    let set = 'position = ?, body = ?';
    for (let i = 0; i < now.length; i++) {
      const value = now[i] ?? null;
      if (isSame(before[i], value)) continue;
      set += `, ${this.#indexed[i]} = ?`;
      parameters.push(value);
    }
    this.#statements.run(`UPDATE ${this.layout.table} SET ${set} WHERE doc = ?`, [...parameters, row.doc]);
    if (parameters.length > 2) for (const table of this.#entries) table.change(id, row.doc, row, content);
  }

  delete(id: string, row: Row): void {
    for (const table of this.#entries) table.remove(id, row);
    this.#statements.run(`DELETE FROM ${this.layout.table} WHERE doc = ?`, [row.doc]);
  }

  /** The documents of these ids, without those that do not exist. */
  read(ids: readonly string[]): Map<string, StoredDocument> {
    const found = new Map<string, StoredDocument>();
    for (let i = 0; i < ids.length; ) {
      const size = READ_SIZES.find((each) => each >= ids.length - i) ?? 256;
      const chunk = ids.slice(i, i + size);
      while (chunk.length < size) chunk.push(chunk[0] ?? '');
      const wanted = chunk.map(() => '?').join(', ');
      const sql = `SELECT id, position, body FROM ${this.layout.table} WHERE id IN (${wanted})`;
      for (const row of this.#statements.all<DocumentRow>(sql, chunk)) found.set(row[0], documentOf(row));
      i += size;
    }
    return found;
  }
}

/** Id, position and body. */
export type DocumentRow = readonly [string, string, string];

export function documentOf([id, position, json]: DocumentRow): StoredDocument {
  return { id, position, body: JSON.parse(json) };
}
