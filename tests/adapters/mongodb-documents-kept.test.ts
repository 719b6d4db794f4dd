import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, Guard, Write } from '../../src/ports/documents.ts';
import { fill, idsOf, put, remove } from '../contracts/documents-fixtures.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';
import { service } from '../support/services.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;
const random = createSystemRandom();
const isAvailable = service(mongodb.name, mongodb.available === true ? null : mongodb.available);

describe.skipIf(!isAvailable)('documents in MongoDB', () => {
  const clock: ManualClock = manualClock(Date.now());
  const place = mongoPlace(async (url) => {
    client = new MongoClient(url);
    return openMongoDocuments({ url, clock, random, logger: silentLogger });
  });
  let store: DocumentStore;
  let client: MongoClient;
  beforeAll(async () => {
    store = await place.open();
  });
  afterAll(async () => {
    await client.close();
    await place.dispose();
  });

  async function kept(name: string, id: string): Promise<Document> {
    const collection = client.db().collection<Document & { _id: string }>(name);
    return (await collection.findOne({ _id: id })) ?? {};
  }

  it('are stored with their bodies as plain documents, which other programs can read', async () => {
    await store.define([{ name: 'shapes', indexes: [] }]);
    await store.apply({ writes: [put('shapes', 'a', { n: 1, in: { list: ['x', 0.5] } }, { position: '07' })] });
    const { batch, ...rest } = await kept('shapes', 'a');
    expect(rest).toEqual({ _id: 'a', position: '07', body: { n: 1, in: { list: ['x', 0.5] } } });
    expect(String(batch)).toMatch(/^[0-9a-f]{24}$/);
  });

  it('leave a tombstone without a body, which the server purges after more than a day', async () => {
    await store.define([{ name: 'deleted', indexes: [{ fields: ['n'] }] }]);
    await store.apply({ writes: [put('deleted', 'a', { n: 1 }), remove('deleted', 'b', '02')] });
    await store.apply({ writes: [remove('deleted', 'a', '02', '01')] });
    const { batch: _, ...rest } = await kept('deleted', 'a');
    expect(rest).toEqual({ _id: 'a', position: '02', deletedAt: new Date(clock.now()) });
    const indexes = await client.db().collection('deleted').indexes();
    const purging = indexes.filter(({ key }) => 'deletedAt' in key);
    expect(purging).toMatchObject([{ key: { deletedAt: 1 }, sparse: true }]);
    expect(purging[0]?.expireAfterSeconds).toBeGreaterThan(DAY_MS / 1_000);
  });

  it('have an index for each declared one, which ends with the id', async () => {
    const indexes = [{ fields: ['a', 'b.c'] }, { fields: ['a'], array: 'tags' }];
    await store.define([{ name: 'indexed', indexes }]);
    await store.define([{ name: 'indexed', indexes: [{ fields: ['b.c'] }, ...indexes] }]);
    const made = await client.db().collection('indexed').indexes();
    const keys = made.map(({ key }) => Object.keys(key)).filter(([first]) => first?.startsWith('body.'));
    expect(keys).toEqual([
      ['body.a', 'body.b.c', '_id'],
      ['body.tags', 'body.a', '_id'],
      ['body.b.c', '_id'],
    ]);
  });

  it.each(['system.users', 'a.system.b', '.a', 'a.', 'a..b', '.', 'A', 'a', '0', '-', '@'])(
    'can be in a collection named %j, even if MongoDB does not allow the name',
    async (name) => {
      await store.define([{ name, indexes: [{ fields: ['n'] }] }]);
      await store.drop(name);
      await store.define([{ name, indexes: [{ fields: ['n'] }] }]);
      await fill(store, name, { [name]: { n: 1 } });
      expect(await idsOf(store, name, { filter: { n: 1 } })).toEqual([name]);
    },
  );

  describe('in one batch', () => {
    const guards: readonly Guard[] = [null, 'older', '04', '05', '06'];
    const befores = ['absent', 'at 05', 'deleted at 05', 'expired'] as const;
    const cases = befores.flatMap((before) =>
      guards.flatMap((guard) =>
        ['04', '05', '06'].flatMap((position) => [true, false].map((isPut) => ({ before, guard, position, isPut }))),
      ),
    );
    const idOf = (index: number) => `id${index}`;

    const idsThat = (wanted: (typeof befores)[number]) =>
      cases.flatMap(({ before }, i) => (before === wanted ? [idOf(i)] : []));

    async function prepare(names: readonly string[]): Promise<void> {
      const eachId = (before: (typeof befores)[number], write: (name: string, id: string) => Write) =>
        store.apply({ writes: names.flatMap((name) => idsThat(before).map((id) => write(name, id))) });
      await store.define(names.map((name) => ({ name, indexes: [] })));
      await eachId('expired', (name, id) => remove(name, id, '05'));
      await clock.advance(DAY_MS);
      await eachId('deleted at 05', (name, id) => remove(name, id, '05'));
      await eachId('at 05', (name, id) => put(name, id, { old: true }, { position: '05' }));
    }

    it('are written and rejected exactly as in single batches', async () => {
      const writesTo = (name: string): Write[] =>
        cases.map(({ guard, position, isPut }, i) =>
          isPut ? put(name, idOf(i), { new: i }, { position, guard }) : remove(name, idOf(i), position, guard),
        );
      const [together, single] = ['together', 'single'];
      await prepare([together, single]);
      const { rejected } = await store.apply({ writes: writesTo(together) });
      const rejectedIds: string[] = [];
      for (const write of writesTo(single)) {
        for (const { id } of (await store.apply({ writes: [write] })).rejected) rejectedIds.push(id);
      }
      expect(rejectedIds.length).toBeGreaterThan(0);
      expect(rejected.map(({ id }) => id)).toEqual(rejectedIds);
      const all = cases.map((_, i) => idOf(i));
      expect(await store.getMany(together, all)).toEqual(await store.getMany(single, all));
    });
  });
});

