import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../kernel/errors.ts';
import { asStoreError, inTransaction, openDatabase, prepareTuples } from './database.ts';

/** Version of the tables below. A program reads the formats up to its own. */
const FORMAT = 1;

/**
 * An event row carries integers for its stream and its type: half the size, twice the throughput of the names.
 * There is no unique index on event ids: it would cost a factor of 2.7, and commands find their repetition by (stream, revision).
 * - `streams.forgotten`: the highest revision that retention has removed;
 * - `retention.due`: when to look for what the stream may forget, ms since the epoch; null while it cannot have anything;
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
    stream INTEGER PRIMARY KEY, max_age_ms INTEGER, max_count INTEGER, truncate_before INTEGER, due INTEGER
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
 * Opens the database of an event log, and makes its tables and its epoch when it is new.
 * Throws `StoreError` with `UNAVAILABLE` for a file that is something else, damaged, or of a newer format.
 */
export function openEventDatabase(path: string): EventDatabase {
  const database = openDatabase(path, 'full');
  try {
    const tables = prepareTuples<[string]>(database, "SELECT name FROM sqlite_schema WHERE type = 'table'")();
    if (tables.length === 0) return { database, epoch: create(database) };
    if (!tables.some(([name]) => name === 'meta')) {
      throw new StoreError('UNAVAILABLE', `${path} is a database, but not an event log`);
    }
    return { database, epoch: readEpoch(database, path) };
  } catch (error) {
    database.close();
    throw asStoreError(error);
  }
}

function create(database: DatabaseSync): string {
  const epoch = randomUUID();
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
  const format = Number(meta.get('format'));
  if (format > FORMAT) {
    throw new StoreError(
      'UNAVAILABLE',
      `the event log ${path} has format ${format}, this program knows formats up to ${FORMAT}: it was written by a newer one`,
    );
  }
  const epoch = meta.get('epoch');
  if (format !== FORMAT || epoch === undefined)
    throw new StoreError('UNAVAILABLE', `${path} is a database, but not an event log`);
  return epoch;
}
