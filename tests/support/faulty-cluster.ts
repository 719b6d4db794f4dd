import { setTimeout as pause } from 'node:timers/promises';
import type { Scene } from '../../examples/two-people.ts';
import { partsAway } from './asking.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { mongodb } from './mongodb.ts';
import { type MongoProxy, startMongoProxy } from './mongodb-proxy.ts';
import { sceneAt } from './scene.ts';
import type { Launched, Server } from './server.ts';
import { startSmtpServer, type TestSmtpServer } from './smtp.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** Timeouts for MongoDB that are shorter than those of production, so that tests in which it fails do not take long. */
export const SHORT_MONGODB = { serverSelectionTimeoutMS: '1000', socketTimeoutMS: '3000' };
const PATIENCE_MS = 30_000;
/** Pause between two probes of a node, in ms. */
const PROBE_MS = 50;

/** A cluster whose nodes use both stores through proxies that simulate faults. `cluster.env` has the addresses without the proxies. */
export type FaultyCluster = Readonly<{
  cluster: Cluster;
  eventStore: TcpProxy;
  documents: MongoProxy;
  /** The server that receives the mails of the nodes. */
  smtp: TestSmtpServer;
  /** Starts a node with all roles, and does not wait for it. */
  launch(): Promise<Launched>;
  /** The scene of the example at a node. */
  scene(node: Pick<Server, 'url'>): Scene;
  close(): Promise<void>;
}>;

/** @param mongoOptions options of the nodes for MongoDB; by default those of production */
export async function startFaultyCluster(mongoOptions: Readonly<Record<string, string>> = {}): Promise<FaultyCluster> {
  const smtp = await startSmtpServer();
  const cluster = await startCluster(mongodb.url, { SMTP_URL: smtp.url });
  const { env } = cluster;
  const direct = new URL(env.EVENTSTORE_URL ?? '');
  const eventStore = await startTcpProxy(Number(direct.port));
  const documents = await startMongoProxy();
  const proxied = {
    EVENTSTORE_URL: `esdb://127.0.0.1:${eventStore.port}${direct.search}`,
    MONGODB_URL: documents.url(new URL(env.MONGODB_URL ?? '').pathname.slice(1), mongoOptions),
  };
  return {
    cluster,
    eventStore,
    documents,
    smtp,
    launch: () => cluster.launch('api,projections,mail', proxied),
    scene: (node) => sceneAt(node, smtp),
    async close() {
      await cluster.close();
      await Promise.all([eventStore.close(), documents.close(), smtp.close()]);
    },
  };
}

/** Waits until a node answers and the names of its failing readiness checks are as expected. */
export async function untilAway(
  node: Pick<Server, 'url'>,
  isExpected: (parts: readonly string[]) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  for (const deadline = Date.now() + patienceMs; ; ) {
    const parts = await partsAway(node);
    if (parts !== null && isExpected(parts)) return;
    if (Date.now() >= deadline) {
      throw new Error(`after ${patienceMs} ms, the failing checks of the node are ${JSON.stringify(parts)}`);
    }
    await pause(PROBE_MS);
  }
}

/** Waits until all readiness checks of a node succeed. */
export const untilReady = (node: Pick<Server, 'url'>, patienceMs?: number) =>
  untilAway(node, (parts) => parts.length === 0, patienceMs);
