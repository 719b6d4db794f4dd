import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { Sort } from '../../src/kernel/query.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, idsOf, put, remove } from './documents-fixtures.ts';

const byRank: Sort = { fields: ['rank'], direction: 'asc' };

export function indexesContract(get: () => DocumentsContext): void {
  const prepared = async () => {
    const { store, collection } = get();
    const name = await collection(
      { fields: ['rank'] },
      { fields: ['rank'], array: 'tags' },
      { fields: [], array: 'tags' },
    );
    await fill(store, name, { x: { rank: 1, tags: ['a', 'b'] }, y: { rank: 2, tags: ['b', 'c'] } });
    let position = 1;
    return {
      tagged: (tag: string) => idsOf(store, name, { filter: { tags: { contains: tag } }, sort: byRank }),
      starting: (prefix: string) => idsOf(store, name, { filter: { tags: { containsPrefix: prefix } } }),
      having: async (rank: boolean | null) => {
        const found = await idsOf(store, name, { filter: { rank } });
        expect(await idsOf(store, name, { filter: { tags: { contains: 't' }, rank } })).toEqual(found);
        return found;
      },
      ranked: () => idsOf(store, name, { filter: {}, sort: byRank }),
      write: async (id: string, body: JsonObject | null) => {
        position++;
        const at = String(position).padStart(2, '0');
        const write = body === null ? remove(name, id, at) : put(name, id, body, { position: at, guard: 'older' });
        expect(await store.apply({ writes: [write] })).toEqual({ rejected: [] });
      },
    };
  };

  describe('indexes are updated by', () => {
    it('a change of a sort field', async () => {
      const { write, ranked, tagged } = await prepared();
      await write('x', { rank: 3, tags: ['a', 'b'] });
      expect(await ranked()).toEqual(['y', 'x']);
      expect(await tagged('b')).toEqual(['y', 'x']);
      expect(await tagged('a')).toEqual(['x']);
    });

    it('a change of elements', async () => {
      const { write, tagged, starting } = await prepared();
      await write('x', { rank: 1, tags: ['b', 'd', 'b'] });
      expect([await tagged('a'), await tagged('b'), await tagged('d')]).toEqual([[], ['x', 'y'], ['x']]);
      expect(await starting('')).toEqual(['x', 'y']);
      await write('x', { rank: 1, tags: [] });
      expect([await tagged('b'), await tagged('d'), await starting('')]).toEqual([['y'], [], ['y']]);
      await write('x', { rank: 1 });
      await write('x', { rank: 0, tags: ['c', 'a'] });
      expect([await tagged('c'), await tagged('a')]).toEqual([['x', 'y'], ['x']]);
    });

    it('a change of both at once, and of another field', async () => {
      const { write, ranked, tagged } = await prepared();
      await write('y', { rank: 0, tags: ['a'] });
      await write('x', { rank: 1, tags: ['a', 'b'], other: true });
      expect([await ranked(), await tagged('a'), await tagged('b'), await tagged('c')]).toEqual([
        ['y', 'x'],
        ['y', 'x'],
        ['x'],
        [],
      ]);
    });

    it('a change of type', async () => {
      const { write, ranked, tagged } = await prepared();
      await write('x', { rank: '1', tags: ['1', 1] });
      expect(await ranked()).toEqual(['y', 'x']);
      await write('x', { rank: true, tags: ['1'] });
      expect([await ranked(), await tagged('1')]).toEqual([['y'], []]);
      await write('x', { rank: null, tags: ['1'] });
      await write('x', { rank: 2, tags: ['1'] });
      expect([await ranked(), await tagged('1')]).toEqual([['x', 'y'], ['x']]);
    });

    it('a change among true, false and null', async () => {
      const { write, having } = await prepared();
      for (const rank of [true, false, null, true, null, false]) {
        await write('x', { rank, tags: ['t'] });
        const found = [true, false, null].map(async (value) => [value, await having(value)]);
        expect(await Promise.all(found)).toEqual(
          [true, false, null].map((value) => [value, value === rank ? ['x'] : []]),
        );
      }
    });

    it('a deletion, and the creation of the document again', async () => {
      const { write, ranked, tagged, starting } = await prepared();
      await write('x', null);
      expect([await ranked(), await tagged('a'), await tagged('b'), await starting('')]).toEqual([
        ['y'],
        [],
        ['y'],
        ['y'],
      ]);
      await write('x', { rank: 5, tags: ['c'] });
      expect([await ranked(), await tagged('a'), await tagged('c')]).toEqual([['y', 'x'], [], ['y', 'x']]);
    });
  });

  it.each([
    ['an array in a scalar field', { rank: [1] }],
    ['an object in a scalar field', { rank: { a: 1 } }],
    ['a path through an array', { deep: [{ er: 1 }] }],
    ['a scalar in an array field', { tags: 'a' }],
    ['an object in an array field', { tags: { a: 1 } }],
    ['an element that is null', { tags: ['a', null] }],
    ['an element that is a boolean', { tags: [true] }],
    ['an element that is an array', { tags: [['a']] }],
  ])('a body that does not fit the indexes is rejected: %s', async (_what, body: JsonObject) => {
    const { store, collection } = get();
    const name = await collection({ fields: ['rank'] }, { fields: ['deep.er'] }, { fields: [], array: 'tags' });
    const writes = [put(name, 'good', {}), put(name, 'bad', body)];
    await expect(store.apply({ writes })).rejects.toMatchObject(INVALID);
    expect(await store.getMany(name, ['good', 'bad'])).toEqual(new Map());
  });
}
