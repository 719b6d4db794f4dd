import { type Document, MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { fill, idsOf, put, remove } from '../contracts/documents-fixtures.ts';
import { databaseOf, mongodb, mongoPlace } from '../support/mongodb.ts';
import { type MongoProxy, missingForProxy, startMongoProxy, type Verdict } from '../support/mongodb-proxy.ts';
import { service } from '../support/services.ts';

const isAvailable = service(`${mongodb.name}, indexes`, missingForProxy);
const clock = createSystemClock();
const random = createSystemRandom();
const INDEXES = [{ fields: ['a', 'b'] }, { fields: ['b'], array: 'tags' }, { fields: ['c'] }];
const EXPIRY_S = 90_000;
const PURGING = { key: { deletedAt: 1 }, sparse: true, expireAfterSeconds: EXPIRY_S };

/** What an earlier version created for `INDEXES`: names were the fields, joined by two dots. */
const EARLIER = [
  { ...PURGING, name: 'tombstones' },
  { name: 'a..b', key: { 'body.a': 1, 'body.b': 1, _id: 1 } },
  { name: 'tags..b', key: { 'body.tags': 1, 'body.b': 1, _id: 1 } },
  { name: 'c', key: { 'body.c': 1, _id: 1 } },
] as const;

describe.skipIf(!isAvailable)('the indexes of documents in MongoDB', () => {
  let proxy: MongoProxy;
  let client: MongoClient;
  let open: () => Promise<DocumentStore>;
  let dispose: () => Promise<void>;
  let sent: Document[] = [];

  const record = (command: Document): 'pass' => {
    sent.push(command);
    return 'pass';
  };

  beforeAll(async () => {
    proxy = await startMongoProxy();
    const place = mongoPlace((url) => {
      client ??= new MongoClient(url);
      return openMongoDocuments({ url: proxy.url(databaseOf(url)), clock, random, logger: silentLogger });
    });
    open = () => place.open();
    dispose = async () => {
      await client?.close();
      await place.dispose();
    };
    await open();
  });
  afterEach(() => {
    proxy.judge(() => 'pass');
    sent = [];
  });
  afterAll(async () => {
    await dispose?.();
    await proxy?.close();
  });

  const indexesOf = async (name: string) =>
    (await client.db().collection(name).indexes()).map(({ v: _, ...rest }) => rest);
  const namesOf = async (name: string) => (await indexesOf(name)).map((index) => index.name).sort();

  async function expectQueries(store: DocumentStore, name: string): Promise<void> {
    expect(await idsOf(store, name, { filter: { a: 1, b: 2 } })).toEqual(['x']);
    expect(await idsOf(store, name, { filter: { tags: { contains: 't' }, b: 2 } })).toEqual(['x']);
    expect(await store.count(name, { c: 3 }, 10)).toBe(1);
  }
  const BODY = { a: 1, b: 2, c: 3, tags: ['t'] };

  it('of a new collection are created by one command, and have names that MongoDB does not reserve', async () => {
    const store = await open();
    proxy.judge(record);
    await store.define([{ name: 'new', indexes: [...INDEXES, { fields: ['_id_'] }, { fields: ['*'] }] }]);
    expect(sent.filter((command) => !('hello' in command)).map((command) => Object.keys(command)[0])).toEqual([
      'createIndexes',
    ]);
    const names = ['_id_', 'by:*', 'by:_id_', 'by:a..b', 'by:c', 'each:tags..b', 'tombstones'];
    expect(await namesOf('new')).toEqual(names);
    await fill(store, 'new', { x: BODY });
    await expectQueries(store, 'new');
  });

  it('of an earlier version are used as they are: none is dropped, and queries always have one', async () => {
    const name = 'earlier';
    await client
      .db()
      .collection(name)
      .createIndexes([...EARLIER]);
    const stores = [await open(), await open()];
    proxy.judge(record);
    await Promise.all(stores.map((store) => store.define([{ name, indexes: INDEXES }])));
    const changes = sent.filter((command) => ['dropIndexes', 'collMod', 'drop'].some((change) => change in command));
    expect(changes).toEqual([]);
    expect(await namesOf(name)).toEqual(['_id_', ...EARLIER.map((index) => index.name)].sort());
    const [first, second] = stores as [DocumentStore, DocumentStore];
    await fill(first, name, { x: BODY });
    await expectQueries(second, name);

    // A new index next to them, over a field whose earlier name was that of another one.
    await second.define([{ name, indexes: [{ fields: ['tombstones'] }, { fields: ['d'] }] }]);
    expect(await namesOf(name)).toEqual(
      ['_id_', 'by:d', 'by:tombstones', ...EARLIER.map((index) => index.name)].sort(),
    );
    await expectQueries(second, name);
  });

  it('get another name when an earlier version used theirs for another key', async () => {
    const name = 'used';
    await client
      .db()
      .collection(name)
      .createIndexes([{ name: 'by:c', key: { 'body.by:c': 1, _id: 1 } }]);
    const stores = [await open(), await open()];
    await Promise.all(stores.map((store) => store.define([{ name, indexes: INDEXES }])));
    expect(await namesOf(name)).toEqual(['_id_', 'by:a..b', 'by:c', "by:c'", 'each:tags..b', 'tombstones']);
    for (const store of stores) {
      await store.apply({ writes: [put(name, 'x', BODY, { guard: 'older' })] });
      await expectQueries(store, name);
    }
  });

  describe('over tombstones', () => {
    const purgingOf = async (name: string) => (await indexesOf(name)).filter(({ key }) => 'deletedAt' in key);
    const withExpiry = (expireAfterSeconds: number) => [{ ...EARLIER[0], expireAfterSeconds }, ...EARLIER.slice(1)];

    it('get the expiry of this version, even if two nodes change it', async () => {
      const name = 'expiry';
      await client.db().collection(name).createIndexes(withExpiry(3_600));
      const stores = [await open(), await open()];
      proxy.judge(record);
      await Promise.all(stores.map((store) => store.define([{ name, indexes: INDEXES }])));
      expect(await purgingOf(name)).toEqual([{ ...PURGING, name: 'tombstones' }]);
      const changes = sent.filter((command) => 'collMod' in command);
      expect(changes.length).toBeGreaterThan(0);
      for (const { writeConcern } of changes) expect(writeConcern).toMatchObject({ w: 'majority' });

      sent = [];
      await stores[0]?.define([{ name, indexes: INDEXES }]);
      expect(sent.filter((command) => 'collMod' in command)).toEqual([]);
    });

    it('get it also when they have another name', async () => {
      const name = 'renamed';
      await client
        .db()
        .collection(name)
        .createIndexes([{ ...PURGING, name: 'other', expireAfterSeconds: 1 }]);
      await (await open()).define([{ name, indexes: [{ fields: ['tombstones'] }] }]);
      expect(await purgingOf(name)).toEqual([{ ...PURGING, name: 'other' }]);
    });

    it.each(['the index', 'the collection'])('are created when %s was dropped before the change', async (what) => {
      const name = `dropped with ${what}`.replaceAll(' ', '-');
      const collection = client.db().collection(name);
      await collection.createIndexes([{ ...PURGING, name: 'purging', expireAfterSeconds: 3_600 }]);
      const store = await open();
      let isOver = false;
      proxy.judge(async (command): Promise<Verdict> => {
        if (!('collMod' in command) || isOver) return 'pass';
        isOver = true;
        await (what === 'the index' ? collection.dropIndex('purging') : collection.drop());
        return 'pass';
      });
      await store.define([{ name, indexes: INDEXES }]);
      expect(isOver).toBe(true);
      expect(await purgingOf(name)).toEqual([{ ...PURGING, name: 'purging' }]);
      await fill(store, name, { x: BODY });
      await expectQueries(store, name);
    });
  });

  it('are rejected after five attempts when another program changes them each time', async () => {
    const name = 'contested';
    const collection = client.db().collection(name);
    const store = await open();
    proxy.judge(async (command): Promise<Verdict> => {
      record(command);
      if (!('createIndexes' in command)) return 'pass';
      const { length: expireAfterSeconds } = sent.filter((each) => 'createIndexes' in each);
      if (expireAfterSeconds === 1) {
        await collection.createIndexes([{ ...PURGING, name: 'tombstones', expireAfterSeconds }]);
      } else {
        await client.db().command({ collMod: name, index: { name: 'tombstones', expireAfterSeconds } });
      }
      return 'pass';
    });
    await expect(store.define([{ name, indexes: [] }])).rejects.toMatchObject({ name: 'StoreError', code: 'INVALID' });
    expect(sent.filter((command) => 'createIndexes' in command)).toHaveLength(5);
  });

  it('do not affect the order of concurrent definitions of a new collection', async () => {
    const name = 'concurrent';
    const stores = await Promise.all(Array.from({ length: 4 }, () => open()));
    await Promise.all(stores.map((store) => store.define([{ name, indexes: INDEXES }])));
    expect(await namesOf(name)).toEqual(['_id_', 'by:a..b', 'by:c', 'each:tags..b', 'tombstones']);
    await fill(stores[0] as DocumentStore, name, { x: BODY });
    await (stores[1] as DocumentStore).apply({ writes: [remove(name, 'y', '01')] });
    for (const store of stores) await expectQueries(store, name);
  });
});
