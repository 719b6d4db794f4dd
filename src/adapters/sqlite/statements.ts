import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { LRUCache } from 'lru-cache';

/** A cache of prepared statements of one connection, by their SQL. */
export class Statements {
  readonly #database: DatabaseSync;
  readonly #prepared: LRUCache<string, StatementSync>;

  constructor(database: DatabaseSync, max: number) {
    this.#database = database;
    this.#prepared = new LRUCache({ max });
  }

  /** Runs a statement that returns no rows. */
  run(sql: string, parameters: readonly SQLInputValue[]): void {
    this.#statement(sql).run(...parameters);
  }

  /** Runs an INSERT of one row and returns its rowid, `null` when it did nothing because of a conflict. */
  insert(sql: string, parameters: readonly SQLInputValue[]): number | null {
    const { changes, lastInsertRowid } = this.#statement(sql).run(...parameters);
    return changes === 0 ? null : Number(lastInsertRowid);
  }

  /** The rows of a query, each a tuple in the order of its columns. */
  all<Row extends readonly SQLOutputValue[]>(sql: string, parameters: readonly SQLInputValue[]): Row[] {
    // The types of node:sqlite do not reflect that rows are returned as arrays.
    return this.#statement(sql).all(...parameters) as unknown as Row[];
  }

  /** The first row of a query. */
  get<Row extends readonly SQLOutputValue[]>(sql: string, parameters: readonly SQLInputValue[]): Row | undefined {
    // As above.
    return this.#statement(sql).get(...parameters) as unknown as Row | undefined;
  }

  #statement(sql: string): StatementSync {
    const prepared = this.#prepared.get(sql);
    if (prepared !== undefined) return prepared;
    const statement = this.#database.prepare(sql);
    statement.setReturnArrays(true);
    this.#prepared.set(sql, statement);
    return statement;
  }
}
