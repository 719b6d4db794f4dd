import { describe, expect, it } from 'vitest';
import type { Json } from '../../src/kernel/json.ts';
import type { Condition, Filter, Scalar, Sort } from '../../src/kernel/query.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, idsOf } from './documents-fixtures.ts';

/** In the order of their UTF-8 bytes, which differs from that of UTF-16 for the last two. */
const TEXTS = [
  '',
  ' ',
  '%',
  '*',
  '.',
  '0',
  '10',
  '9',
  'A',
  'B',
  '\\',
  '^',
  '_',
  'a',
  'a0',
  'a%',
  'aa',
  'b',
  'z',
  'ä',
  'é',
  '漢',
  '\ufffd',
  '😀',
];

const byName = Object.fromEntries(TEXTS.toSorted().map((text, i) => [`t${i}`, { v: text }]));

/** Values of each type, some of which are easily confused. */
const VALUES: Readonly<Record<string, { v?: Json }>> = {
  missing: {},
  null: { v: null },
  false: { v: false },
  true: { v: true },
  minus: { v: -1.5 },
  zero: { v: 0 },
  one: { v: 1 },
  sum: { v: 0.1 + 0.2 },
  big: { v: 2 ** 53 },
  huge: { v: 1e300 },
  empty: { v: '' },
  'text 0': { v: '0' },
  'text 1': { v: '1' },
  'text true': { v: 'true' },
  'text null': { v: 'null' },
  text: { v: 'x' },
};

const conditions: readonly (readonly [Scalar | Condition, readonly string[]])[] = [
  [null, ['missing', 'null']],
  [false, ['false']],
  [true, ['true']],
  [0, ['zero']],
  [1, ['one']],
  [0.1 + 0.2, ['sum']],
  [0.3, []],
  [2 ** 53, ['big']],
  ['', ['empty']],
  ['0', ['text 0']],
  ['1', ['text 1']],
  ['true', ['text true']],
  ['null', ['text null']],
  [{ in: [] }, []],
  [{ in: [null] }, ['missing', 'null']],
  [{ in: [1, 1, 'x', true, 'absent'] }, ['one', 'text', 'true']],
  [{ in: [null, false, 0, ''] }, ['empty', 'false', 'missing', 'null', 'zero']],
  [{ in: Array.from({ length: 1_000 }, (_, i) => i) }, ['one', 'zero']],
  [{ gt: 0 }, ['big', 'huge', 'one', 'sum']],
  [{ gte: 0 }, ['big', 'huge', 'one', 'sum', 'zero']],
  [{ lt: 0.1 + 0.2 }, ['minus', 'zero']],
  [{ lte: 0.1 + 0.2 }, ['minus', 'sum', 'zero']],
  [{ gt: -2, lt: 1 }, ['minus', 'sum', 'zero']],
  [{ gt: 0, gte: 1, lt: 1e300, lte: 5 }, ['one']],
  [{ gt: 1, gte: 1 }, ['big', 'huge']],
  [{ gt: 1, lt: 1 }, []],
  [{ gt: '' }, ['text', 'text 0', 'text 1', 'text null', 'text true']],
  [{ gte: '' }, ['empty', 'text', 'text 0', 'text 1', 'text null', 'text true']],
  [{ lt: '1' }, ['empty', 'text 0']],
  [{ lte: '1', gt: '' }, ['text 0', 'text 1']],
  [{ gt: 0, lt: 'x' }, []],
];

const badQueries: readonly (readonly [string, Filter, Sort | undefined])[] = [
  ['by a field without an index', { z: 1 }, undefined],
  ['sorted by a field without an index', {}, { fields: ['z'], direction: 'asc' }],
  ['by the second field of an index', { b: 1 }, { fields: ['a'], direction: 'asc' }],
  ['by a range and another condition after it', { a: { gt: 1 }, b: 1 }, undefined],
  ['sorted by the fields of an index in another order', {}, { fields: ['b', 'a'], direction: 'asc' }],
  ['sorted by id only, where the index has another field before it', { a: 1 }, undefined],
  ['with an equality on an array', { tags: 'x' }, undefined],
  ['with an array condition on a scalar', { a: { contains: 1 } }, undefined],
  ['by a field of an array index without a condition on the array', { c: 1 }, undefined],
  ['sorted by an array', { tags: { contains: 'x' } }, { fields: ['tags'], direction: 'asc' }],
  ['by two open conditions', { a: { in: [1] }, b: { in: [1] } }, undefined],
  ['by two arrays', { tags: { contains: 'x' }, list: { contains: 'x' } }, undefined],
  ['sorted by the id as a field', {}, { fields: ['_id'], direction: 'asc' }],
  ['sorted twice by a field', { a: 1 }, { fields: ['b', 'b'], direction: 'asc' }],
  ['sorted in an unknown direction', {}, { fields: [], direction: 'up' as 'asc' }],
  ['with an empty range', { a: {} }, undefined],
  ['with an unknown condition', { a: { like: 'x' } as Condition }, undefined],
  ['with two conditions in one', { a: { in: [1], gt: 0 } as Condition }, undefined],
  ['with a range of booleans', { a: { gt: false as unknown as number } }, undefined],
  ['with a range to NaN', { a: { lt: Number.NaN } }, undefined],
  ['for an infinite number', { a: Number.POSITIVE_INFINITY }, undefined],
  ['for a string with a lone surrogate', { a: '\ud83d' }, undefined],
  ['for an object', { a: [1] as unknown as string }, undefined],
  ['for more than 1,000 values', { a: { in: Array.from({ length: 1_001 }, (_, i) => i) } }, undefined],
  ['for the prefix of a number', { tags: { containsPrefix: 1 as unknown as string } }, undefined],
];

