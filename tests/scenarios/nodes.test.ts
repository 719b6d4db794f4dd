import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { goLive, type Person, type Scene, signUp } from '../../examples/two-people.ts';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, StoredDocument } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/catalogue.ts';
import { createProjections, type Projections } from '../../src/projections/create-projections.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { mongodb } from '../support/mongodb.ts';
import type { Server } from '../support/server.ts';
import { service } from '../support/services.ts';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';

const GROUPS = 4;
const WRITERS = 8;
const names = catalogue.map(({ name }) => name);

const missing = mongodb.available === true ? null : mongodb.available;

describe.skipIf(!service(mongodb.name, missing))('two API nodes and two projection nodes on shared stores', () => {
  let smtp: TestSmtpServer;
  let cluster: Cluster;
  let api: readonly [Server, Server];
  let workers: Server[];
  let ann: Person;
  let bob: Person;
  const groups: string[] = [];

  beforeAll(async () => {
    smtp = await startSmtpServer();
    cluster = await startCluster(mongodb.url, { SMTP_URL: smtp.url, LOG_LEVEL: 'info' });
    workers = [await cluster.node('projections,mail'), await cluster.node('projections,mail')];
    api = [await cluster.node('api'), await cluster.node('api')];
    ann = await signUp(scene(api[0]), 'ann');
    bob = await signUp(scene(api[1]), 'bob');
  }, 120_000);

  afterAll(async () => {
    await cluster?.close();
    await smtp?.close();
  }, 60_000);

  const scene = (node: Server): Scene => ({
    url: node.url,
    linkFor: async (email) => {
      const { text } = await smtp.waitForMail(email, 1, 30_000);
      return /https?:\/\/\S+\/set-password\?token=\S+/.exec(text)?.[0] ?? '';
    },
    tell: () => {},
  });

  it('users on different nodes see each other’s messages live', async () => {
    const annLive = await goLive(scene(api[0]), ann);
    const bobLive = await goLive(scene(api[1]), bob);
    await annLive.send(bob.userId, 'over two nodes');
    await bobLive.message((content) => content === 'over two nodes');
    await bobLive.send(ann.userId, 'and back');
    await annLive.message((content) => content === 'and back');
    annLive.close();
    bobLive.close();
  });

  it('the projection node that works is killed under load: the other takes over, and the read models equal a fresh rebuild', async () => {
    for (let i = 0; i < GROUPS; i++) {
      const { answer } = await ask(api[0], ann, 'POST', '/api/v1/conversations', {
        name: `g${i}`,
        participants: [bob.userId],
      });
      groups.push(String(answer._id));
    }
    let going = true;
    let last = '';
    const acknowledged = new Set<string>();
    const writers = Array.from({ length: WRITERS }, async (_, w) => {
      while (going) {
        const messageId = uuidv7(Date.now());
        const path = `/api/v1/conversations/${groups[acknowledged.size % GROUPS]}/messages`;
        const [node, who] = w % 2 ? ([api[1], bob] as const) : ([api[0], ann] as const);
        let answered = await ask(node, who, 'POST', path, { content: messageId, messageId });
        // Too many write to one conversation at once: a client tries again, and the id keeps it from being there twice.
        for (let tries = 0; answered.status === 503 && tries < 20; tries++) {
          answered = await ask(node, who, 'POST', path, { content: messageId, messageId });
        }
        const { status, answer } = answered;
        expect(status).toBe(202);
        acknowledged.add(messageId);
        last = String(answer.position) > last ? String(answer.position) : last;
      }
    });
    while (acknowledged.size < 100) await settled(api[0], ann, last);
    const worker = workers.find((node) => node.output().includes('this node runs the projections'));
    expect(worker).toBeDefined();
    await worker?.kill();
    const before = acknowledged.size;
    // The other takes over within 15 s; meanwhile commands go on.
    const deadline = Date.now() + 20_000;
    while (!(await settled(api[1], bob, last)) && Date.now() < deadline);
    going = false;
    await Promise.all(writers);
    expect(acknowledged.size).toBeGreaterThan(before);
    while (!(await settled(api[0], ann, last)) && Date.now() < deadline + 20_000);
    await equalsRebuild(cluster, last);
    expect(await messageIds(api[0], ann)).toEqual(acknowledged);
  }, 120_000);

  /** Every message of the groups as the read model of a node shows them. */
  async function messageIds(node: Server, who: Person): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const id of groups) {
      for (let before = ''; ; ) {
        const { answer } = await ask(node, who, 'GET', `/api/v1/conversations/${id}/messages?limit=100${before}`);
        for (const { _id } of answer.items as { _id: string }[]) ids.add(_id);
        if (answer.next === null) break;
        before = `&before=${encodeURIComponent(String(answer.next))}`;
      }
    }
    return ids;
  }
});

async function ask(node: Server, who: Person, method: string, path: string, body?: object) {
  const headers: Record<string, string> = { authorization: `Bearer ${who.accessToken}` };
  if (body !== undefined) headers['content-type'] = 'application/json';
  const options = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(new URL(path, node.url), { ...options, signal: AbortSignal.timeout(20_000) });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

/** Whether the read models have reached a position; waits up to 5 s for it. */
async function settled(node: Server, who: Person, position: string): Promise<boolean> {
  const query = position === '' ? '' : `&minPosition=${position}`;
  return (await ask(node, who, 'GET', `/api/v1/conversations?limit=1${query}`)).status === 200;
}

/** Folds the log anew into an embedded store, and compares every document with the nodes' own. */
async function equalsRebuild({ env }: Cluster, position: string): Promise<void> {
  const clock = createSystemClock();
  const logger = silentLogger;
  const events = await openEventStoreDb({ url: env.EVENTSTORE_URL ?? '', registry: eventRegistry, clock, logger });
  const nodes = await openMongoDocuments({ url: env.MONGODB_URL ?? '', clock, logger });
  const fresh = await openSqliteDocuments({ path: ':memory:', clock, logger });
  const shown = projectionsOf(events, nodes, false);
  const rebuilt = projectionsOf(events, fresh, true);
  rebuilt.start();
  expect(await rebuilt.readModels.waitFor(names, position, 30_000)).toBe(true);
  expect(await shown.readModels.waitFor(names, position, 30_000)).toBe(true);
  for (const { name, collections } of catalogue) {
    for (const collection of collections) {
      const path = `${name}/${collection.name}`;
      const [own, anew] = [await everything(shown, path), await everything(rebuilt, path)];
      expect(own.length).toBeGreaterThan(0);
      expect(own).toEqual(anew);
    }
  }
  await rebuilt.close();
  await shown.close();
  await Promise.all([events.close(), nodes.close(), fresh.close()]);
}

function projectionsOf(events: EventStore, documents: DocumentStore, run: boolean): Projections {
  const clock = createSystemClock();
  return createProjections({
    events,
    documents,
    clock,
    logger: silentLogger,
    projections: catalogue,
    owner: 'test',
    run,
  });
}

async function everything(projections: Projections, collection: string) {
  const found: StoredDocument[] = [];
  let page = await projections.readModels.find(collection, { filter: {}, limit: 1_000 });
  for (;;) {
    found.push(...page.items);
    if (page.next === null) return found;
    page = await projections.readModels.find(collection, { filter: {}, limit: 1_000, after: page.next });
  }
}
