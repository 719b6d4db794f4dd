import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';

/** The path of a database in memory, which is discarded when it is closed. */
export const MEMORY = ':memory:';

/**
 * What a committed transaction survives: with `full` also a power failure (one fsync per commit), with `process` a crash of the process
 * (after a power failure the last transactions may be missing, but the database is consistent).
 */
export type Durability = 'full' | 'process';

/**
 * Opens a database in WAL mode, and creates its folder when it does not exist.
 * `synchronous` is always set: several builds of SQLite have NORMAL as the default in WAL mode.
 * Throws `StoreError` with `UNAVAILABLE` when the file cannot be opened or is not a database.
 */
export function openDatabase(path: string, durability: Durability): DatabaseSync {
  try {
    if (path !== MEMORY) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
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

/** Runs `work` in one transaction, which is rolled back when it throws. Cannot be nested. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // After some errors (disk full, I/O) SQLite has already rolled back.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** Prepares a query that returns rows as tuples, in the order of its columns: faster than objects. */
export function prepareTuples<Row extends readonly SQLOutputValue[]>(
  database: DatabaseSync,
  sql: string,
): (...parameters: SQLInputValue[]) => Row[] {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  // The types of node:sqlite do not reflect that rows are returned as arrays.
  return (...parameters) => statement.all(...parameters) as unknown as Row[];
}

/** An error of SQLite (disk full, I/O, a damaged file) as `UNAVAILABLE`; a `StoreError` is returned as it is. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError('UNAVAILABLE', `database error: ${String(error)}`, { cause: error });
}
