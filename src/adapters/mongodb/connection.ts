import { type Db, type DbOptions, MongoClient, ReadConcern } from 'mongodb';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { databaseOf } from './database-name.ts';
import { asStoreError } from './errors.ts';

/**
 * Defaults that the connection string can override; times in ms. They bound every call: the search for a server, the wait for a connection, and
 * the wait for a response. After the latter the driver retries once, where the server supports retryable writes.
 */
const DEFAULTS = {
  appName: 'parley',
  serverSelectionTimeoutMS: 2_000,
  connectTimeoutMS: 10_000,
  waitQueueTimeoutMS: 5_000,
  socketTimeoutMS: 10_000,
} as const;

/** How long a majority may take to confirm a write, in ms. */
export const CONFIRM_MS = 8_000;

/**
 * Settings that the connection string cannot override: acknowledged writes survive the loss of a member, and reads never return data that may
 * be rolled back. A write that no majority confirms in time fails.
 */
const FIXED: DbOptions = {
  writeConcern: { w: 'majority', wtimeoutMS: CONFIRM_MS },
  readConcern: new ReadConcern('majority'),
  readPreference: 'primary',
};

/** A connection to MongoDB (standalone, replica set or sharded cluster). Opened by the first call, and reopened by the driver after a failure. */
export class Connection {
  readonly #db: Db;
  readonly #client: MongoClient;
  readonly #running = new Set<Promise<unknown>>();
  #isConnected = false;
  #closing: Promise<void> | null = null;

  /**
   * Does not connect yet. Throws `INVALID` for an invalid connection string, or an invalid database name in it.
   * @param suffix appended to the name of the database
   */
  constructor(url: string, { logger, suffix = '' }: { logger: Logger; suffix?: string }) {
    this.#client = newClient(url);
    this.#db = this.#client.db(`${databaseOf(url)}${suffix}`, FIXED);
    this.#watch(logger);
  }

  /** Runs database calls. Throws only `StoreError`: `CLOSED` after `close`, and errors of the driver as the ports define them. */
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

  /** The driver looks for servers by itself only after it has found one once; until then, every call has to connect. */
  async #connected(): Promise<Db> {
    if (!this.#isConnected) await this.#client.connect();
    this.#isConnected = true;
    return this.#db;
  }

  /** Waits for running calls, which are all bounded in time. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running);
    this.#client.removeAllListeners('topologyDescriptionChanged');
    await this.#client.close();
  }

  /** Logs when the connection to a writable server is lost or restored. */
  #watch(logger: Logger): void {
    let wasWritable = false;
    this.#client.on('topologyDescriptionChanged', ({ newDescription }) => {
      const servers = [...newDescription.servers.values()];
      const isWritable = servers.some((server) => server.isWritable);
      if (isWritable === wasWritable) return;
      wasWritable = isWritable;
      if (isWritable) logger.info({ topology: newDescription.type }, 'connected to MongoDB');
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
    // The connection string contains a password: it is removed from the text, and the error is not attached as the cause.
    const reason = error instanceof Error ? error.message.replaceAll(url, '…') : String(error);
    throw new StoreError('INVALID', `invalid connection string of MongoDB: ${reason}`);
  }
}
