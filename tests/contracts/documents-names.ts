import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, idsOf, put, read, remove } from './documents-fixtures.ts';

/** Names that an engine uses itself or gives a meaning, or that JavaScript objects inherit. */
const FIELDS = [
  'tombstones',
  '_id_',
  '*',
  'body',
  'position',
  'batch',
  'deletedAt',
  'id',
  'doc',
  'rowid',
  'e',
  'f0',
  '0',
  'by:a',
  'a[]',
  'a$',
  'a,b',
  'a b',
  'a"b',
  "a'b",
  'a`b',
  '_id.x',
  'in._id',
  'ä.ö',
  'constructor',
  'toString',
  '__proto__',
  '__proto__.a',
] as const;

const COLLECTIONS = [
  'collections',
  'tombstones',
  'sqlite_master',
  'sqlite_sequence',
  'c1',
  'c1_i0',
  'system.profile',
  'system.indexes',
  'a.system.js',
  '.a',
  'a.',
  'a..b',
  '-',
  '@',
  '0',
];

/** An object with a value at a path. */
function bodyWith(path: string, value: JsonObject[string]): JsonObject {
  const [key = '', ...rest] = path.split('.');
  return Object.fromEntries([[key, rest.length === 0 ? value : bodyWith(rest.join('.'), value)]]);
}

