import { Binary, type Collection, MongoServerError } from 'mongodb';
import { prefixEnd } from '../../kernel/conditions.ts';
import type { Logger } from '../../kernel/logger.ts';
import { checkKeyName, checkKeyPrefix, checkSecret, createSealer, type Sealer } from '../../kernel/sealing.ts';
import type { KeyStore } from '../../ports/keys.ts';
import { Connection } from './connection.ts';
import { DUPLICATE_KEY } from './errors.ts';

/** A destroyed key keeps its document, without its secret, so that its name cannot be created again. */
type Key = { _id: string; sealed: Binary | null };

/** Keys are not read models: in a database of their own, they are neither removed nor backed up together with these. */
const SUFFIX = '-keys';

export type MongoKeysOptions = Readonly<{
  /** A connection string. The keys are in the database beside the one it names: `parley-keys`, when it names none. */
  url: string;
  /** The server's own, under which the others are sealed: at least 16 bytes. */
  secret: Uint8Array;
  logger: Logger;
}>;

/**
 * Opens a key store in MongoDB, also while that is away. What was answered was confirmed by a majority of its members. A destroyed secret may be
 * in their journals and oplogs, sealed, until these have moved on. Throws `INVALID` for a secret that is too short, and for a connection string that cannot be used.
 */
export async function openMongoKeys({ url, secret, logger }: MongoKeysOptions): Promise<KeyStore> {
  const sealer = createSealer(secret);
  return new Keys(new Connection(url, { logger, suffix: SUFFIX }), sealer);
}

class Keys implements KeyStore {
  readonly #connection: Connection;
  readonly #sealer: Sealer;

  constructor(connection: Connection, sealer: Sealer) {
    this.#connection = connection;
    this.#sealer = sealer;
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkKeyName(name);
    const key = await this.#run((keys) => keys.findOne({ _id: name }));
    return key?.sealed == null ? null : this.#sealer.open(name, key.sealed.value());
  }

  async create(name: string, secret: Uint8Array): Promise<Uint8Array | null> {
    checkKeyName(name);
    checkSecret(secret);
    const sealed = new Binary(this.#sealer.seal(name, secret));
    await this.#run((keys) => keys.insertOne({ _id: name, sealed }).catch(tolerateDuplicate));
    // Not what was given: another may have been first.
    return await this.get(name);
  }

  async destroy(name: string): Promise<void> {
    checkKeyName(name);
    await this.#run(async (keys) => {
      const destroy = () => keys.updateOne({ _id: name }, { $set: { sealed: null } }, { upsert: true });
      try {
        await destroy();
      } catch (error) {
        // Another has just created it: now it is there.
        tolerateDuplicate(error);
        await destroy();
      }
    });
  }

  async list(prefix: string): Promise<readonly string[]> {
    checkKeyPrefix(prefix);
    const end = prefixEnd(prefix);
    const filter = { _id: { $gte: prefix, ...(end === null ? {} : { $lt: end }) }, sealed: { $ne: null } };
    const found = await this.#run((keys) => keys.find(filter, { projection: { _id: 1 }, sort: { _id: 1 } }).toArray());
    return found.map(({ _id }) => _id);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #run<Result>(work: (keys: Collection<Key>) => Promise<Result>): Promise<Result> {
    return this.#connection.run((db) => work(db.collection('keys')));
  }
}

function tolerateDuplicate(error: unknown): void {
  if (!(error instanceof MongoServerError) || error.code !== DUPLICATE_KEY) throw error;
}
