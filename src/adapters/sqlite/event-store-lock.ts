import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';

/** Held for the life of a store. */
export type Lock = Readonly<{ release(): void }>;

const BUSY = 5;

/**
 * Keeps a file for this one owner, against other processes and against a second owner in the same process.
 * It is a lock of the operating system, on a small database beside the file, so that it ends with the process however that dies.
 * Throws `StoreError` with `UNAVAILABLE` when somebody else holds it.
 */
export function lockFile(path: string): Lock {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(`${realPath(path)}.lock`, { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    const why = isBusy(error) ? 'it is already open, in this or another process' : String(error);
    throw new StoreError('UNAVAILABLE', `cannot lock the event log ${path}: ${why}`, { cause: error });
  }
  const held = database;
  return { release: () => held.close() };
}

/** Two names of one file must not make two locks. */
function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  mkdirSync(dirname(path), { recursive: true });
  return join(realpathSync(dirname(path)), basename(path));
}

const isBusy = (error: unknown): boolean => error instanceof Error && 'errcode' in error && error.errcode === BUSY;