export function queriesContract(get: () => DocumentsContext): void {
  describe('conditions on a scalar', () => {
    let name: string | undefined;
    async function filled(): Promise<string> {
      const { store, collection } = get();
      if (name !== undefined) return name;
      name = await collection({ fields: ['v'] });
      await fill(store, name, VALUES);
      return name;
    }

    it.each(conditions)('%j', async (condition, expected) => {
      const { store } = get();
      const values = await filled();
      expect(await idsOf(store, values, { filter: { v: condition } })).toEqual(expected);
      expect(await store.count(values, { v: condition }, 100)).toBe(expected.length);
    });

    it('can be on the id, which is always a string', async () => {
      const { store, collection } = get();
      const ids = await collection();
      await fill(store, ids, { 1: {}, 10: {}, 9: {}, a: {}, ä: {}, true: {}, null: {} });
      expect(await idsOf(store, ids, { filter: { _id: '1' } })).toEqual(['1']);
      expect(await idsOf(store, ids, { filter: { _id: { in: ['a', 'x', '9', null] } } })).toEqual(['9', 'a']);
      expect(await idsOf(store, ids, { filter: { _id: { gte: '10', lt: 'b' } } })).toEqual(['10', '9', 'a']);
      for (const condition of [1, null, true, { gt: 0 }, { in: [1, 9] }]) {
        expect(await store.count(ids, { _id: condition }, 10)).toBe(0);
      }
    });

    it('can be on nested fields by their path', async () => {
      const { store, collection } = get();
      const nested = await collection({ fields: ['a.b.c'] });
      await fill(store, nested, {
        deep: { a: { b: { c: 1 } } },
        flat: { a: 1 },
        none: {},
        other: { a: { b: { d: 1 } } },
      });
      expect(await idsOf(store, nested, { filter: { 'a.b.c': 1 } })).toEqual(['deep']);
      expect(await idsOf(store, nested, { filter: { 'a.b.c': null } })).toEqual(['flat', 'none', 'other']);
    });

    it('apply to own properties of a body only, not to inherited ones', async () => {
      const { store, collection } = get();
      const inherited = await collection({ fields: ['constructor'] }, { fields: ['a.toString'] });
      await fill(store, inherited, { x: { a: {} }, y: { constructor: 'mine', a: { toString: 'mine' } } });
      expect(await idsOf(store, inherited, { filter: { constructor: null } })).toEqual(['x']);
      expect(await idsOf(store, inherited, { filter: { 'a.toString': 'mine' } })).toEqual(['y']);
    });
  });

  describe('strings', () => {
    it('are sorted and compared in ranges by their UTF-8 bytes', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['v'] });
      await fill(store, name, byName);
      const values = async (filter: Filter, direction: 'asc' | 'desc') => {
        const { items } = await store.find(name, { filter, sort: { fields: ['v'], direction }, limit: 100 });
        return items.map(({ body }) => body.v);
      };
      const sorted = TEXTS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await values({}, 'asc')).toEqual(sorted);
      expect(await values({}, 'desc')).toEqual(sorted.toReversed());
      for (const [i, text] of sorted.entries()) {
        expect(await values({ v: { gt: text } }, 'asc')).toEqual(sorted.slice(i + 1));
        expect(await values({ v: { lte: text } }, 'desc')).toEqual(sorted.slice(0, i + 1).toReversed());
      }
    });

    it('are sorted the same way as ids', async () => {
      const { store, collection } = get();
      const name = await collection();
      const ids = TEXTS.filter((text) => text !== '');
      await fill(store, name, Object.fromEntries(ids.map((id) => [id, {}])));
      const sorted = ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await idsOf(store, name, { filter: {} }, 3)).toEqual(sorted);
      expect(await idsOf(store, name, { filter: {}, sort: { fields: [], direction: 'desc' } }, 4)).toEqual(
        sorted.toReversed(),
      );
    });
  });

  describe('a query', () => {
    it.each(badQueries)('is rejected %s', async (_what, filter, sort) => {
      const { store, collection } = get();
      const name = await collection(
        { fields: ['a', 'b'] },
        { fields: ['c'], array: 'tags' },
        { fields: [], array: 'tags' },
        { fields: [], array: 'list' },
      );
      const query = { filter, limit: 10, ...(sort === undefined ? {} : { sort }) };
      await expect(store.find(name, query)).rejects.toMatchObject(INVALID);
    });

    it('can use any leading fields of an index when it only counts', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a', 'b', 'c'] });
      await fill(store, name, { x: { a: 1, b: 1, c: 1 }, y: { a: 1, b: 2 }, z: { a: 2 } });
      expect(await store.count(name, { a: 1 }, 10)).toBe(2);
      expect(await store.count(name, { a: 1, b: { gt: 1 } }, 10)).toBe(1);
      expect(await store.count(name, { a: 2, b: null, c: null }, 10)).toBe(1);
      await expect(store.count(name, { b: 1 }, 10)).rejects.toMatchObject(INVALID);
    });

    it('counts up to its cap', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['a'] }, { fields: [], array: 'tags' });
      const body = { a: 1, tags: ['x1', 'x2'] };
      await fill(store, name, Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`id${i}`, body])));
      for (const filter of [{}, { a: 1 }, { tags: { containsPrefix: 'x' } }] as const) {
        expect(await store.count(name, filter, 1)).toBe(1);
        expect(await store.count(name, filter, 29)).toBe(29);
        expect(await store.count(name, filter, 31)).toBe(30);
      }
      for (const cap of [0, -1, 1.5, 100_001, Number.NaN]) {
        await expect(store.count(name, {}, cap)).rejects.toMatchObject(INVALID);
      }
    });
  });
}
