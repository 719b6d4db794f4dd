import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { readPointers } from '../../src/projections/runner/generations.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { open as openEventStoreDb } from '../adapters/eventstoredb.ts';
import { execute, group, message, newId, type TestNode } from '../commands/node.ts';
import { until } from '../projections/node.ts';
import { dumpProjection } from '../projections/support.ts';
import { TestClient } from '../push/world.ts';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { type Server, startServer } from '../support/http.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';
import { recordingMailer } from '../support/recording.ts';
import { service } from '../support/services.ts';
import { SERVER_SECRET, system } from '../support/stores.ts';

const NAMES = catalogue.map(({ name }) => name);
const PATIENCE = 10_000;
/** Messages after the restore: the log then is longer than it was before. */
const LATER = 6;

/** An event store whose files can be copied and put back. */
type Engine = Readonly<{
  open(): Promise<EventStore>;
  backUp(): Promise<void>;
  /** Puts the copy in the place of the log. `meanwhile` writes to it before any other node can. Where nodes need not stop for it, they reconnect. */
  restore(meanwhile: (store: EventStore) => Promise<void>): Promise<void>;
}>;

async function sqlite(folder: string): Promise<Engine> {
  const [path, copy] = [join(folder, 'events.db'), join(folder, 'backup.db')];
  const open = () => openSqliteEventStore({ ...system, path });
  return {
    open,
    backUp: () => cp(path, copy),
    async restore(meanwhile) {
      for (const suffix of ['-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
      await cp(copy, path);
      const store = await open();
      await meanwhile(store);
      await store.close();
    },
  };
}

async function eventStoreDb(folder: string): Promise<Engine> {
  const [path, copy] = [join(folder, 'eventstoredb.log'), join(folder, 'backup.log')];
  let server = await startEventStoreDbServer({ path });
  const { port } = server;
  onTestFinished(() => server.close());
  return {
    open: () => openEventStoreDb(server.url),
    backUp: () => cp(path, copy),
    async restore(meanwhile) {
      await server.close();
      await cp(copy, path);
      const elsewhere = await startEventStoreDbServer({ path });
      const store = await openEventStoreDb(elsewhere.url);
      await meanwhile(store);
      await store.close();
      await elsewhere.close();
      server = await startEventStoreDbServer({ path, port });
    },
  };
}

async function inMemory(): Promise<DocumentStore> {
  const documents = await openSqliteDocuments({ ...system, path: ':memory:' });
  onTestFinished(() => documents.close());
  return documents;
}

async function inMongoDb(): Promise<DocumentStore> {
  const place = mongoPlace((url) => openMongoDocuments({ ...system, url }));
  onTestFinished(() => place.dispose());
  return place.open();
}

/** How far the restored log has grown when the nodes see it, in messages, after it lost a registration and three messages. */
const GROWTH = {
  'ends before the checkpoints': null,
  'has other events at exactly the same positions': 3,
  'has grown past the checkpoints': 9,
} as const;

type Growth = keyof typeof GROWTH;

const [ann, bob] = [newId(), newId()];

/** Everything that the nodes of a test share, and what they report. */
type World = Readonly<{
  engine: Engine;
  documents: DocumentStore;
  keys: KeyStore;
  mailer: ReturnType<typeof recordingMailer>;
  errors: string[];
}>;

async function openWorld(makeEngine: (folder: string) => Promise<Engine>, documents: DocumentStore): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-restored-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const engine = await makeEngine(folder);
  const keys = await openSqliteKeys({ ...system, path: ':memory:', secret: Buffer.from(SERVER_SECRET) });
  onTestFinished(() => keys.close());
  return { engine, documents, keys, mailer: recordingMailer(), errors: [] };
}

type Running = Server & TestNode;

/** A node with all roles, or one that only takes commands and has documents of its own. */
async function start({ keys, ...world }: World, store: EventStore, roles: 'all' | 'api'): Promise<Running> {
  const documents = roles === 'all' ? world.documents : await inMemory();
  const error = (_fields: object, line: string): void => void world.errors.push(line);
  const logger: Logger = { ...system.logger, error };
  const server = await startServer({
    stores: { store, documents, keys },
    roles: roles === 'all' ? ['api', 'projections', 'mail'] : ['api'],
    singleWriter: false,
    mailer: world.mailer,
    logger,
  });
  // Its commands are all that is used of it as a test node.
  return server as unknown as Running;
}

/** Registers a user, who is sent a mail. */
async function register(node: Server, username: string): Promise<void> {
  const payload = { email: `${username}@example.org`, username };
  const { status } = await node.ask(null, { method: 'POST', url: '/api/v1/users', payload });
  expect(status).toBe(202);
}

/** Sends messages; returns the position of the last. */
async function write(node: Running, conversationId: string, from: string, count: number): Promise<string> {
  let last: string | null = null;
  for (let n = 1; n <= count; n++)
    ({ position: last } = await execute(node, ann, message(conversationId, `${from} ${n}`)));
  return last ?? '';
}

/** What the read models show of the messages of the only conversation. */
async function shown(node: Server): Promise<readonly unknown[]> {
  const { items } = await node.projections.readModels.find('messages/messages', { filter: {}, limit: 100 });
  return items.toSorted((a, b) => Number(a.body.seq) - Number(b.body.seq)).map(({ body }) => body.content);
}

/** The read models are the same as those that are built from the log anew. */
async function expectEqualsRebuild({ documents }: World, { log }: Server, position: string): Promise<void> {
  const fresh = await inMemory();
  const rebuilt = createProjections({
    ...system,
    log,
    documents: fresh,
    projections: catalogue,
    node: 'test',
    run: true,
  });
  rebuilt.start();
  expect(await rebuilt.readModels.waitFor(NAMES, position, PATIENCE)).toBe(true);
  await rebuilt.close();
  const pointers = await readPointers(documents, NAMES);
  for (const projection of catalogue) {
    const pointer = pointers.get(projection.name);
    expect(pointer).toMatchObject({ restoredAt: null, building: null, active: { generation: 2 } });
    const own = await dumpProjection(documents, projection, pointer?.active.generation);
    expect(own).toEqual(await dumpProjection(fresh, projection, 1));
  }
}

/** Writes, backs the log up, loses what comes after that, and expects that everything follows the restored log. */
async function loseAndRestore(world: World, growth: Growth, nodes: 'stopped' | 'running'): Promise<void> {
  const { engine, mailer, errors } = world;
  let store = await engine.open();
  let node = await start(world, store, 'all');
  const stop = async (): Promise<void> => {
    await node.close();
    await store.close();
  };
  const startAgain = async (): Promise<void> => {
    store = await engine.open();
    node = await start(world, store, 'all');
  };
  const conversationId = await group(node, ann, bob);
  await register(node, 'kept');
  const mailed = (username: string) => mailer.mails.filter(({ to }) => to === `${username}@example.org`).length;
  const untilMailed = (username: string) => until(() => mailed(username) > 0, `${username} has a mail`);
  const keptAt = await write(node, conversationId, 'kept', 1);
  await untilMailed('kept');
  await stop();
  await engine.backUp();
  await startAgain();

  const { readModels } = node.projections;
  const client = new TestClient(node.hub, bob);
  expect(await readModels.waitFor(NAMES, keptAt, PATIENCE)).toBe(true);
  await client.listen();
  await register(node, 'lost');
  const lostAt = await write(node, conversationId, 'lost', 3);
  await untilMailed('lost');
  await client.until(({ contents }) => contents.length === 3);
  expect(await readModels.waitFor(NAMES, lostAt, PATIENCE)).toBe(true);
  if (nodes === 'stopped') await stop();

  const added = GROWTH[growth];
  await engine.restore(async (restored) => {
    if (added === null) return;
    const other = await start(world, restored, 'api');
    await register(other, 'newy');
    const head = await write(other, conversationId, 'newy', added);
    if (added === 3) expect(head).toBe(lostAt);
    else expect(head > lostAt).toBe(true);
    await other.close();
  });
  errors.splice(0);
  if (nodes === 'stopped') await startAgain();
  // Projections and mails, and where it runs the hub.
  const noticed = nodes === 'stopped' ? NAMES.length + 2 : NAMES.length + 3;
  await until(
    () => errors.filter((line) => line.includes('restored from an older copy')).length >= noticed,
    'all have noticed',
  );

  expect(await node.log.head()).toBe((await node.log.recordBefore(null))?.position);
  const position = await write(node, conversationId, 'then', LATER);
  expect(await node.projections.readModels.waitFor(NAMES, position, PATIENCE)).toBe(true);
  await until(async () => (await shown(node)).includes(`then ${LATER}`), 'the new read models are read');
  const messages = Array.from({ length: added ?? 0 }, (_, n) => `newy ${n + 1}`);
  const later = Array.from({ length: LATER }, (_, n) => `then ${n + 1}`);
  expect(await shown(node)).toEqual(['kept 1', ...messages, ...later]);
  await expectEqualsRebuild(world, node, position);
  await register(node, 'last');
  for (const username of ['last', ...(added === null ? [] : ['newy'])]) await untilMailed(username);
  for (const username of ['kept', 'lost', 'last']) expect([username, mailed(username)]).toEqual([username, 1]);

  const back = new TestClient(node.hub, bob);
  expect(await back.listen(client.lastId)).toMatchObject({ outcome: 'resync' });
  await until(async () => (await node.ask(null, { method: 'GET', url: '/readyz' })).status === 200, 'it is ready');
  await stop();
}

const growths = Object.keys(GROWTH) as Growth[];

describe('a log that was restored from an older copy while no node ran is followed from what it has, where it', () => {
  it.each(growths)('%s, in SQLite', async (growth) => {
    await loseAndRestore(await openWorld(sqlite, await inMemory()), growth, 'stopped');
  });

  it('has grown past the checkpoints, in EventStoreDB', async () => {
    await loseAndRestore(await openWorld(eventStoreDb, await inMemory()), 'has grown past the checkpoints', 'stopped');
  });
});

describe('a log that was restored from an older copy while a node runs is followed from what it has, where it', () => {
  it.each(growths)('%s, in EventStoreDB', async (growth) => {
    await loseAndRestore(await openWorld(eventStoreDb, await inMemory()), growth, 'running');
  });
});

it.skipIf(!service(mongodb.name, mongodb.available === true ? null : mongodb.available))(
  'a log that was restored from an older copy, and has grown past the checkpoints, is followed from what it has, with documents in MongoDB',
  async () => {
    await loseAndRestore(await openWorld(eventStoreDb, await inMongoDb()), 'has grown past the checkpoints', 'running');
  },
);
