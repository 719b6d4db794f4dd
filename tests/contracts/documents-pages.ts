import { describe, expect, it } from 'vitest';
import { encodeCursor } from '../../src/kernel/cursor.ts';
import type { Sort } from '../../src/kernel/query.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, idsOf, put, remove } from './documents-fixtures.ts';

const up = (...fields: string[]): Sort => ({ fields, direction: 'asc' });
const down = (...fields: string[]): Sort => ({ fields, direction: 'desc' });

export function pagesContract(get: () => DocumentsContext): void {
  describe('pages', () => {
    it('sort documents with equal fields by id, in the direction of the sort', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a', 'b'] });
      const ids = Array.from({ length: 12 }, (_, i) => `id${String.fromCharCode(97 + i)}`);
      await fill(store, name, Object.fromEntries(ids.map((id, i) => [id, { a: 1, b: Math.floor(i / 5) }])));
      for (const limit of [1, 2, 5, 12, 13]) {
        expect(await idsOf(store, name, { filter: { a: 1 }, sort: up('b') }, limit)).toEqual(ids);
        expect(await idsOf(store, name, { filter: { a: 1 }, sort: down('b') }, limit)).toEqual(ids.toReversed());
        expect(await idsOf(store, name, { filter: { a: 1, b: 1 }, sort: down('b') }, limit)).toEqual(
          ids.slice(5, 10).toReversed(),
        );
        expect(await idsOf(store, name, { filter: {}, sort: down('a', 'b') }, limit)).toEqual(ids.toReversed());
        expect(await idsOf(store, name, { filter: {} }, limit)).toEqual(ids);
      }
    });

    it('sort numbers before strings, and leave out other values', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['v', 'w'] });
      const bodies = { n1: 10, n2: 9, n3: -1, t1: '10', t2: '9', t3: '', x1: null, x2: true, x3: false };
      await fill(store, name, Object.fromEntries(Object.entries(bodies).map(([id, v]) => [id, { v, w: 1 }])));
      await fill(store, name, { none: { w: 1 }, 'no w': { v: 10 }, 'null w': { v: '9', w: null } });
      const sorted = ['n3', 'n2', 'n1', 't3', 't1', 't2'];
      for (const limit of [1, 4, 50]) {
        expect(await idsOf(store, name, { filter: {}, sort: up('v', 'w') }, limit)).toEqual(sorted);
        expect(await idsOf(store, name, { filter: {}, sort: down('v', 'w') }, limit)).toEqual(sorted.toReversed());
      }
      expect(await idsOf(store, name, { filter: { v: null }, sort: up('v', 'w') })).toEqual([]);
      expect(await idsOf(store, name, { filter: { v: null }, sort: up('w') })).toEqual(['none', 'x1']);
    });

    it('contain complete documents with their positions', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a'] });
      await store.apply({ writes: [put(name, 'x', { a: 1, rest: { deep: [1] } }, { position: '07' })] });
      const page = await store.find(name, { filter: { a: 1 }, limit: 1 });
      expect(page).toEqual({ items: [{ id: 'x', position: '07', body: { a: 1, rest: { deep: [1] } } }], next: null });
    });

    it('are empty without another page when nothing matches', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a'] });
      expect(await store.find(name, { filter: {}, limit: 1 })).toEqual({ items: [], next: null });
      expect(await store.find(name, { filter: { a: { in: [] } }, limit: 1 })).toEqual({ items: [], next: null });
    });

    it('contain documents that exist throughout exactly once, while others are created and deleted', async () => {
      const { store, other, collection } = get();
      const name = await collection({ fields: ['a', 'b'] });
      const stays = Array.from({ length: 20 }, (_, i) => `s${String(i).padStart(2, '0')}`);
      await fill(store, name, Object.fromEntries(stays.map((id, b) => [id, { a: 1, b }])));
      await fill(store, name, Object.fromEntries(Array.from({ length: 20 }, (_, b) => [`x${b}`, { a: 1, b }])));
      const seen: string[] = [];
      let after: string | null = null;
      let round = 0;
      do {
        const query = { filter: { a: 1 }, sort: down('b'), limit: 3 };
        const page = await store.find(name, after === null ? query : { ...query, after });
        seen.push(...page.items.map(({ id }) => id));
        after = page.next;
        // New documents before, after and among the page's, and a deletion, sometimes of the last document of the page.
        const last = page.items.at(-1)?.id ?? '';
        const fresh = [100 + round, 9, 0].map((b, i) => put(name, `f${round}-${i}`, { a: 1, b }));
        await other.apply({ writes: [...fresh, ...(last.startsWith('x') ? [remove(name, last, '02')] : [])] });
        round++;
      } while (after !== null && round < 100);
      expect(seen.filter((id) => id.startsWith('s'))).toEqual(stays.toReversed());
      expect(new Set(seen).size).toBe(seen.length);
    });

    it.each([0, -1, 1.5, 4_097, Number.NaN])('reject a limit of %d', async (limit) => {
      const { store, collection } = get();
      const name = await collection();
      await expect(store.find(name, { filter: {}, limit })).rejects.toMatchObject(INVALID);
    });

    it('can contain 4,096 documents', async () => {
      const { store, collection } = get();
      const name = await collection();
      const bodies = Array.from({ length: 4_096 }, (_, i) => [`id${i}`, {}] as const);
      await fill(store, name, Object.fromEntries(bodies));
      const page = await store.find(name, { filter: {}, limit: 4_096 });
      expect([page.items.length, page.next]).toEqual([4_096, null]);
    });
  });

  describe('a cursor', () => {
    async function prepared() {
      const { store, collection } = get();
      const name = await collection({ fields: ['a', 'b'] }, { fields: ['b'] });
      await fill(store, name, Object.fromEntries([1, 2, 3, 4, 5].map((b) => [`id${b}`, { a: 1, b }])));
      const query = { filter: { a: 1 }, sort: up('b'), limit: 2 };
      const { next } = await store.find(name, query);
      return { store, name, query, after: next ?? '' };
    }

    it('returns the same page again, and works with another limit', async () => {
      const { store, name, query, after } = await prepared();
      const page = await store.find(name, { ...query, after });
      expect(page.items.map(({ id }) => id)).toEqual(['id3', 'id4']);
      expect(await store.find(name, { ...query, after })).toEqual(page);
      expect((await store.find(name, { ...query, limit: 1, after })).items.map(({ id }) => id)).toEqual(['id3']);
    });

    it('is rejected with another filter or sort', async () => {
      const { store, name, query, after } = await prepared();
      for (const changed of [
        { sort: down('b') },
        { filter: {}, sort: up('b') },
        { filter: { a: 2 } },
        { sort: up('a', 'b') },
        { filter: {}, sort: up() },
      ]) {
        await expect(store.find(name, { ...query, ...changed, after })).rejects.toMatchObject(INVALID);
      }
    });

    it.each([
      ['an empty string', () => ''],
      ['a word', () => 'nonsense'],
      ['other JSON', () => Buffer.from('["a",1]').toString('base64url')],
      ['a truncated cursor', (after: string) => after.slice(0, -2)],
      ['a cursor with trailing characters', (after: string) => `${after}AAAA`],
      ['a cursor in another encoding', (after: string) => `${after}==`],
    ])('is rejected when it is %s', async (_what, change) => {
      const { store, name, query, after } = await prepared();
      await expect(store.find(name, { ...query, after: change(after) })).rejects.toMatchObject(INVALID);
    });

    it('cannot be forged to reach documents outside the filter', async () => {
      const { store, name } = await prepared();
      const filter = { a: 1, b: { gte: 3 } };
      const sort = up('b');
      const forged = encodeCursor({ values: [0], id: 'id0' }, filter, sort);
      await expect(store.find(name, { filter, sort, limit: 10, after: forged })).rejects.toMatchObject(INVALID);
      const within = encodeCursor({ values: [4], id: 'a' }, filter, sort);
      const page = await store.find(name, { filter, sort, limit: 10, after: within });
      expect(page.items.map(({ id }) => id)).toEqual(['id4', 'id5']);
    });
  });
}
