import type { DatabaseSync } from 'node:sqlite';
import { prefixEnd } from '../../kernel/conditions.ts';
import { StoreError } from '../../kernel/errors.ts';
import { checkKeyName, checkKeyPrefix, checkSecret, createSealer, type Sealer } from '../../kernel/sealing.ts';
import type { KeyStore } from '../../ports/keys.ts';
import { asStoreError, openDatabase } from './database.ts';
import { EMPTY_BLOB } from './documents-layout.ts';
import { Statements } from './statements.ts';

/** A destroyed key keeps its row, without its secret, so that its name cannot be created again. */
const SCHEMA = 'CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, sealed BLOB) STRICT, WITHOUT ROWID';

const STATEMENTS = 8;

export type SqliteKeysOptions = Readonly<{
  /** A file, made when it is missing, or `:memory:`. */
  path: string;
  /** The server's own, under which the others are sealed: at least 16 bytes. */
  secret: Uint8Array;
}>;

/**
 * Opens the embedded key store. What was answered survives the loss of power. Several processes may open the same file.
 * Throws `StoreError` with `UNAVAILABLE` when the file is no database, and `INVALID` for a secret that is too short.
 */
export async function openSqliteKeys({ path, secret }: SqliteKeysOptions): Promise<KeyStore> {
  const sealer = createSealer(secret);
  const database = openDatabase(path, 'full');
  try {
    // What is destroyed is overwritten, and not only given free.
    database.exec('PRAGMA secure_delete = ON');
    database.exec(SCHEMA);
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
    const sql = 'SELECT sealed FROM keys WHERE name = ?';
    const row = this.#run(() => this.#statements.get<[Uint8Array<ArrayBuffer> | null]>(sql, [name]));
    return row?.[0] == null ? null : this.#sealer.open(name, row[0]);
  }

  async create(name: string, secret: Uint8Array): Promise<Uint8Array | null> {
    checkKeyName(name);
    checkSecret(secret);
    const sealed = this.#sealer.seal(name, secret);
    const sql = 'INSERT INTO keys (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING';
    this.#run(() => this.#statements.run(sql, [name, sealed]));
    // Not what was given: another may have been first.
    return await this.get(name);
  }

  async destroy(name: string): Promise<void> {
    checkKeyName(name);
    const sql = 'INSERT INTO keys (name, sealed) VALUES (?, NULL) ON CONFLICT DO UPDATE SET sealed = NULL';
    this.#run(() => {
      this.#statements.run(sql, [name]);
      // Empties the write-ahead log, which has the pages as they were before. While another process reads it, that is left to the next one.
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

  #run<Result>(work: () => Result): Result {
    if (!this.#database.isOpen) throw new StoreError('CLOSED', 'the key store is closed');
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }
}
