import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import { asStoreError, inTransaction, openDatabase, prepareTuples } from './database.ts';

/** Version of the tables below and of their contents. */
const FORMAT = 3;

/**
 * A record refers to its stream and its type by integers: half the size and twice the throughput of names.
 * There is no unique index on ids: it would cost a factor of 2.7, and a repeated command is recognized by (stream, revision).
 * - `streams.forgotten`: the highest revision that retention has removed;
 * - `retention.due`: when to look for records to remove, ms since the epoch; null while there cannot be any;
 * - `events.recorded_at`: ms since the epoch.
 */
const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE categories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, category INTEGER NOT NULL, forgotten INTEGER NOT NULL DEFAULT -1
  ) STRICT;
  CREATE TABLE retention (
    stream INTEGER PRIMARY KEY, max_age_ms INTEGER, max_count INTEGER, truncate_before INTEGER,
    disposable INTEGER NOT NULL, due INTEGER
  ) STRICT;
  CREATE INDEX retention_due ON retention (due) WHERE due IS NOT NULL;
  CREATE TABLE events (
    position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, revision INTEGER NOT NULL, type INTEGER NOT NULL,
    version INTEGER NOT NULL, recorded_at INTEGER NOT NULL, id BLOB NOT NULL, metadata TEXT NOT NULL, data TEXT NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (stream, revision)
  ) STRICT;
`;

export type EventDatabase = Readonly<{ database: DatabaseSync; epoch: string }>;

/**
 * Opens the database of an event store. A new one gets its tables, and an epoch from `newEpoch`.
 * Throws `StoreError` with `UNAVAILABLE` for a file that is damaged, is not an event store, or has another format.
 */
export function openEventDatabase(path: string, newEpoch: () => string): EventDatabase {
  const database = openDatabase(path, 'full');
  try {
    const tables = prepareTuples<[string]>(database, "SELECT name FROM sqlite_schema WHERE type = 'table'")();
    if (tables.length === 0) return { database, epoch: create(database, newEpoch()) };
    if (!tables.some(([name]) => name === 'meta')) throw notAnEventStore(path);
    return { database, epoch: readEpoch(database, path) };
  } catch (error) {
    database.close();
    throw asStoreError(error);
  }
}

function create(database: DatabaseSync, epoch: string): string {
  return inTransaction(database, () => {
    database.exec(TABLES);
    const insert = database.prepare('INSERT INTO meta (name, value) VALUES (?, ?)');
    insert.run('format', String(FORMAT));
    insert.run('epoch', epoch);
    return epoch;
  });
}

function readEpoch(database: DatabaseSync, path: string): string {
  const meta = new Map(prepareTuples<[string, string]>(database, 'SELECT name, value FROM meta')());
  const [format, epoch] = [Number(meta.get('format')), meta.get('epoch')];
  if (!(format >= 1) || epoch === undefined) throw notAnEventStore(path);
  if (format === FORMAT) return epoch;
  const writer = format > FORMAT ? 'a newer version' : 'an older, incompatible version';
  throw new StoreError(
    'UNAVAILABLE',
    `the event store ${path} has format ${format} and cannot be read: it was written by ${writer} (this version uses format ${FORMAT})`,
  );
}

const notAnEventStore = (path: string): StoreError =>
  new StoreError('UNAVAILABLE', `${path} is a database, but not an event store`);
