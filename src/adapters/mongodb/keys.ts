import { Binary, type Collection } from 'mongodb';
import { prefixEnd } from '../../kernel/conditions.ts';
import type { Logger } from '../../kernel/logger.ts';
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
import { Connection } from './connection.ts';
import { KEYS_SUFFIX } from './database-name.ts';
import { batchSizeFor } from './documents-query.ts';
import { DUPLICATE_KEY, hasCode } from './errors.ts';

/** The document of a destroyed key remains without the secret, so that the name cannot be created again. */
type Key = { _id: string; sealed: Binary | null };

export type MongoKeysOptions = Readonly<{
  /** A connection string. The keys are in the database with `-keys` appended to its name (default: `parley-keys`). */
  url: string;
  /** The server secret, under which all others are sealed: at least 16 bytes. */
  secret: Uint8Array;
  random: Random;
  logger: Logger;
}>;

/**
 * Opens a key store in MongoDB, even while it cannot be reached. Every write is confirmed by a majority of the members. A destroyed secret may remain
 * in their journals and oplogs, sealed, until these are overwritten. Throws `INVALID` for a secret that is too short and for an invalid connection
 * string.
 */
export async function openMongoKeys({ url, secret, random, logger }: MongoKeysOptions): Promise<KeyStore> {
  const sealer = createSealer(secret, random);
  return new Keys(new Connection(url, { logger, suffix: KEYS_SUFFIX }), sealer);
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
    return key === null ? null : this.#open(key);
  }

  async getMany(names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array | null>> {
    checkKeyNames(names);
    const wanted = [...new Set(names)];
    const found = await this.#run(async (keys) => {
      if (wanted.length === 0) return [];
      return await keys.find({ _id: { $in: wanted } }, { batchSize: batchSizeFor(wanted.length) }).toArray();
    });
    return new Map(found.map((key) => [key._id, this.#open(key)]));
  }

  async create(name: string, secret: Uint8Array): Promise<Uint8Array | null> {
    checkKeyName(name);
    checkSecret(secret);
    const sealed = new Binary(this.#sealer.seal(name, secret));
    await this.#run((keys) => keys.insertOne({ _id: name, sealed }).catch(tolerateDuplicate));
    // Read back, because another call may have been first.
    return await this.get(name);
  }

  async destroy(name: string): Promise<void> {
    checkKeyName(name);
    await this.#run(async (keys) => {
      const destroy = () => keys.updateOne({ _id: name }, { $set: { sealed: null } }, { upsert: true });
      try {
        await destroy();
      } catch (error) {
        // It was created concurrently, and exists now.
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

  #open({ _id, sealed }: Key): Uint8Array | null {
    return sealed === null ? null : this.#sealer.open(_id, sealed.value());
  }

  #run<Result>(work: (keys: Collection<Key>) => Promise<Result>): Promise<Result> {
    return this.#connection.run((db) => work(db.collection('keys')));
  }
}

function tolerateDuplicate(error: unknown): void {
  if (!hasCode(error, DUPLICATE_KEY)) throw error;
}
