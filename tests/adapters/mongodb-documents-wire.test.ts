import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Filter, Sort } from '../../src/kernel/query.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { fill, put, remove } from '../contracts/documents-fixtures.ts';
import { databaseOf, mongodb, mongoPlace } from '../support/mongodb.ts';
import { type MongoProxy, missingForProxy, startMongoProxy } from '../support/mongodb-proxy.ts';
import { service } from '../support/services.ts';

const isAvailable = service(`${mongodb.name}, commands sent to it`, missingForProxy);
const NAME = 'documents';
const random = createSystemRandom();
const INDEXES = [{ fields: ['a', 'b'] }, { fields: ['b'], array: 'tags' }];

describe.skipIf(!isAvailable)('the commands sent to MongoDB', () => {
  let proxy: MongoProxy;
  let database: string;
  let store: DocumentStore;
  let dispose: () => Promise<void>;
  let sent: Document[] = [];

  beforeAll(async () => {
    proxy = await startMongoProxy();
    const clock = createSystemClock();
    // Options that must not have any effect.
    const weaker = { w: '1', journal: 'false', readConcernLevel: 'local', readPreference: 'secondaryPreferred' };
    const place = mongoPlace((url) => {
      database = databaseOf(url);
      return openMongoDocuments({ url: proxy.url(database, weaker), clock, random, logger: silentLogger });
    });
    store = await place.open();
    dispose = () => place.dispose();
    await store.define([{ name: NAME, indexes: INDEXES }]);
    const bodies = Array.from({ length: 600 }, (_, i) => ({
      a: i % 2,
      b: i % 5 === 0 ? `text ${i}` : i % 50,
      tags: [`t${i % 3}`],
    }));
    await fill(store, NAME, Object.fromEntries(bodies.map((body, i) => [`id${i}`, body])));
  });
  beforeEach(() => {
    sent = [];
    proxy.judge((command) => {
      sent.push(command);
      return 'pass';
    });
  });
  afterAll(async () => {
    await dispose?.();
    await proxy?.close();
  });

  const ofName = (name: string) => sent.filter((command) => name in command);

  it('require a majority, regardless of the connection string', async () => {
    await store.apply({
      writes: [put(NAME, 'x', {}), put(NAME, 'y', {}, { guard: 'older' }), remove(NAME, 'z', '01')],
    });
    await store.define([{ name: NAME, indexes: INDEXES }]);
    await store.define([{ name: 'dropped', indexes: [] }]);
    await store.drop('dropped');
    for (const name of ['insert', 'update', 'createIndexes', 'drop']) {
      expect(ofName(name).map(({ writeConcern }) => writeConcern.w)).toContain('majority');
      expect(ofName(name).every(({ writeConcern: { w, j } }) => w === 'majority' && j !== false)).toBe(true);
    }
    await store.getMany(NAME, ['x']);
    await store.find(NAME, { filter: { a: 1 }, sort: { fields: ['b'], direction: 'asc' }, limit: 1 });
    await store.count(NAME, { a: 1 }, 1);
    for (const name of ['find', 'aggregate']) {
      expect(ofName(name).length).toBeGreaterThan(0);
      for (const { readConcern, $readPreference } of ofName(name)) {
        expect(readConcern).toEqual({ level: 'majority' });
        expect($readPreference?.mode ?? 'primary').toMatch(/^primary/);
      }
    }
  });

  it('do not use transactions', async () => {
    const writes = [put(NAME, 'no transaction', {}), put(NAME, 'nor two', {}, { guard: '00' })];
    await store.apply({ writes, last: put(NAME, 'last', {}) });
    expect(ofName('insert').length).toBeGreaterThan(0);
    expect(sent.filter((command) => 'startTransaction' in command)).toEqual([]);
  });

  const namesSent = () => sent.flatMap((command) => ('hello' in command ? [] : Object.keys(command).slice(0, 1)));

  it('are one for each read, also when every document is found and the page is full', async () => {
    const ids = Array.from({ length: 300 }, (_, i) => `id${i}`);
    expect((await store.getMany(NAME, ids)).size).toBe(300);
    expect((await store.getMany(NAME, ['id0'])).size).toBe(1);
    const sort = { fields: ['b'], direction: 'asc' } as const;
    for (const limit of [1, 200, 299, 300, 301]) await store.find(NAME, { filter: { a: 1 }, sort, limit });
    expect(await store.count(NAME, { a: 1 }, 200)).toBe(200);
    expect(namesSent()).toEqual([...Array(7).fill('find'), 'aggregate']);
  });

  it('are two for writes of which some do not match, whatever their number', async () => {
    const ids = Array.from({ length: 250 }, (_, i) => `guarded${i}`);
    await store.apply({ writes: ids.map((id) => put(NAME, id, {})) });
    sent = [];
    const writes = ids.map((id, i) => put(NAME, id, {}, { position: '02', guard: i === 7 ? '00' : '01' }));
    expect(await store.apply({ writes })).toEqual({ rejected: [writes[7]] });
    expect(namesSent()).toEqual(['update', 'find']);
  });

  it('find the document of each write by its id, never by the index over tombstones', async () => {
    await store.apply({ writes: [put(NAME, 'exists', {}), put(NAME, 'removed', {})] });
    await store.apply({
      writes: [
        put(NAME, 'exists', {}),
        remove(NAME, 'removed', '03', '01'),
        put(NAME, 'other', {}, { guard: 'older' }),
        remove(NAME, 'another', '01'),
      ],
    });
    const updates = sent.filter((command) => 'update' in command).flatMap((command) => command.updates);
    expect(updates).toHaveLength(4);
    for (const { hint, q } of updates)
      expect({ hint, q }).toMatchObject({ hint: '_id_', q: { _id: expect.any(String) } });
  });

  it('store the keys in a separate database', async () => {
    const keys = await openMongoKeys({
      url: proxy.url(database),
      secret: new Uint8Array(32),
      random,
      logger: silentLogger,
    });
    await keys.create('kind/a', Uint8Array.of(1));
    await keys.close();
    expect(ofName('insert').map(({ $db }) => $db)).toEqual([`${database}-keys`]);
  });

  it('read several keys with a single command', async () => {
    const keys = await openMongoKeys({
      url: proxy.url(database),
      secret: new Uint8Array(32),
      random,
      logger: silentLogger,
    });
    const names = Array.from({ length: 200 }, (_, i) => `several/${i}`);
    await Promise.all(names.map((name) => keys.create(name, Uint8Array.of(1))));
    sent = [];
    expect((await keys.getMany(names)).size).toBe(200);
    await keys.close();
    expect(ofName('find')).toHaveLength(1);
    expect(ofName('getMore')).toEqual([]);
  });

  const realUrl = process.env.MONGODB_URL;
  const isReal = service('MongoDB, query plans', realUrl ? null : 'MONGODB_URL is not set');
  const up = (...fields: string[]): Sort => ({ fields, direction: 'asc' });
  const down = (...fields: string[]): Sort => ({ fields, direction: 'desc' });

  it.skipIf(!isReal).each<readonly [Filter, Sort]>([
    [{}, up()],
    [{}, down()],
    [{ _id: { gt: 'id2' } }, up()],
    [{ a: 1 }, up('b')],
    [{ a: 1 }, down('b')],
    [{ a: 1, b: 7 }, up()],
    [{ a: 1, b: { gte: 7 } }, up('b')],
    [{ a: 1, b: { lt: 'text 9' } }, down('b')],
    [{}, up('a', 'b')],
    [{}, down('a', 'b')],
    [{ tags: { contains: 't1' } }, up('b')],
    [{ tags: { contains: 't1' } }, down('b')],
  ])('read only the documents of each page: %j sorted by %j', async (filter, sort) => {
    await using client = new MongoClient(realUrl ?? '');
    const limit = 10;
    let after: string | undefined;
    for (let page = 0; page < 4; page++) {
      sent = [];
      const found = await store.find(NAME, { filter, sort, limit, ...(after === undefined ? {} : { after }) });
      const [{ find, filter: asked, sort: order, hint, limit: most } = {}] = ofName('find');
      const explain = { find, filter: asked, sort: order, hint, limit: most };
      const explained = await client.db(database).command({ explain, verbosity: 'executionStats' });
      expect(JSON.stringify(explained.queryPlanner?.winningPlan)).not.toMatch(/"(?:COLLSCAN|SORT)"/);
      expect(explained.executionStats.totalDocsExamined).toBeLessThanOrEqual(limit + 1 + 8);
      if (found.next === null) break;
      after = found.next;
    }
  });
});
