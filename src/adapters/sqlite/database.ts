import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';

/** The path that stands for a database in memory, gone when it is closed. */
export const MEMORY = ':memory:';

/**
 * What a committed transaction survives: `full` also the loss of power (one fsync per commit), `process` the death of the process
 * (after a loss of power the last transactions may be missing, the database is whole).
 */
export type Durability = 'full' | 'process';

/**
 * Opens a database in WAL mode, and makes its folder when it is missing.
 * `synchronous` is always set: several builds of SQLite have NORMAL as the default of WAL mode.
 * Throws `StoreError` with `UNAVAILABLE` when the file cannot be opened or is no database.
 */
export function openDatabase(path: string, durability: Durability): DatabaseSync {
  try {
    if (path !== MEMORY) mkdirSync(dirname(path), { recursive: true });
    const database = new DatabaseSync(path, { timeout: 5_000 });
    try {
      database.exec('PRAGMA journal_mode = WAL');
      database.exec(`PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`);
      database.exec('PRAGMA temp_store = MEMORY');
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  } catch (error) {
    throw new StoreError('UNAVAILABLE', `cannot open the database ${path}: ${String(error)}`, { cause: error });
  }
}

/** Runs `work` in one transaction: all of it is committed, or nothing when it throws. Not for use inside another one. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite itself has rolled back already after some errors (disk full, I/O).
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** Prepares a query whose rows come as tuples, in the order of its columns: faster than objects. */
export function prepareTuples<Row extends readonly SQLOutputValue[]>(
  database: DatabaseSync,
  sql: string,
): (...parameters: SQLInputValue[]) => Row[] {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  // The types of node:sqlite do not know that this setting turns rows into arrays.
  return (...parameters) => statement.all(...parameters) as unknown as Row[];
}

/** What went wrong in SQLite (disk full, I/O, a damaged file) as `UNAVAILABLE`; a `StoreError` stays what it is. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError('UNAVAILABLE', `the database failed: ${String(error)}`, { cause: error });
}
