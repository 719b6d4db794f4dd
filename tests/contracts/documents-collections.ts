import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { IndexDefinition } from '../../src/kernel/query.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, idsOf, put, read, remove } from './documents-fixtures.ts';

const badIndexes: readonly (readonly [string, readonly IndexDefinition[]])[] = [
  ['without fields', [{ fields: [] }]],
  ['over the id', [{ fields: ['a', '_id'] }]],
  ['over a field twice', [{ fields: ['a', 'a'] }]],
  ['over an array that is also a scalar', [{ fields: ['a'], array: 'a' }]],
  ['that disagree on whether a field is an array', [{ fields: ['a'] }, { fields: [], array: 'a' }]],
  ['over a path with an empty key', [{ fields: ['a..b'] }]],
  ['over a path with a key that starts with $', [{ fields: ['a.$b'] }]],
  ['over more than eight fields', [{ fields: [...'abcdefghi'] }]],
];

export function collectionsContract(get: () => DocumentsContext): void {
  const newName = () => `test.${randomUUID()}`;

  describe('defining collections', () => {
    it('can be repeated', async () => {
      const { store, collection } = get();
      const indexes = [{ fields: ['a'] }, { fields: ['b'], array: 'tags' }];
      const name = await collection(...indexes);
      await fill(store, name, { x: { a: 1, b: 2, tags: ['t'] } });
      await store.define([{ name, indexes }]);
      await store.define([{ name, indexes: [] }]);
      expect(await idsOf(store, name, { filter: { a: 1 } })).toEqual(['x']);
      expect(await idsOf(store, name, { filter: { tags: { contains: 't' }, b: 2 } })).toEqual(['x']);
    });

    it('can be done by several stores concurrently', async () => {
      const { store, other } = get();
      const definitions = Array.from({ length: 3 }, () => ({ name: newName(), indexes: [{ fields: ['a', 'b'] }] }));
      await Promise.all([store, other, store, other].map((each) => each.define(definitions)));
      for (const { name } of definitions) {
        await fill(store, name, { x: { a: 1, b: 1 } });
        expect(await idsOf(other, name, { filter: { a: 1, b: 1 } })).toEqual(['x']);
      }
    });

    it('adds existing documents to a new index', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a'] });
      const bodies = Array.from({ length: 1_100 }, (_, i) => ({ a: i % 2, b: 2_000 - i, tags: [`t${i % 3}`, 'all'] }));
      await fill(store, name, Object.fromEntries(bodies.map((body, i) => [`id${i}`, body])));
      await store.define([
        { name, indexes: [{ fields: ['b'] }, { fields: ['b'], array: 'tags' }, { fields: ['a', 'b'] }] },
      ]);
      await fill(store, name, { late: { a: 1, b: 0, tags: ['t2', 'all'] } });
      const sort = { fields: ['b'], direction: 'asc' } as const;
      const byB = ['late', ...bodies.map((_, i) => `id${i}`).toReversed()];
      expect(await idsOf(store, name, { filter: {}, sort }, 500)).toEqual(byB);
      expect(await idsOf(store, name, { filter: { tags: { contains: 'all' } }, sort }, 500)).toEqual(byB);
      expect(await store.count(name, { a: 1 }, 10_000)).toBe(551);
      expect(await store.count(name, { tags: { contains: 't2' } }, 10_000)).toBe(367);
    });

    it('keeps indexes up to date that only another store has defined', async () => {
      const { store, other, collection } = get();
      const name = await collection({ fields: ['a'] });
      await fill(store, name, { x: { a: 1, b: 1, tags: ['t'] } });
      const more = [{ fields: ['b'] }, { fields: [], array: 'tags' }];
      await other.define([{ name, indexes: more }]);
      await fill(store, name, { y: { a: 1, b: 2, tags: ['t'] } });
      expect(await idsOf(store, name, { filter: { a: 1 } })).toEqual(['x', 'y']);
      expect(await idsOf(other, name, { filter: { b: 2 } })).toEqual(['y']);
      expect(await idsOf(other, name, { filter: { tags: { contains: 't' } } })).toEqual(['x', 'y']);
    });

    it.each(['', 'a b', 'a/b', 'a$', 'ä', 'x'.repeat(81)])('rejects the name %j', async (name) => {
      await expect(get().store.define([{ name, indexes: [] }])).rejects.toMatchObject(INVALID);
    });

    it('accepts every name that the port allows', async () => {
      const { store } = get();
      const name = `A-z_0.9@${randomUUID()}`.padEnd(80, 'x');
      await store.define([{ name, indexes: [{ fields: ['a'] }] }]);
      await fill(store, name, { x: { a: 1 } });
      expect(await idsOf(store, name, { filter: { a: 1 } })).toEqual(['x']);
      await store.drop(name);
    });

    it.each(badIndexes)('rejects indexes %s', async (_what, indexes) => {
      await expect(get().store.define([{ name: newName(), indexes }])).rejects.toMatchObject(INVALID);
    });
  });

  describe('a collection', () => {
    it('is rejected at a store where it was not defined', async () => {
      const { store } = get();
      const name = newName();
      await expect(store.getMany(name, ['a'])).rejects.toMatchObject(INVALID);
      await expect(store.find(name, { filter: {}, limit: 1 })).rejects.toMatchObject(INVALID);
      await expect(store.count(name, {}, 1)).rejects.toMatchObject(INVALID);
      await expect(store.apply({ writes: [put(name, 'a', {})] })).rejects.toMatchObject(INVALID);
    });

    it('has its own documents', async () => {
      const { store, collection } = get();
      const [one, two] = [await collection({ fields: ['a'] }), await collection({ fields: ['a'] })];
      await fill(store, one, { x: { a: 1 } });
      await fill(store, two, { y: { a: 1 } });
      await store.apply({ writes: [remove(one, 'x', '05')] });
      expect(await idsOf(store, two, { filter: { a: 1 } })).toEqual(['y']);
      expect(await store.apply({ writes: [put(two, 'x', { a: 1 })] })).toEqual({ rejected: [] });
    });

    it('loses its documents and tombstones when it is dropped', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a'] }, { fields: [], array: 'tags' });
      await fill(store, name, { x: { a: 1, tags: ['t'] }, y: { a: 1 } });
      await store.apply({ writes: [remove(name, 'y', '05')] });
      await store.drop(name);
      await expect(store.getMany(name, ['x'])).rejects.toMatchObject(INVALID);

      await store.define([{ name, indexes: [{ fields: ['b'] }] }]);
      expect(await store.getMany(name, ['x', 'y'])).toEqual(new Map());
      expect(await store.apply({ writes: [put(name, 'x', { b: 2 }), put(name, 'y', { b: 1 })] })).toEqual({
        rejected: [],
      });
      expect(await idsOf(store, name, { filter: {}, sort: { fields: ['b'], direction: 'asc' } })).toEqual(['y', 'x']);
      await expect(store.find(name, { filter: { a: 1 }, limit: 1 })).rejects.toMatchObject(INVALID);
    });

    it('can be dropped when it does not exist', async () => {
      await expect(get().store.drop(newName())).resolves.toBeUndefined();
    });
  });

  describe('a closed store', () => {
    it('rejects every call, and can be closed again', async () => {
      const { open } = get();
      const store: DocumentStore = await open();
      const name = newName();
      await store.define([{ name, indexes: [] }]);
      await Promise.all([store.close(), store.close()]);
      await store.close();
      const calls = [
        store.define([{ name, indexes: [] }]),
        store.drop(name),
        store.getMany(name, ['a']),
        store.find(name, { filter: {}, limit: 1 }),
        store.count(name, {}, 1),
        store.apply({ writes: [put(name, 'a', {})] }),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'StoreError', code: 'CLOSED' } });
      }
    });

    it('has stored what it wrote', async () => {
      const { open } = get();
      const name = newName();
      const first = await open();
      await first.define([{ name, indexes: [{ fields: ['a'] }] }]);
      await fill(first, name, { x: { a: 1 } });
      await first.close();
      const second = await open();
      await second.define([{ name, indexes: [{ fields: ['a'] }] }]);
      expect(await read(second, name, 'x')).toEqual({ id: 'x', position: '01', body: { a: 1 } });
      expect(await idsOf(second, name, { filter: { a: 1 } })).toEqual(['x']);
      await second.close();
    });
  });
}
