import { expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { createWebDocuments } from '../../src/adapters/web/web-documents.ts';
import { buildNode, type Node, type NodeRole } from '../../src/compose/node.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { CHECKPOINTS } from '../../src/log/checkpoint.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore, StoredRecord } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { POINTERS, physicalCollection } from '../../src/projections/runner/generations.ts';
import { noTelemetry } from '../../src/telemetry/no-telemetry.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { RecordingClient, recordingMailer } from '../support/recording.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { openMemoryStores, SERVER_SECRET } from '../support/stores.ts';

const PASSWORD = 'correct horse battery';
const COLLECTIONS = [
  CHECKPOINTS.name,
  POINTERS.name,
  'leases',
  'log',
  'mails',
  'snapshots',
  ...catalogue.flatMap(({ name, collections }) =>
    collections.map((collection) => physicalCollection(name, 1, collection.name)),
  ),
];

/** Everything that a run leaves: raw records, documents, frames and mails. */
type Outcome = Readonly<{ records: unknown; documents: unknown; frames: unknown; mails: unknown }>;

/** Lets virtual time pass, in small steps, and everything run that is due. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    await clock.advance(50);
    for (let turn = 0; turn < 20; turn++) await clock.nextTurn();
  }
}

async function allRecords(store: EventStore): Promise<readonly StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (let from: string | null = null; ; ) {
    const slice = await store.readAll({ direction: 'forwards', from, limit: 4_096 });
    found.push(...slice.records);
    from = slice.next;
    if (slice.end) return found;
  }
}

async function allDocuments(documents: DocumentStore) {
  await documents.define(COLLECTIONS.map((name) => ({ name, indexes: [] })));
  const pages = await Promise.all(COLLECTIONS.map((name) => documents.find(name, { filter: {}, limit: 4_096 })));
  return COLLECTIONS.map((name, i) => [name, pages[i]?.items]);
}

/** Two people sign up by mail, talk, one of them is away and resumes; then the node stops. */
async function converse(node: Node, clock: ManualClock, mails: ReturnType<typeof recordingMailer>['mails']) {
  const { app, hub } = node;
  if (hub === null) throw new Error('a node with the role api has a hub');
  // One request at a time, and no virtual time during it: tokens and passwords are checked on other threads, and how
  // long those take is not virtual.
  const send = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, payload?: object, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
    return answer.statusCode === 204 ? {} : answer.json();
  };
  const ask = async (...request: Parameters<typeof send>) => {
    const body = await send(...request);
    await pass(clock, 200);
    return body;
  };
  const signUp = async (username: string) => {
    const email = `${username}@example.org`;
    const { _id } = await ask('POST', '/api/v1/users', { email, username, firstname: username });
    await pass(clock, 2_000);
    const link = mails.find(({ to }) => to === email)?.link ?? 'none:';
    const token = new URL(link).searchParams.get('token');
    await ask('POST', '/api/v1/passwords', { token, password: PASSWORD, confirmPassword: PASSWORD });
    const session = await ask('POST', '/api/v1/sessions', { email, password: PASSWORD });
    return { _id, token: session.accessToken as string };
  };
  const ann = await signUp('ann');
  const bob = await signUp('bob');
  const listener = new RecordingClient(bob._id);
  const start = await hub.connect(listener);
  await hub.release(listener, null, () => {});

  const first = await ask(
    'POST',
    `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob._id}`,
    { content: 'Hello Bob' },
    ann.token,
  );
  expect(first._id).toEqual(expect.any(String));
  const group = await ask('POST', '/api/v1/conversations', { name: 'team', participants: [bob._id] }, ann.token);
  for (let i = 0; i < 5; i++) {
    const url = `/api/v1/conversations/${group._id}/messages`;
    await send('POST', url, { content: `from Ann ${i}` }, ann.token);
    await ask('POST', url, { content: `from Bob ${i}` }, bob.token);
  }
  await ask('PUT', `/api/v1/conversations/${group._id}/read`, { seq: 3 }, bob.token);
  await ask('POST', '/api/v1/users', { email: 'ann@example.org', username: 'somebody' });
  await ask('DELETE', `/api/v1/conversations/${group._id}`, undefined, ann.token);
  // Long enough for leases to be renewed and checkpoints to be stored.
  await pass(clock, 15_000);
  const list = await ask('GET', '/api/v1/conversations', undefined, bob.token);
  const again = new RecordingClient(bob._id);
  await hub.connect(again);
  await hub.release(again, start, () => {});
  await pass(clock, 1_000);
  await ask('DELETE', '/api/v1/sessions/current', undefined, bob.token);
  return { list, live: listener.frames, resumed: again.frames };
}

async function run(seed: string): Promise<Outcome> {
  const clock = manualClock();
  const random = seededRandom(seed);
  const stores = await openMemoryStores({ clock, random });
  const mailer = recordingMailer();
  const closing = new AsyncDisposableStack();
  const { documents, keys, store: events } = stores;
  const ports = { clock, random, logger: silentLogger, telemetry: noTelemetry, secret: SERVER_SECRET };
  const http = {
    publicUrl: 'http://parley.test',
    version: '0.0.0',
    trustProxy: [],
    allowedOrigins: [],
    connectionsPerNetwork: 10_000,
    socketsPerUser: 10,
    anonymousSockets: 100,
    rateLimits: {},
    metricsToken: null,
  };
  const node = await buildNode(
    {
      ...ports,
      events,
      documents,
      keys,
      mailer,
      sharedLimits: createMemoryLimits({ clock }),
      webDocuments: createWebDocuments({ clock }),
    },
    {
      roles: new Set<NodeRole>(['api', 'projections', 'mail']),
      name: 'node',
      singleWriter: true,
      http,
      limits: { signInFailures: 5, mails: { perHour: 2, perDay: 5 } },
      issuers: { discovered: [], pinned: null, audience: null, clients: [] },
    },
    closing,
  );
  // The first turns belong to the leases.
  await pass(clock, 2_000);
  const frames = await converse(node, clock, mailer.mails);
  const records = (await allRecords(events)).map((record) => ({ ...record, revision: String(record.revision) }));
  const outcome = { records, documents: await allDocuments(documents), frames, mails: mailer.mails };
  const closed = closing.disposeAsync();
  await pass(clock, 15_000);
  await closed;
  await stores.close();
  return outcome;
}

it('a whole node on virtual time and a seed leaves the same bytes each time', { timeout: 60_000 }, async () => {
  const [first, second, other] = [await run('seed 1'), await run('seed 1'), await run('seed 2')];
  for (const part of ['records', 'documents', 'frames', 'mails'] as const) {
    expect(JSON.stringify(second[part])).toBe(JSON.stringify(first[part]));
    expect(JSON.stringify(other[part])).not.toBe(JSON.stringify(first[part]));
  }
  // It was a real run.
  const frames = first.frames as Awaited<ReturnType<typeof converse>>;
  expect((first.records as unknown[]).length).toBeGreaterThan(25);
  expect((first.mails as unknown[]).length).toBe(3);
  expect(frames.live.filter((frame) => frame.includes('"message:sent"'))).toHaveLength(11);
  expect(frames.resumed.length).toBeGreaterThan(0);
  expect(frames.list.items).toHaveLength(1);
});
