import { describe, expect, it } from 'vitest';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, put, read, remove } from './documents-fixtures.ts';

export function writesContract(get: () => DocumentsContext): void {
  describe('a batch', () => {
    it('returns exactly the rejected writes, in their order, and does the others', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { a: { n: 0 }, b: { n: 0 }, c: { n: 0 }, d: { n: 0 } });
      const writes = [
        put(name, 'd', { n: 1 }, { position: '02', guard: '00' }),
        put(name, 'a', { n: 1 }, { position: '02', guard: '01' }),
        put(name, 'b', { n: 1 }, { position: '02', guard: null }),
        put(name, 'e', { n: 1 }, { position: '02' }),
        remove(name, 'c', '02', '01'),
        remove(name, 'f', '02', '01'),
      ];
      const { rejected } = await store.apply({ writes });
      expect(rejected).toEqual([writes[0], writes[2], writes[5]]);
      const found = await store.getMany(name, ['a', 'b', 'c', 'd', 'e', 'f']);
      expect(new Map([...found].map(([id, { body }]) => [id, body]))).toEqual(
        new Map([
          ['a', { n: 1 }],
          ['b', { n: 0 }],
          ['d', { n: 0 }],
          ['e', { n: 1 }],
        ]),
      );
    });

    it('can write to several collections, with the same id in each', async () => {
      const { store, collection } = get();
      const [one, two] = [await collection(), await collection({ fields: ['n'] })];
      expect(await store.apply({ writes: [put(one, 'a', { n: 1 }), put(two, 'a', { n: 2 })] })).toEqual({
        rejected: [],
      });
      expect((await read(store, one, 'a'))?.body).toEqual({ n: 1 });
      expect((await read(store, two, 'a'))?.body).toEqual({ n: 2 });
    });

    it('can be empty', async () => {
      const { store } = get();
      expect(await store.apply({ writes: [] })).toEqual({ rejected: [] });
    });

    it('can have 4,096 writes, and no more', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['n'] });
      const writes = Array.from({ length: 4_097 }, (_, n) => put(name, `id${n}`, { n }));
      await expect(store.apply({ writes })).rejects.toMatchObject(INVALID);
      expect(await store.count(name, {}, 10)).toBe(0);
      const last = put(name, 'last', {});
      expect(await store.apply({ writes: writes.slice(1), last })).toEqual({ rejected: [] });
      expect(await store.count(name, {}, 10_000)).toBe(4_097);
    });

    it('is rejected when it writes a document twice, and writes nothing', async () => {
      const { store, collection } = get();
      const name = await collection();
      const [first, second] = [put(name, 'a', {}), put(name, 'a', {}, { position: '02', guard: '01' })];
      await expect(store.apply({ writes: [put(name, 'b', {}), first, second] })).rejects.toMatchObject(INVALID);
      await expect(store.apply({ writes: [put(name, 'b', {}), first], last: second })).rejects.toMatchObject(INVALID);
      expect(await store.getMany(name, ['a', 'b'])).toEqual(new Map());
    });

    it('is visible at another store once it has returned', async () => {
      const { store, other, collection } = get();
      const name = await collection({ fields: ['n'] });
      for (let n = 0; n < 5; n++) {
        await store.apply({ writes: [put(name, `id${n}`, { n })] });
        expect(await other.count(name, { n: { gte: 0 } }, 10)).toBe(n + 1);
      }
    });
  });

  describe('the last write of a batch', () => {
    it('is done when all others were', async () => {
      const { store, collection } = get();
      const [name, checkpoints] = [await collection(), await collection()];
      const last = put(checkpoints, 'p', {}, { position: '02' });
      expect(await store.apply({ writes: [put(name, 'a', {}), put(name, 'b', {})], last })).toEqual({ rejected: [] });
      expect((await read(store, checkpoints, 'p'))?.position).toBe('02');
    });

    it('is neither done nor returned as rejected when another write was rejected', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { a: {}, p: {} });
      const writes = [put(name, 'b', {}), put(name, 'a', {}), put(name, 'c', {})];
      const last = put(name, 'p', { moved: true }, { position: '02', guard: '01' });
      expect(await store.apply({ writes, last })).toEqual({ rejected: [writes[1]] });
      expect(await read(store, name, 'p')).toEqual({ id: 'p', position: '01', body: {} });
      expect((await store.getMany(name, ['b', 'c'])).size).toBe(2);
    });

    it('is rejected by its own guard, while the others are done', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { p: {} });
      const last = put(name, 'p', { moved: true }, { position: '03', guard: '02' });
      expect(await store.apply({ writes: [put(name, 'a', {})], last })).toEqual({ rejected: [last] });
      expect((await read(store, name, 'p'))?.body).toEqual({});
      expect((await read(store, name, 'a'))?.body).toEqual({});
    });

    it('can be the only one', async () => {
      const { store, collection } = get();
      const name = await collection();
      expect(await store.apply({ writes: [], last: put(name, 'p', {}) })).toEqual({ rejected: [] });
      expect(await read(store, name, 'p')).toEqual({ id: 'p', position: '01', body: {} });
    });

    it('can be a deletion', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { p: {} });
      expect(await store.apply({ writes: [], last: remove(name, 'p', '02', '01') })).toEqual({ rejected: [] });
      expect(await read(store, name, 'p')).toBeUndefined();
    });
  });

  describe('reading by ids', () => {
    it('leaves out documents that do not exist, and returns each once', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { a: { n: 1 }, b: { n: 2 } });
      await store.apply({ writes: [remove(name, 'b', '02')] });
      expect(await store.getMany(name, ['x', 'a', 'b', 'a'])).toEqual(
        new Map([['a', { id: 'a', position: '01', body: { n: 1 } }]]),
      );
      expect(await store.getMany(name, [])).toEqual(new Map());
    });

    it('reads up to 4,096 documents at once, and no more', async () => {
      const { store, collection } = get();
      const name = await collection();
      const ids = Array.from({ length: 4_097 }, (_, n) => `id${n}`);
      await store.apply({ writes: ids.slice(0, 3_000).map((id, n) => put(name, id, { n })) });
      const found = await store.getMany(name, ids.slice(1));
      expect(found.size).toBe(2_999);
      expect([...found].every(([id, document]) => id === document.id && id === `id${document.body.n}`)).toBe(true);
      await expect(store.getMany(name, ids)).rejects.toMatchObject(INVALID);
    });
  });
}
