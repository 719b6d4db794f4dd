import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, Write } from '../../src/ports/documents.ts';
import { put, read, remove } from '../contracts/documents-fixtures.ts';
import { databaseOf, mongodb, mongoPlace } from '../support/mongodb.ts';
import { type MongoProxy, missingForProxy, startMongoProxy, type Verdict } from '../support/mongodb-proxy.ts';
import { service } from '../support/services.ts';

const isAvailable = service(`${mongodb.name}, faults`, missingForProxy);
const UNAVAILABLE = { name: 'StoreError', code: 'UNAVAILABLE' };
const NAME = 'documents';
/** How long the driver searches for a server. */
const SEARCH_MS = 1_500;

describe.skipIf(!isAvailable)('faults of MongoDB', () => {
  const clock = createSystemClock();
  const random = createSystemRandom();
  let proxy: MongoProxy;
  let open: (options?: Readonly<Record<string, string>>, logger?: Logger) => Promise<DocumentStore>;
  let dispose: () => Promise<void>;
  let store: DocumentStore;

  beforeAll(async () => {
    proxy = await startMongoProxy();
    const search = { serverSelectionTimeoutMS: String(SEARCH_MS) };
    const place = mongoPlace((url, options: Readonly<Record<string, string>>, logger: Logger) =>
      openMongoDocuments({ url: proxy.url(databaseOf(url), { ...search, ...options }), clock, random, logger }),
    );
    open = (options = {}, logger = silentLogger) => place.open(options, logger);
    dispose = () => place.dispose();
    store = await open();
    await store.define([{ name: NAME, indexes: [] }]);
  });
  afterEach(() => {
    proxy.judge(() => 'pass');
    proxy.setAway(false);
  });
  afterAll(async () => {
    await dispose?.();
    await proxy?.close();
  });

  /** Applies a verdict to the first command of this name, and passes all others. */
  function once(command: string, verdict: Verdict | Promise<Verdict>): void {
    let isOver = false;
    proxy.judge((each) => {
      if (isOver || !(command in each)) return 'pass';
      isOver = true;
      return verdict;
    });
  }

  const reconnected = () => vi.waitFor(() => store.getMany(NAME, ['x']), { timeout: 15_000, interval: 50 });

  describe('a lost connection', () => {
    it('before a write makes it unavailable, and nothing is written', async () => {
      const write = put(NAME, 'cut before', { n: 1 });
      once('insert', 'cut');
      await expect(store.apply({ writes: [write] })).rejects.toMatchObject(UNAVAILABLE);
      expect(await read(store, NAME, write.id)).toBeUndefined();
      expect(await store.apply({ writes: [write] })).toEqual({ rejected: [] });
    });

    it('before the response to a write makes it unavailable; it is done, and not repeated', async () => {
      const first = put(NAME, 'cut after', { n: 1 });
      once('insert', 'cut answer');
      await expect(store.apply({ writes: [first] })).rejects.toMatchObject(UNAVAILABLE);
      expect(await read(store, NAME, first.id)).toEqual({ id: first.id, position: '01', body: { n: 1 } });
      expect(await store.apply({ writes: [first] })).toEqual({ rejected: [first] });

      const second = put(NAME, first.id, { n: 2 }, { position: '02', guard: '01' });
      once('update', 'cut answer');
      await expect(store.apply({ writes: [second] })).rejects.toMatchObject(UNAVAILABLE);
      expect(await read(store, NAME, first.id)).toEqual({ id: first.id, position: '02', body: { n: 2 } });
      expect(await store.apply({ writes: [second] })).toEqual({ rejected: [second] });
    });

    it('in a batch prevents its last write, while the outcome of the others is unknown', async () => {
      const writes = [put(NAME, 'part', { n: 1 })];
      const last = put(NAME, 'last', {});
      once('insert', 'cut answer');
      await expect(store.apply({ writes, last })).rejects.toMatchObject(UNAVAILABLE);
      expect([...(await store.getMany(NAME, ['part', 'last'])).keys()]).toEqual(['part']);
      // As a projection does: it loads the stored document and overwrites it.
      const again = put(NAME, 'part', { n: 1 }, { position: '01', guard: '01' });
      expect(await store.apply({ writes: [again], last })).toEqual({ rejected: [] });
      expect([...(await store.getMany(NAME, ['part', 'last'])).keys()].sort()).toEqual(['last', 'part']);
    });

    const large = 'y'.repeat(1_500_000);
    it.each<[what: string, writes: readonly Write[], command: string]>([
      [
        'an insert, then an update',
        [put(NAME, 'twice in update', { n: 2 }), put(NAME, 'known', { n: 2 }, { position: '02', guard: '01' })],
        'update',
      ],
      [
        'inserts of more than one command',
        [
          put(NAME, 'twice in insert', { n: 2 }),
          ...Array.from({ length: 12 }, (_, i) => put(NAME, `large${i}`, { large })),
        ],
        'insert',
      ],
    ])('in a later command of a batch leaves no write unreported: %s', async (_what, writes, command) => {
      const twice = `twice in ${command}`;
      const before = [put(NAME, twice, { n: 1 }), put(NAME, 'known', { n: 1 }, { guard: 'older' })];
      await store.apply({ writes: before });
      const sent: string[] = [];
      let isCut = false;
      // The first command is answered with a duplicate key. The connection is lost in the last one, which is not written.
      proxy.judge((each) => {
        const [name = ''] = Object.keys(each);
        if (!['insert', 'update'].includes(name)) return 'pass';
        sent.push(name);
        if (isCut || name !== command || sent.length === 1) return 'pass';
        isCut = true;
        return 'cut';
      });
      const last = put(NAME, `last of ${command}`, {});
      await expect(store.apply({ writes, last })).rejects.toMatchObject(UNAVAILABLE);
      expect(sent).toEqual(['insert', command]);
      proxy.judge(() => 'pass');

      // Nothing was reported as done or rejected: the caller loads the documents, and repeats what is missing.
      const stored = await store.getMany(
        NAME,
        [...writes, last].map(({ id }) => id),
      );
      expect(stored.get(twice)).toMatchObject({ position: '01', body: { n: 1 } });
      expect(stored.has(last.id)).toBe(false);
      const missing = writes.filter(({ id, body }) => !isDeepStrictEqual(stored.get(id)?.body, body));
      expect(missing.length).toBeGreaterThanOrEqual(2);
      expect(missing.length).toBeLessThanOrEqual(writes.length);
      const again = missing.map((write) => ({ ...write, guard: stored.get(write.id)?.position ?? null }));
      expect(await store.apply({ writes: again, last })).toEqual({ rejected: [] });
      for (const { id, body } of writes) expect((await read(store, NAME, id))?.body).toEqual(body);
    });

    it('makes a read unavailable, but not the next one', async () => {
      once('find', 'cut');
      await expect(store.getMany(NAME, ['x'])).rejects.toMatchObject(UNAVAILABLE);
      expect(await store.getMany(NAME, ['x'])).toEqual(new Map());
    });

    it('while writing one of several collections ends the call only when all writes have ended', async () => {
      await store.define([{ name: 'other', indexes: [] }]);
      const [arrived, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      proxy.judge(async (command): Promise<Verdict> => {
        if (command.insert === 'other') {
          arrived.resolve();
          await held.promise;
        }
        if (command.insert === NAME) {
          await arrived.promise;
          return 'cut';
        }
        return 'pass';
      });
      const applied = store.apply({ writes: [put(NAME, 'several', {}), put('other', 'several', {})] });
      let isSettled = false;
      const outcome = Promise.allSettled([applied]).finally(() => {
        isSettled = true;
      });
      await arrived.promise;
      // This uses a new connection: by then, the loss of the other one has been noticed.
      await reconnected();
      expect(isSettled).toBe(false);
      held.resolve();
      expect(await outcome).toMatchObject([{ status: 'rejected', reason: UNAVAILABLE }]);
      expect((await store.getMany('other', ['several'])).size).toBe(1);
    });
  });

  describe('concurrent writes', () => {
    it('are returned as rejected when they were overwritten before their outcome was read', async () => {
      await store.apply({ writes: [put(NAME, 'over', { n: 1 }), put(NAME, 'stale', { n: 1 })] });
      const writes = [
        put(NAME, 'over', { n: 2 }, { position: '02', guard: '01' }),
        put(NAME, 'stale', { n: 2 }, { position: '02', guard: '00' }),
        put(NAME, 'fresh', { n: 2 }, { position: '02' }),
      ];
      const other = await open();
      await other.define([{ name: NAME, indexes: [] }]);
      const later = put(NAME, 'over', { n: 3 }, { position: '03', guard: '02' });
      // Overwrites the first document before the outcome of the first two writes is read.
      proxy.judge(async (command): Promise<Verdict> => {
        if (!('find' in command)) return 'pass';
        proxy.judge(() => 'pass');
        expect(await other.apply({ writes: [later] })).toEqual({ rejected: [] });
        return 'pass';
      });
      expect(await store.apply({ writes })).toEqual({ rejected: writes.slice(0, 2) });
      expect(await read(store, NAME, 'over')).toEqual({ id: 'over', position: '03', body: { n: 3 } });
    });
  });

  describe('a slow server', () => {
    it('is unavailable when a response takes too long, and available again afterwards', async () => {
      const slow = await open({ socketTimeoutMS: '1000' });
      await slow.define([{ name: NAME, indexes: [] }]);
      const answer = Promise.withResolvers<Verdict>();
      once('find', answer.promise);
      await expect(slow.getMany(NAME, ['x'])).rejects.toMatchObject(UNAVAILABLE);
      answer.resolve('cut');
      expect(await vi.waitFor(() => slow.getMany(NAME, ['x']), { timeout: 15_000 })).toEqual(new Map());
    });

    it('is awaited by a store that is being closed', async () => {
      const closing = await open();
      await closing.define([{ name: NAME, indexes: [] }]);
      const [arrived, held] = [Promise.withResolvers<void>(), Promise.withResolvers<Verdict>()];
      proxy.judge((command) => {
        if (!('insert' in command)) return 'pass';
        arrived.resolve();
        return held.promise;
      });
      const applied = closing.apply({ writes: [put(NAME, 'at the end', {})] });
      await arrived.promise;
      const closed = closing.close();
      await expect(closing.getMany(NAME, ['x'])).rejects.toMatchObject({ code: 'CLOSED' });
      held.resolve('pass');
      expect(await applied).toEqual({ rejected: [] });
      await closed;
    });
  });

  describe('a server that cannot be reached', () => {
    it('makes every call unavailable until it can be reached again', async () => {
      proxy.setAway(true);
      const calls = [
        store.getMany(NAME, ['x']),
        store.find(NAME, { filter: {}, limit: 1 }),
        store.count(NAME, {}, 1),
        store.apply({ writes: [put(NAME, 'away', {})] }),
        store.apply({ writes: [remove(NAME, 'away', '02')] }),
        store.define([{ name: 'another', indexes: [] }]),
        store.drop(NAME),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
      }
      proxy.setAway(false);
      await reconnected();
      expect(await store.apply({ writes: [put(NAME, 'away', {})] })).toEqual({ rejected: [] });
    });

    it('does not prevent opening a store', async () => {
      proxy.setAway(true);
      const lines: string[] = [];
      const note = (_fields: object, message: string) => lines.push(message);
      const early = await open({}, { ...silentLogger, info: note, warn: note });
      await expect(early.define([{ name: NAME, indexes: [] }])).rejects.toMatchObject(UNAVAILABLE);
      proxy.setAway(false);
      await vi.waitFor(() => early.define([{ name: NAME, indexes: [] }]), { timeout: 15_000, interval: 50 });
      expect(lines).toEqual(['connected to MongoDB']);
      proxy.setAway(true);
      await expect(early.getMany(NAME, ['x'])).rejects.toMatchObject(UNAVAILABLE);
      proxy.setAway(false);
      await vi.waitFor(() => early.getMany(NAME, ['x']), { timeout: 15_000, interval: 50 });
      expect(lines).toEqual(['connected to MongoDB', 'MongoDB cannot be reached', 'connected to MongoDB']);
      await early.close();
      expect(lines).toHaveLength(3);
    });
  });

  describe('the key store', () => {
    it('stores a key whose response was lost, and returns it when it is created again', async () => {
      const place = mongoPlace((url) =>
        openMongoKeys({ url: proxy.url(databaseOf(url)), secret: randomBytes(32), random, logger: silentLogger }),
      );
      const keys = await place.open();
      once('insert', 'cut answer');
      await expect(keys.create('kind/a', Buffer.from('first'))).rejects.toMatchObject(UNAVAILABLE);
      expect(Buffer.from((await keys.create('kind/a', Buffer.from('second'))) ?? []).toString()).toBe('first');
      once('update', 'cut answer');
      await expect(keys.destroy('kind/a')).rejects.toMatchObject(UNAVAILABLE);
      expect(await keys.get('kind/a')).toBeNull();
      await keys.destroy('kind/a');
      await place.dispose();
    });
  });
});
