import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { freePort, type Launched, launchServer, type Server } from './server.ts';

const EVENT_STORE = fileURLToPath(new URL('./eventstoredb-server/main.ts', import.meta.url));

/** A process that can be killed and started again on the same port, with what it has kept. */
export type Restartable = Readonly<{ url: string; kill(): Promise<void>; start(): Promise<void> }>;

/** The wire-level EventStoreDB as a process of its own, over a file. */
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

/** Stores that several nodes share, and the environment that leads a node to them. */
export type Cluster = Readonly<{
  folder: string;
  eventStore: Restartable;
  env: Readonly<Record<string, string>>;
  /** Starts a node of these roles; waiting for it is up to the caller. */
  launch(roles: string, extra?: Readonly<Record<string, string>>): Promise<Launched>;
  /** Starts a node of these roles and waits until it is ready. */
  node(roles: string, extra?: Readonly<Record<string, string>>): Promise<Server>;
  close(): Promise<void>;
}>;

/** @param mongoUrl a server's; the cluster gets a database of its own there */
export async function startCluster(mongoUrl: string, extra: Readonly<Record<string, string>>): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-cluster-'));
  const eventStore = await startEventStore(folder);
  const database = new URL(mongoUrl);
  database.pathname = `/parley-${uuidv7(Date.now()).slice(0, 23)}`;
  const free = '1000000/s burst 1000000';
  const env = {
    EVENTSTORE_URL: eventStore.url,
    MONGODB_URL: String(database),
    PARLEY_SECRET: 'a secret that every node of this test shares',
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
    async close() {
      await Promise.all(nodes.map((node) => node.kill()));
      await eventStore.kill();
      await rm(folder, { recursive: true });
    },
  };
}
