import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { put, read, remove } from '../contracts/documents-fixtures.ts';
import { databaseOf, mongodb, mongoPlace } from '../support/mongodb.ts';
import { type MongoProxy, missingForProxy, startMongoProxy, type Verdict } from '../support/mongodb-proxy.ts';
import { service } from '../support/services.ts';

const isThere = service(`${mongodb.name}, cut and slow`, missingForProxy);
const UNAVAILABLE = { name: 'StoreError', code: 'UNAVAILABLE' };
const NAME = 'documents';
/** How long the driver looks for a server. */
const SEARCH_MS = 1_500;

describe.skipIf(!isThere)('MongoDB that fails', () => {
  const clock = createSystemClock();
  let proxy: MongoProxy;
  let open: (options?: Readonly<Record<string, string>>, logger?: Logger) => Promise<DocumentStore>;
  let dispose: () => Promise<void>;
  let store: DocumentStore;

  beforeAll(async () => {
    proxy = await startMongoProxy();
    const search = { serverSelectionTimeoutMS: String(SEARCH_MS) };
    const place = mongoPlace((url, options: Readonly<Record<string, string>>, logger: Logger) =>
      openMongoDocuments({ url: proxy.url(databaseOf(url), { ...search, ...options }), clock, logger }),
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

  /** Judges the first command of this name, and lets all others pass. */
  function once(command: string, verdict: Verdict | Promise<Verdict>): void {
    let isOver = false;
    proxy.judge((each) => {
      if (isOver || !(command in each)) return 'pass';
      isOver = true;
      return verdict;
    });
  }

  const back = () => vi.waitFor(() => store.getMany(NAME, ['x']), { timeout: 15_000, interval: 50 });

  describe('with the connection cut', () => {
    it('before a write: it is unavailable, and does not stand', async () => {
      const write = put(NAME, 'cut before', { n: 1 });
      once('insert', 'cut');
      await expect(store.apply({ writes: [write] })).rejects.toMatchObject(UNAVAILABLE);
      expect(await read(store, NAME, write.id)).toBeUndefined();
      expect(await store.apply({ writes: [write] })).toEqual({ rejected: [] });
    });

    it('between a write and its answer: it is unavailable, stands, and is not done twice', async () => {
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

    it('in a batch: its last write is not done, as long as the answer to the others is not known', async () => {
      const writes = [put(NAME, 'part', { n: 1 })];
      const last = put(NAME, 'last', {});
      once('insert', 'cut answer');
      await expect(store.apply({ writes, last })).rejects.toMatchObject(UNAVAILABLE);
      expect([...(await store.getMany(NAME, ['part', 'last'])).keys()]).toEqual(['part']);
      // As a runner does it: what is there is loaded, and written over.
      const again = put(NAME, 'part', { n: 1 }, { position: '01', guard: '01' });
      expect(await store.apply({ writes: [again], last })).toEqual({ rejected: [] });
      expect([...(await store.getMany(NAME, ['part', 'last'])).keys()].sort()).toEqual(['last', 'part']);
    });

    it('in a read: it is unavailable, and the next one is not', async () => {
      once('find', 'cut');
      await expect(store.getMany(NAME, ['x'])).rejects.toMatchObject(UNAVAILABLE);
      expect(await store.getMany(NAME, ['x'])).toEqual(new Map());
    });

    it('while one of several collections is written: the call ends when all have', async () => {
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
      let isOver = false;
      const outcome = Promise.allSettled([applied]).finally(() => {
        isOver = true;
      });
      await arrived.promise;
      // Over a new connection: by then, the loss of the other one is known.
      await back();
      expect(isOver).toBe(false);
      held.resolve();
      expect(await outcome).toMatchObject([{ status: 'rejected', reason: UNAVAILABLE }]);
      expect((await store.getMany('other', ['several'])).size).toBe(1);
    });
  });

  describe('that another writes to meanwhile', () => {
    it('tells a write as rejected that was written over before it could be told apart', async () => {
      await store.apply({ writes: [put(NAME, 'over', { n: 1 }), put(NAME, 'stale', { n: 1 })] });
      const writes = [
        put(NAME, 'over', { n: 2 }, { position: '02', guard: '01' }),
        put(NAME, 'stale', { n: 2 }, { position: '02', guard: '00' }),
        put(NAME, 'fresh', { n: 2 }, { position: '02' }),
      ];
      const other = await open();
      await other.define([{ name: NAME, indexes: [] }]);
      const later = put(NAME, 'over', { n: 3 }, { position: '03', guard: '02' });
      // Before it is looked up which of the first two stands.
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

  describe('that is slow', () => {
    it('is unavailable when an answer takes too long, and goes on when it does not', async () => {
      const slow = await open({ socketTimeoutMS: '1000' });
      await slow.define([{ name: NAME, indexes: [] }]);
      const answer = Promise.withResolvers<Verdict>();
      once('find', answer.promise);
      await expect(slow.getMany(NAME, ['x'])).rejects.toMatchObject(UNAVAILABLE);
      answer.resolve('cut');
      expect(await vi.waitFor(() => slow.getMany(NAME, ['x']), { timeout: 15_000 })).toEqual(new Map());
    });

    it('is waited for by a store that is closed', async () => {
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

  describe('that is away', () => {
    it('makes every call unavailable, and none when it is back', async () => {
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
      await back();
      expect(await store.apply({ writes: [put(NAME, 'away', {})] })).toEqual({ rejected: [] });
    });

    it('at the start is no reason not to open', async () => {
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

  describe('under the keys', () => {
    it('with an answer lost has the key, which creating it again gives', async () => {
      const place = mongoPlace((url) =>
        openMongoKeys({ url: proxy.url(databaseOf(url)), secret: randomBytes(32), logger: silentLogger }),
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
