import type { DatabaseSync } from 'node:sqlite';
import { prefixEnd } from '../../kernel/conditions.ts';
import { StoreError } from '../../kernel/errors.ts';
import {
  checkKeyName,
  checkKeyNames,
  checkKeyPrefix,
  checkSecret,
  createSealer,
  type Sealer,
} from '../../kernel/sealing.ts';
import type { KeyStore } from '../../ports/keys.ts';
import type { Random } from '../../ports/random.ts';
import { asStoreError, openDatabase } from './database.ts';
import { EMPTY_BLOB } from './documents-layout.ts';
import { Statements } from './statements.ts';

/** The row of a destroyed key remains without the secret, so that the name cannot be created again. */
const SCHEMA = 'CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, sealed BLOB) STRICT, WITHOUT ROWID';

const STATEMENTS = 8;

/** `sealed` is `null` for a destroyed key. */
type KeyRow = readonly [name: string, sealed: Uint8Array<ArrayBuffer> | null];

export type SqliteKeysOptions = Readonly<{
  /** A file, created when it does not exist, or `:memory:`. */
  path: string;
  /** The server secret, under which all others are sealed: at least 16 bytes. */
  secret: Uint8Array;
  random: Random;
}>;

/**
 * Opens the embedded key store. Writes survive a power failure. Several processes may open the same file.
 * Throws `StoreError` with `UNAVAILABLE` when the file is not a database, and `INVALID` for a secret that is too short.
 */
export async function openSqliteKeys({ path, secret, random }: SqliteKeysOptions): Promise<KeyStore> {
  const sealer = createSealer(secret, random);
  const database = openDatabase(path, 'full');
  try {
    // Overwrites deleted content with zeros instead of only marking it as free.
    database.exec('PRAGMA secure_delete = ON');
    database.exec(SCHEMA);
    // A process that was killed while it destroyed a key has left the earlier pages in the write-ahead log.
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return new Keys(database, sealer);
  } catch (error) {
    database.close();
    throw asStoreError(error);
  }
}

class Keys implements KeyStore {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #sealer: Sealer;

  constructor(database: DatabaseSync, sealer: Sealer) {
    this.#database = database;
    this.#statements = new Statements(database, STATEMENTS);
    this.#sealer = sealer;
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkKeyName(name);
    const sql = 'SELECT name, sealed FROM keys WHERE name = ?';
    const row = this.#run(() => this.#statements.get<KeyRow>(sql, [name]));
    return row === undefined ? null : this.#open(row);
  }

  async getMany(names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array | null>> {
    checkKeyNames(names);
    // As JSON, any number of names is one parameter of one statement.
    const sql = 'SELECT name, sealed FROM keys WHERE name IN (SELECT value FROM json_each(?))';
    const rows = this.#run(() => this.#statements.all<KeyRow>(sql, [JSON.stringify(names)]));
    return new Map(rows.map((row) => [row[0], this.#open(row)]));
  }

  async create(name: string, secret: Uint8Array): Promise<Uint8Array | null> {
    checkKeyName(name);
    checkSecret(secret);
    const sealed = this.#sealer.seal(name, secret);
    const sql = 'INSERT INTO keys (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING';
    this.#run(() => this.#statements.run(sql, [name, sealed]));
    // Read back, because another call may have been first.
    return await this.get(name);
  }

  async destroy(name: string): Promise<void> {
    checkKeyName(name);
    const sql = 'INSERT INTO keys (name, sealed) VALUES (?, NULL) ON CONFLICT DO UPDATE SET sealed = NULL';
    this.#run(() => {
      this.#statements.run(sql, [name]);
      // Empties the write-ahead log, which contains the previous pages. While another process reads it, this is left to the next destruction.
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    });
  }

  async list(prefix: string): Promise<readonly string[]> {
    checkKeyPrefix(prefix);
    const sql = 'SELECT name FROM keys WHERE name >= ? AND name < ? AND sealed IS NOT NULL ORDER BY name';
    const rows = this.#run(() => this.#statements.all<[string]>(sql, [prefix, prefixEnd(prefix) ?? EMPTY_BLOB]));
    return rows.map(([name]) => name);
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #open([name, sealed]: KeyRow): Uint8Array | null {
    return sealed === null ? null : this.#sealer.open(name, sealed);
  }

  #run<Result>(work: () => Result): Result {
    if (!this.#database.isOpen) throw new StoreError('CLOSED', 'the key store is closed');
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }
}
