import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import { freePort, type Launched, launchServer, type Server } from './server.ts';
import { system } from './stores.ts';

const SECRET = 'a secret that every node of this test shares';
const EVENT_STORE = fileURLToPath(new URL('./eventstoredb-server/main.ts', import.meta.url));

/** A process that can be killed and started again on the same port, over the same files. */
export type Restartable = Readonly<{ url: string; kill(): Promise<void>; start(): Promise<void> }>;

/** Starts the wire-level EventStoreDB in a process of its own, over a file. */
export async function startEventStore(folder: string): Promise<Restartable> {
  const port = await freePort();
  const path = join(folder, 'eventstoredb.db');
  let child: ReturnType<typeof spawn> | null = null;
  const start = async (): Promise<string> => {
    const started = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', EVENT_STORE, String(port), path],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    child = started;
    return new Promise((resolve, reject) => {
      started.once('exit', (code) => reject(new Error(`the event store ended with ${code}`)));
      if (started.stdout === null) return reject(new Error('the event store has no output'));
      createInterface({ input: started.stdout }).on('line', (line) => {
        if (line.startsWith('ready ')) resolve(line.slice('ready '.length));
      });
    });
  };
  const url = await start();
  return {
    url,
    kill: () =>
      new Promise((resolve) => {
        if (child === null || child.exitCode !== null) return resolve();
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      }),
    start: async () => {
      await start();
    },
  };
}

/** Stores that several nodes share, and the environment variables with which a node uses them. */
export type Cluster = Readonly<{
  folder: string;
  eventStore: Restartable;
  env: Readonly<Record<string, string>>;
  /** Starts a node with these roles, and does not wait for it. */
  launch(roles: string, extra?: Readonly<Record<string, string>>): Promise<Launched>;
  /** Starts a node with these roles and waits until it is ready. */
  node(roles: string, extra?: Readonly<Record<string, string>>): Promise<Server>;
  /** Opens the event log of the nodes beside them. Closing it closes its connections. */
  openLog(): Promise<EventLog>;
  close(): Promise<void>;
}>;

/** @param mongoUrl of a server, on which the cluster gets a database of its own */
export async function startCluster(mongoUrl: string, extra: Readonly<Record<string, string>>): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-cluster-'));
  const eventStore = await startEventStore(folder);
  const database = new URL(mongoUrl);
  database.pathname = `/parley-${system.random.uuid(system.clock.now()).slice(0, 23)}`;
  const free = '1000000/s burst 1000000';
  const env = {
    EVENTSTORE_URL: eventStore.url,
    MONGODB_URL: String(database),
    PARLEY_SECRET: SECRET,
    PUBLIC_URL: 'http://parley.test',
    RATE_LIMIT_USER: free,
    RATE_LIMIT_MESSAGE: free,
    RATE_LIMIT_ADDRESS: free,
    ...extra,
  };
  const nodes: Server[] = [];
  const launch: Cluster['launch'] = async (roles, own = {}) => {
    const port = await freePort();
    const dataDir = await mkdtemp(join(folder, 'node-'));
    const node = launchServer({ ...env, PARLEY_ROLES: roles, PORT: String(port), DATA_DIR: dataDir, ...own });
    nodes.push(node);
    return node;
  };
  return {
    folder,
    eventStore,
    env,
    launch,
    async node(roles, own) {
      const node = await launch(roles, own);
      await node.ready;
      return node;
    },
    openLog: () => openLog(env.EVENTSTORE_URL, env.MONGODB_URL),
    async close() {
      await Promise.all(nodes.map((node) => node.kill()));
      await eventStore.kill();
      await rm(folder, { recursive: true });
    },
  };
}

async function openLog(eventStoreUrl: string, mongoUrl: string): Promise<EventLog> {
  const { random } = system;
  const keys = await openMongoKeys({ ...system, url: mongoUrl, secret: Buffer.from(SECRET) });
  const store = await openEventStoreDb({ ...system, url: eventStoreUrl });
  const log = createEventLog({ store, registry: eventRegistry, keys: new PersonalKeys({ keys, random }), random });
  return {
    ...log,
    close: async () => {
      await Promise.all([log.close(), keys.close()]);
    },
  };
}