describe('a connection string', () => {
  const clock = manualClock();
  const open = (url: string) => [
    openMongoDocuments({ url, clock, random, logger: silentLogger }),
    openMongoKeys({ url, secret: new Uint8Array(32), random, logger: silentLogger }),
  ];

  it.each([
    'http://user:secret@localhost',
    'mongodb://user:secret@localhost/?noSuchOption=1',
    'mongodb://user:secret@localhost:99999',
    'mongodb://user:sec/ret@localhost',
    'mongodb://user:secret@[localhost',
    'mongodb://',
    '',
  ])('is rejected when it is invalid, without the password in the message: %j', async (url) => {
    for (const outcome of await Promise.allSettled(open(url))) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'StoreError', code: 'INVALID' } });
      expect(
        outcome.status === 'rejected' && JSON.stringify([String(outcome.reason), outcome.reason.cause]),
      ).not.toMatch(/sec.?ret/);
    }
  });

  it.each([
    ['x'.repeat(59), 'it has 59 bytes, and at most 58 are allowed'],
    [encodeURIComponent('ü'.repeat(30)), 'it has 60 bytes, and at most 58 are allowed'],
    ['a.b', 'it contains "."'],
    ['a%2Fb', 'it contains "/"'],
    ['a%5Cb', 'it contains "\\\\"'],
    ['a%20b', 'it contains " "'],
    ['a$b', 'it contains "$"'],
    ['a%22b', 'it contains "\\""'],
    ['a%00b', 'it contains "\\u0000"'],
    ['admin', 'it is reserved by MongoDB'],
    ['Local', 'it is reserved by MongoDB'],
    ['config', 'it is reserved by MongoDB'],
  ])('is rejected before connecting when the database cannot be named %j', async (name, reason) => {
    for (const outcome of await Promise.allSettled(open(`mongodb://user:secret@localhost/${name}?w=1`))) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'StoreError', code: 'INVALID' } });
      expect(outcome.status === 'rejected' && outcome.reason.message).toContain(
        `invalid database name in the connection string of MongoDB: ${reason}`,
      );
    }
  });

  it.each(['x'.repeat(58), encodeURIComponent('ü'.repeat(29)), 'parley-2_ü', '', '%7e'])(
    'may name the database %j',
    async (name) => {
      const stores = await Promise.all(open(`mongodb://localhost/${name}`));
      await Promise.all(stores.map((store) => store.close()));
    },
  );
});
