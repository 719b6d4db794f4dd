import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import type { DocumentStore, WriteBatch } from '../../src/ports/documents.ts';
import { faultyDocuments } from '../projections/support.ts';
import {
  type Asking,
  expectProblem,
  group,
  type Person,
  read,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';
import { open } from '../support/live.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';
import { service } from '../support/services.ts';
import { system } from '../support/stores.ts';

/** Messages in the log: more than a projection writes at once. */
const MESSAGES = 2_000;

type Held = Readonly<{
  documents: DocumentStore;
  /** Resolves once a projection waits. */
  halfway: Promise<void>;
  /** Lets the projections go on: those of these names, or all. */
  release(...names: readonly string[]): void;
}>;

/** A store in which projections are held: `messages` after its first documents, the others before theirs. */
function heldDocuments(documents: DocumentStore): Held {
  const free = new Set<string>();
  const halfway = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  let isFree = false;
  let parts = 0;
  const mayWrite = ({ writes }: WriteBatch): boolean => {
    const [name = '', generation] = writes[0]?.collection.split('.') ?? [];
    if (generation === undefined || isFree || free.has(name)) return true;
    return name === 'messages' && parts++ === 0;
  };
  const store = faultyDocuments(documents, () => 'none');
  return {
    documents: {
      ...store,
      async apply(batch) {
        if (!mayWrite(batch)) {
          halfway.resolve();
          await new Promise<void>((resolve) => {
            const check = (): void => {
              if (!mayWrite(batch)) return;
              waiting.delete(check);
              resolve();
            };
            waiting.add(check);
          });
        }
        return store.apply(batch);
      },
    },
    halfway: halfway.promise,
    release(...names) {
      for (const name of names) free.add(name);
      isFree ||= names.length === 0;
      for (const check of [...waiting]) check();
    },
  };
}

/** A folder with an event log of some thousand events, and two people in it. */
async function writeLog(folder: string): Promise<{ ada: Person; bob: Person; team: string }> {
  const server = await startServer({ folder });
  const [ada, bob] = [await signUp(server, 'ada'), await signUp(server, 'bob')];
  const team = await group(server, ada, bob);
  const url = `/api/v1/conversations/${team}/messages`;
  await Promise.all(
    Array.from({ length: MESSAGES }, (_, i) =>
      server.ask(ada, { method: 'POST', url, payload: { content: `message ${i}` } }),
    ),
  );
  const direct = `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`;
  await server.ask(ada, { method: 'POST', url: direct, payload: { content: 'to you alone' } });
  await server.close();
  return { ada, bob, team };
}

const engines = [
  { name: 'embedded', available: true, open: async () => (embedded: DocumentStore) => embedded },
  {
    name: mongodb.name,
    available: service(mongodb.name, mongodb.available === true ? null : mongodb.available),
    open: async () => {
      const place = mongoPlace((url) => openMongoDocuments({ url, ...system }));
      onTestFinished(() => place.dispose());
      const documents = await place.open();
      return () => documents;
    },
  },
];

describe.each(engines.filter(({ available }) => available))('read models in $name that are not built yet', (engine) => {
  it('answer every query with 503, and with all there is once they are complete', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'parley-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const { ada, bob, team } = await writeLog(folder);
    for (const file of ['documents.db', 'documents.db-wal', 'documents.db-shm'])
      rmSync(join(folder, file), { force: true });
    const choose = await engine.open();
    let held: Held | undefined;
    const server = await startServer({
      folder,
      documents: (embedded) => {
        held = heldDocuments(choose(embedded));
        return held.documents;
      },
    });
    onTestFinished(async () => {
      held?.release();
      await server.close();
    });
    await held?.halfway;

    const conversation = `/api/v1/conversations/${team}`;
    const direct = { otherUserId: ada.userId };
    const queries: readonly Asking[] = [
      { method: 'GET', url: '/api/v1/users' },
      { method: 'GET', url: '/api/v1/users', query: { search: 'a' } },
      { method: 'GET', url: `/api/v1/users/${ada.userId}` },
      { method: 'GET', url: '/api/v1/conversations' },
      { method: 'GET', url: conversation },
      { method: 'GET', url: `${conversation}/members` },
      { method: 'GET', url: `${conversation}/messages` },
      { method: 'GET', url: `${conversation}/messages/0198c0de-0000-7000-8000-000000000000` },
      { method: 'POST', url: '/api/v1/chat/convo/one-to-one', query: direct },
      { method: 'GET', url: '/api/v1/chat/convo/one-to-one/message', query: direct },
    ];
    const refused = async (asking: Asking): Promise<void> => {
      const answer = await server.ask(bob, asking);
      expectProblem(answer, 503, 'not-yet-visible');
      expect(answer.headers['retry-after'], asking.url).toMatch(/^[1-9]\d*$/);
    };
    for (const query of queries) await refused(query);
    const live = await open(server);
    expect(await live.request({ type: 'auth', token: bob.accessToken })).toMatchObject({
      ok: false,
      problem: { status: 503, code: 'not-yet-visible' },
      retryAfter: expect.any(Number),
    });
    expect((await server.ask(bob, { method: 'GET', url: '/api/v1/users/me' })).json).toMatchObject({ _id: bob.userId });

    // All but the messages: the latest are in the conversation, the others are not there yet.
    held?.release('users', 'conversations', 'memberships');
    await untilReadable(server, bob, '/api/v1/conversations');
    expect((await server.ask(bob, { method: 'GET', url: `${conversation}/messages` })).json.items).toHaveLength(10);
    await refused({ method: 'GET', url: `${conversation}/messages`, query: { limit: '50' } });
    await refused({ method: 'GET', url: `${conversation}/messages`, query: { after: '0' } });

    held?.release();
    const page = await read(server, bob, `${conversation}/messages`, { query: { after: '0', limit: '100' } });
    expect(page.json.items.map(({ seq }: { seq: number }) => seq)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    for (const query of queries) {
      const status = query.url.endsWith('000000000000') ? 404 : 200;
      expect((await server.ask(bob, query)).status, query.url).toBe(status);
    }
    expect(await live.request({ type: 'auth', token: bob.accessToken })).toMatchObject({ ok: true });
  }, 60_000);

  it('answer at once when the log is new and empty', async () => {
    const choose = await engine.open();
    let held: Held | undefined;
    const server = await startServer({
      documents: (embedded) => {
        held = heldDocuments(choose(embedded));
        return held.documents;
      },
    });
    onTestFinished(async () => {
      held?.release();
      await server.close();
    });
    const eve = await signUp(server, 'eve');
    const answer = await server.ask(eve, { method: 'GET', url: '/api/v1/conversations' });
    expect([answer.status, answer.json]).toEqual([200, { items: [], next: null }]);
  });
});

/** Waits until a query is answered. */
async function untilReadable(server: Server, person: Person, url: string): Promise<void> {
  while ((await server.ask(person, { method: 'GET', url })).status !== 200) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
