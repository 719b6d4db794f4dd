import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';

/** A lock on a database file, held until it is released. */
export type Lock = Readonly<{ release(): void }>;

const BUSY = 5;

/**
 * Locks a file against other processes and against a second store in the same process.
 * It is a lock of the operating system, on a small database next to the file, so that a process that crashes releases it.
 * Throws `StoreError` with `UNAVAILABLE` when the file is already locked.
 */
export function lockFile(path: string): Lock {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(`${realPath(path)}.lock`, { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    const reason = isBusy(error) ? 'it is already open in this or another process' : String(error);
    throw new StoreError('UNAVAILABLE', `cannot lock the event store ${path}: ${reason}`, { cause: error });
  }
  const held = database;
  return { release: () => held.close() };
}

/** Resolves symbolic links, so that two names of one file share one lock. */
function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return join(realpathSync(dirname(path)), basename(path));
}

const isBusy = (error: unknown): boolean => error instanceof Error && 'errcode' in error && error.errcode === BUSY;
