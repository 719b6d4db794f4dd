import type { SQLInputValue } from 'node:sqlite';
import { type Index, isSame, type Layout } from './documents-layout.ts';
import type { Statements } from './statements.ts';

type Element = string | number;

/** The entries of one document: one for each element, all with the same values. */
type Entries = Readonly<{ elements: readonly Element[]; values: readonly SQLInputValue[] }>;

/** The indexed data of a document: the values of the layout's columns, and the elements of its arrays as JSON. */
export type Indexed = Readonly<{ columns: readonly SQLInputValue[]; arrays: readonly string[] }>;

/** The table that implements an index over an array: one row for each element of each document. */
export class EntryTable {
  readonly #statements: Statements;
  readonly #columns: readonly number[];
  readonly #array: number;
  readonly #insert: string;
  readonly #delete: string;

  constructor(layout: Layout, index: Index, statements: Statements) {
    this.#statements = statements;
    this.#columns = index.columns.map((column) => layout.columns.indexOf(column));
    this.#array = layout.arrays.findIndex(({ name }) => name === index.array?.name);
    const keys = ['e', ...index.columns.map(({ name }) => name), 'id'];
    const columns = [...keys, 'doc'];
    this.#insert = `INSERT INTO ${index.name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;
    this.#delete = `DELETE FROM ${index.name} WHERE ${keys.map((key) => `${key} = ?`).join(' AND ')}`;
  }

  add(id: string, doc: number, indexed: Indexed): void {
    this.#insertAll(id, doc, this.#of(indexed));
  }

  remove(id: string, indexed: Indexed): void {
    this.#deleteAll(id, this.#of(indexed));
  }

  /** Writes only the differences. */
  change(id: string, doc: number, before: Indexed, now: Indexed): void {
    const areValuesChanged = this.#columns.some((i) => !isSame(before.columns[i], now.columns[i]));
    if (!areValuesChanged && before.arrays[this.#array] === now.arrays[this.#array]) return;
    const from = this.#of(before);
    const to = this.#of(now);
    const kept = new Set(areValuesChanged ? [] : from.elements);
    const wanted = new Set(areValuesChanged ? [] : to.elements);
    this.#deleteAll(id, { ...from, elements: from.elements.filter((element) => !wanted.has(element)) });
    this.#insertAll(id, doc, { ...to, elements: to.elements.filter((element) => !kept.has(element)) });
  }

  #of(indexed: Indexed): Entries {
    const elements: Element[] = JSON.parse(indexed.arrays[this.#array] ?? '[]');
    return { elements, values: this.#columns.map((i) => indexed.columns[i] ?? null) };
  }

  #insertAll(id: string, doc: number, { elements, values }: Entries): void {
    for (const element of elements) this.#statements.run(this.#insert, [element, ...values, id, doc]);
  }

  #deleteAll(id: string, { elements, values }: Entries): void {
    for (const element of elements) this.#statements.run(this.#delete, [element, ...values, id]);
  }
}
