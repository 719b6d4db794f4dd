import { chmod, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../kernel/logger.ts';

const OWNER_FILE = 0o600;
const OWNER_FOLDER = 0o700;
/** Permissions of the group and of others. */
const OTHERS = 0o077;

const DATABASES = ['events.db', 'documents.db', 'keys.db'];
/** What SQLite and the lock of the event log add to the name of a database. SQLite gives new ones the mode of the database. */
const DATABASE_SUFFIXES = ['', '-wal', '-shm', '-journal', '.lock', '.lock-journal'];
const OUTBOX = 'outbox';
const MAIL = /\.eml(\.part)?$/;

/**
 * Removes the permissions of all but the owner from the files that an earlier version, or a restore, has left in the data folder. Only from those of
 * Parley: the folder itself, and other files in it, belong to the operator. New files get their modes when they are created.
 * A file that cannot be changed is logged: some file systems have no modes.
 */
export async function restrictFiles(dataDir: string, logger: Logger): Promise<void> {
  const files = [join(dataDir, 'secret')];
  for (const name of DATABASES) {
    // The other files are next to the database itself, not next to a link to it.
    const path = join(dataDir, name);
    const real = await realpath(path).catch(() => path);
    files.push(...DATABASE_SUFFIXES.map((suffix) => real + suffix));
  }
  const outbox = join(dataDir, OUTBOX);
  const mails = (await ifExists(readdir(outbox))) ?? [];
  files.push(...mails.filter((name) => MAIL.test(name)).map((name) => join(outbox, name)));
  for (const path of files) await restrict(path, OWNER_FILE, logger);
  await restrict(outbox, OWNER_FOLDER, logger);
}

async function restrict(path: string, mode: number, logger: Logger): Promise<void> {
  try {
    const found = await ifExists(stat(path));
    if (found !== null && (found.mode & OTHERS) !== 0) await chmod(path, mode);
  } catch (error) {
    logger.warn({ err: error, path }, 'the permissions of a file cannot be restricted to its owner');
  }
}

/** What the call resolves with, `null` when the file does not exist. */
async function ifExists<Result>(call: Promise<Result>): Promise<Result | null> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