export function namesContract(get: () => DocumentsContext): void {
  describe('a field may have any name that a body allows:', () => {
    it.each(FIELDS)('%s, in a scalar index', async (field) => {
      const { store, other, collection } = get();
      const name = await collection({ fields: [field] }, { fields: ['a', field] });
      const bodies = { three: 3, one: 1, two: 2, none: null };
      const entries = Object.entries(bodies).map(([id, value]) => [id, { ...bodyWith(field, value), a: 'x' }] as const);
      await fill(store, name, Object.fromEntries(entries));
      const sort = { fields: [field], direction: 'asc' } as const;
      for (const each of [store, other]) {
        expect(await idsOf(each, name, { filter: {}, sort }, 1)).toEqual(['one', 'two', 'three']);
        expect(await idsOf(each, name, { filter: { a: 'x' }, sort }, 1)).toEqual(['one', 'two', 'three']);
        expect(await idsOf(each, name, { filter: Object.fromEntries([[field, 2]]) })).toEqual(['two']);
        expect(await each.count(name, Object.fromEntries([[field, { gte: 2 }]]), 10)).toBe(2);
      }
    });

    it.each(FIELDS)('%s, in an array index', async (field) => {
      const { store, collection } = get();
      const name = await collection({ fields: [], array: field }, { fields: ['n'], array: field });
      await fill(store, name, {
        x: { ...bodyWith(field, ['ab', 'b']), n: 2 },
        y: { ...bodyWith(field, ['ac']), n: 1 },
      });
      const sort = { fields: ['n'], direction: 'asc' } as const;
      expect(await idsOf(store, name, { filter: Object.fromEntries([[field, { contains: 'b' }]]), sort })).toEqual([
        'x',
      ]);
      expect(await idsOf(store, name, { filter: Object.fromEntries([[field, { containsPrefix: 'a' }]]) })).toEqual([
        'x',
        'y',
      ]);
    });

    it('all of them in one collection', async () => {
      const { store, collection } = get();
      // A path through a field cannot be indexed together with the field.
      const fields = FIELDS.filter((field) => field !== '__proto__.a');
      const name = await collection(...fields.map((field) => ({ fields: [field] })));
      for (const [i, field] of fields.entries()) await fill(store, name, { [`id${i}`]: bodyWith(field, 'value') });
      for (const [i, field] of fields.entries()) {
        expect(await idsOf(store, name, { filter: Object.fromEntries([[field, 'value']]) })).toEqual([`id${i}`]);
      }
    });

    it('which does not change what guards and deletions mean', async () => {
      const { store, collection } = get();
      const name = await collection({ fields: ['deletedAt'] }, { fields: ['position'] });
      const body = {
        deletedAt: '2000-01-01T00:00:00Z',
        position: '99',
        batch: 1,
        body: { _id: 'b' },
        _id: 'c',
        id: 'd',
      };
      await fill(store, name, { a: body });
      expect(await read(store, name, 'a')).toEqual({ id: 'a', position: '01', body });
      expect(await idsOf(store, name, { filter: { deletedAt: body.deletedAt } })).toEqual(['a']);
      const later = put(name, 'a', { ...body, position: '00' }, { position: '02', guard: 'older' });
      expect(await store.apply({ writes: [later] })).toEqual({ rejected: [] });
      const deletion = remove(name, 'a', '03', '02');
      expect(await store.apply({ writes: [deletion] })).toEqual({ rejected: [] });
      expect(await idsOf(store, name, { filter: { deletedAt: body.deletedAt } })).toEqual([]);
      const again = put(name, 'a', body, { position: '03' });
      expect(await store.apply({ writes: [again] })).toEqual({ rejected: [again] });
    });

    it('but not one that starts with $ or has an empty part', async () => {
      const { store } = get();
      for (const field of ['$a', 'a.$b', '$**', '', '.', 'a.', '.a', 'a\0', '\ud800']) {
        const name = 'test.names';
        await expect(store.define([{ name, indexes: [{ fields: [field] }] }])).rejects.toMatchObject(INVALID);
        await expect(store.define([{ name, indexes: [{ fields: [], array: field }] }])).rejects.toMatchObject(INVALID);
      }
    });
  });

  it('indexes are distinguished by all of their fields', async () => {
    const { store, collection } = get();
    const name = await collection({ fields: ['a', 'b'] }, { fields: ['a b'] }, { fields: ['b', 'a'] });
    await fill(store, name, { x: { a: 1, b: 2 }, z: { 'a b': 3, b: 2 } });
    expect(await idsOf(store, name, { filter: { a: 1, b: 2 } })).toEqual(['x']);
    expect(await idsOf(store, name, { filter: { 'a b': 3 } })).toEqual(['z']);
    expect(await idsOf(store, name, { filter: { b: 2 }, sort: { fields: ['a'], direction: 'asc' } })).toEqual(['x']);
  });

  it('a field cannot become an array when it is a scalar in an index that was defined before', async () => {
    const { store, collection } = get();
    const name = await collection({ fields: ['a', 'b'] });
    const indexes = [{ fields: ['b'], array: 'a' }];
    await expect(store.define([{ name, indexes }])).rejects.toMatchObject(INVALID);
    await fill(store, name, { x: { a: 1, b: 2 } });
    expect(await idsOf(store, name, { filter: { a: 1, b: 2 } })).toEqual(['x']);
  });

  it.each(COLLECTIONS)('a collection may be named %s', async (name) => {
    const { store } = get();
    await store.define([{ name, indexes: [{ fields: ['a'] }, { fields: [], array: 'tags' }] }]);
    await fill(store, name, { x: { a: name, tags: ['t'] } });
    await store.apply({ writes: [remove(name, 'y', '01')] });
    expect(await idsOf(store, name, { filter: { a: name } })).toEqual(['x']);
    expect(await idsOf(store, name, { filter: { tags: { contains: 't' } } })).toEqual(['x']);
    await store.drop(name);
    await store.define([{ name, indexes: [] }]);
    expect(await idsOf(store, name, { filter: {} })).toEqual([]);
    await store.drop(name);
  });

  it('names of collections differ in case', async () => {
    const { store } = get();
    await store.define(['Case', 'case'].map((name) => ({ name, indexes: [] })));
    await fill(store, 'Case', { x: { a: 1 } });
    expect(await read(store, 'case', 'x')).toBeUndefined();
    await store.drop('case');
    expect((await read(store, 'Case', 'x'))?.body).toEqual({ a: 1 });
  });
}
