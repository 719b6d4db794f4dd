import { MongoClient } from 'mongodb';
import { system } from './stores.ts';

/**
 * The MongoDB that tests run against: that of `MONGODB_URL`, else the substitute of `scripts/services/mongodb.sh`, with the address in
 * `PARLEY_TEST_MONGODB_URL`.
 */
export const mongodb: Readonly<{ name: string; available: true | string; url: string }> = choose(process.env);

function choose({ MONGODB_URL: real, PARLEY_TEST_MONGODB_URL: substitute }: NodeJS.ProcessEnv): typeof mongodb {
  if (real) return { name: 'MongoDB', available: true, url: real };
  if (substitute) return { name: 'MongoDB protocol (mongo-java-server)', available: true, url: substitute };
  const missing = 'neither MONGODB_URL nor PARLEY_TEST_MONGODB_URL is set (see scripts/services/mongodb.sh)';
  return { name: 'MongoDB', available: missing, url: '' };
}

/** A store of an adapter. */
type Closable = Readonly<{ close(): Promise<void> }>;

/** A database for one test, and the stores that were opened over it. */
export type MongoPlace<Store extends Closable, Options extends readonly unknown[]> = Readonly<{
  open(...options: Options): Promise<Store>;
  /** Closes the stores, and drops the database and that of its keys. */
  dispose(): Promise<void>;
}>;

/** @param open opens a store by a connection string */
export function mongoPlace<Store extends Closable, Options extends readonly unknown[]>(
  open: (url: string, ...options: Options) => Promise<Store>,
): MongoPlace<Store, Options> {
  const name = `parley-test-${system.random.objectId().slice(0, 8)}`;
  const url = urlOf(mongodb.url, name);
  const opened: Store[] = [];
  return {
    async open(...options) {
      const store = await open(url, ...options);
      opened.push(store);
      return store;
    },
    async dispose() {
      await Promise.all(opened.map((store) => store.close()));
      await using client = new MongoClient(url);
      for (const database of [name, `${name}-keys`]) await client.db(database).dropDatabase();
    },
  };
}

/** The name of the database in a connection string. */
export const databaseOf = (url: string): string => /^mongodb(?:\+srv)?:\/\/[^/]+\/([^?]+)/.exec(url)?.[1] ?? '';

/** The connection string with another database. Users are authenticated by the same database as before. */
export function urlOf(url: string, database: string): string {
  const [, hosts = '', before = '', query = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?([^?]*)\??(.*)$/.exec(url) ?? [];
  const options = new URLSearchParams(query);
  if (hosts.includes('@') && !options.has('authSource')) options.set('authSource', before || 'admin');
  return `${hosts}/${database}?${options}`;
}
