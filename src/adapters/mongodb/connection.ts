import { type Db, type DbOptions, MongoClient, ReadConcern } from 'mongodb';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { asStoreError } from './errors.ts';

/** The database, when the connection string names none. */
const DATABASE = 'parley';

/**
 * What holds unless the connection string says otherwise; times in ms. A call ends by itself: no server to be found, no connection to be
 * had, no answer to what was sent. After the last, where the server knows repeated writes, the driver tries once more.
 */
const DEFAULTS = {
  appName: 'parley',
  serverSelectionTimeoutMS: 2_000,
  connectTimeoutMS: 10_000,
  waitQueueTimeoutMS: 5_000,
  socketTimeoutMS: 10_000,
} as const;

/**
 * What the connection string cannot change: what was answered survives the loss of a member, and nothing is read that may still be undone.
 * A write that no majority confirms in time is given up.
 */
const FIXED: DbOptions = {
  writeConcern: { w: 'majority', wtimeoutMS: 8_000 },
  readConcern: new ReadConcern('majority'),
  readPreference: 'primary',
};

/** The way to a MongoDB: a standalone server, a replica set or a sharded cluster. Made at the first call, and made anew by the driver whenever it is lost. */
export class Connection {
  readonly #db: Db;
  readonly #client: MongoClient;
  readonly #running = new Set<Promise<unknown>>();
  #isConnected = false;
  #closing: Promise<void> | null = null;

  /**
   * Connects to nothing yet. Throws `INVALID` for a connection string that cannot be used.
   * @param suffix of the database's name
   */
  constructor(url: string, { logger, suffix = '' }: { logger: Logger; suffix?: string }) {
    this.#client = newClient(url);
    this.#db = this.#client.db(`${databaseOf(url)}${suffix}`, FIXED);
    this.#watch(logger);
  }

  /** Throws `StoreError` only: `CLOSED` after `close`, and what the call ends with in the words of the ports. */
  async run<Result>(work: (db: Db) => Promise<Result>): Promise<Result> {
    if (this.#closing !== null) throw new StoreError('CLOSED', 'the store is closed');
    const running = this.#connected().then(work);
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      throw asStoreError(error);
    } finally {
      this.#running.delete(running);
    }
  }

  /** Until it has found a server once, the driver has to be told to look for one again. */
  async #connected(): Promise<Db> {
    if (!this.#isConnected) await this.#client.connect();
    this.#isConnected = true;
    return this.#db;
  }

  /** Waits for the calls that are under way, which end by themselves. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running);
    this.#client.removeAllListeners('topologyDescriptionChanged');
    await this.#client.close();
  }

  /** Tells when the server that takes writes is lost, and when there is one (again). */
  #watch(logger: Logger): void {
    let isThere = false;
    this.#client.on('topologyDescriptionChanged', ({ newDescription }) => {
      const servers = [...newDescription.servers.values()];
      const isNow = servers.some(({ isWritable }) => isWritable);
      if (isNow === isThere) return;
      isThere = isNow;
      if (isNow) logger.info({ topology: newDescription.type }, 'connected to MongoDB');
      else logger.warn({ err: servers.find(({ error }) => error !== null)?.error }, 'MongoDB cannot be reached');
    });
  }
}

function newClient(url: string): MongoClient {
  const [, query = ''] = url.split('?');
  const given = new Set([...new URLSearchParams(query).keys()].map((name) => name.toLowerCase()));
  const defaults = Object.entries(DEFAULTS).filter(([name]) => !given.has(name.toLowerCase()));
  try {
    return new MongoClient(url, Object.fromEntries(defaults));
  } catch (error) {
    // The error is not passed on, nor does its text show the string: there is a password in it.
    const reason = error instanceof Error ? error.message.replaceAll(url, '…') : String(error);
    throw new StoreError('INVALID', `the connection string of MongoDB cannot be used: ${reason}`);
  }
}

/** Behind the hosts; in user and password, slashes are escaped. */
function databaseOf(url: string): string {
  const [, name] = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/.exec(url) ?? [];
  return name === undefined ? DATABASE : decodeURIComponent(name);
}
