import { StoreError } from '../../kernel/errors.ts';
import { checkKey, createSealer, type Sealer } from '../../kernel/sealing.ts';
import type { KeyStore } from '../../ports/keys.ts';
import { asStoreError, openDatabase } from './database.ts';
import { Statements } from './statements.ts';

/** A destroyed key keeps its row, without its secret, so that its name cannot be created again. */
const SCHEMA = 'CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, sealed BLOB) STRICT, WITHOUT ROWID';

export type SqliteKeysOptions = Readonly<{
  /** A file, made when it is missing, or `:memory:`. */
  path: string;
  /** The server's own, under which the others are sealed. */
  secret: Uint8Array;
}>;

/** Opens the embedded key store. What was answered survives the loss of power. */
export async function openSqliteKeys({ path, secret }: SqliteKeysOptions): Promise<KeyStore> {
  const database = openDatabase(path, 'full');
  try {
    // A destroyed secret must not be readable in the file's free pages.
    database.exec('PRAGMA secure_delete = ON');
    database.exec(SCHEMA);
    return new Keys(new Statements(database, 8), createSealer(secret), () => database.close());
  } catch (error) {
    database.close();
    throw asStoreError(error);
  }
}

class Keys implements KeyStore {
  readonly #statements: Statements;
  readonly #sealer: Sealer;
  #close: (() => void) | null;

  constructor(statements: Statements, sealer: Sealer, close: () => void) {
    this.#statements = statements;
    this.#sealer = sealer;
    this.#close = close;
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkKey(name);
    const [sealed] =
      this.#run((all) => all.get<[Uint8Array<ArrayBuffer> | null]>('SELECT sealed FROM keys WHERE name = ?', [name])) ?? [];
    return sealed == null ? null : this.#sealer.open(name, sealed);
  }

  async create(name: string, secret: Uint8Array): Promise<Uint8Array | null> {
    checkKey(name, secret);
    const sealed = this.#sealer.seal(name, secret);
    this.#run((all) => all.run('INSERT INTO keys (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING', [name, sealed]));
    return this.get(name);
  }

  async destroy(name: string): Promise<void> {
    checkKey(name);
    const sql = 'INSERT INTO keys (name, sealed) VALUES (?, NULL) ON CONFLICT DO UPDATE SET sealed = NULL';
    this.#run((all) => all.run(sql, [name]));
  }

  async list(prefix: string): Promise<readonly string[]> {
    const sql =
      'SELECT name FROM keys WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 AND sealed IS NOT NULL ORDER BY name';
    return this.#run((all) => all.all<[string]>(sql, [prefix])).map(([name]) => name);
  }

  async close(): Promise<void> {
    this.#close?.();
    this.#close = null;
  }

  #run<Result>(work: (statements: Statements) => Result): Result {
    if (this.#close === null) throw new StoreError('CLOSED', 'the key store is closed');
    try {
      return work(this.#statements);
    } catch (error) {
      throw asStoreError(error);
    }
  }
}
