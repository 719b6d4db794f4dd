import { describe, expect, it } from 'vitest';
import { MAX_BODY, MAX_DEPTH } from '../../src/kernel/document.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, INVALID, put, read } from './documents-fixtures.ts';

function nested(levels: number): JsonObject {
  return levels === 1 ? {} : { in: nested(levels - 1) };
}

/** Invalid bodies, including some that the types allow. */
const bad: readonly (readonly [string, unknown])[] = [
  ['an array', []],
  ['a key with a dot', { 'a.b': 1 }],
  ['a key that starts with a dollar', { a: [{ $set: 1 }] }],
  ['an empty key', { a: { '': 1 } }],
  ['a key with NUL', { 'a\0': 1 }],
  ['a key with a lone surrogate', { '\ud83d': 1 }],
  ['a string with a lone surrogate', { a: ['x\ude00'] }],
  ['NaN', { a: Number.NaN }],
  ['an infinite number', { a: Number.NEGATIVE_INFINITY }],
  ['undefined', { a: undefined }],
  ['a hole in an array', { a: new Array(1) }],
  ['a bigint', { a: 1n }],
  ['a Date', { a: new Date(0) }],
  ['a Map', { a: new Map() }],
  ['too many levels', nested(MAX_DEPTH + 1)],
  ['too many characters', { a: 'x'.repeat(MAX_BODY) }],
];

export function bodiesContract(get: () => DocumentsContext): void {
  describe('bodies', () => {
    it('are returned as they were written', async () => {
      const { store, collection } = get();
      const name = await collection();
      const body: JsonObject = {
        texts: [
          '',
          ' ',
          'grün',
          '漢字',
          '👩‍👩‍👧 and 😀',
          'a.b',
          '$set',
          '% _ \\ " \' * ^',
          'line\nline\t\u0001',
          '\ufeff',
          '\uffff',
        ],
        numbers: [
          0,
          1,
          -1,
          0.1,
          0.1 + 0.2,
          1e21,
          5e-324,
          1.7976931348623157e308,
          2 ** 31,
          2 ** 53 - 1,
          -(2 ** 53),
          1e15 + 0.5,
        ],
        others: [true, false, null, [], {}, [[]], [{}], { a: null }],
        keys: {
          '👍': ['u1'],
          '👩‍👩‍👧': 1,
          a$: 1,
          'with blank': 1,
          '\u00e9': 1,
          'e\u0301': 2,
          constructor: 1,
          toString: 2,
          hasOwnProperty: 3,
          _id: 4,
          id: 5,
        },
        2: 'b',
        1: 'a',
      };
      await fill(store, name, { a: body });
      expect(await read(store, name, 'a')).toStrictEqual({ id: 'a', position: '01', body });
    });

    it('can have keys that are special in JavaScript', async () => {
      const { store, collection } = get();
      const name = await collection();
      const body: JsonObject = JSON.parse('{"__proto__": {"a": 1}, "prototype": 2}');
      await fill(store, name, { a: body });
      const found = await read(store, name, 'a');
      expect(JSON.stringify(found?.body)).toBe('{"__proto__":{"a":1},"prototype":2}');
    });

    it('keep the order of their keys', async () => {
      const { store, collection } = get();
      const name = await collection();
      await fill(store, name, { a: { z: 1, a: { y: 1, b: 2 }, m: 3 } });
      expect(JSON.stringify((await read(store, name, 'a'))?.body)).toBe('{"z":1,"a":{"y":1,"b":2},"m":3}');
    });

    it('can be empty, deeply nested and large', async () => {
      const { store, collection } = get();
      const name = await collection();
      const large = { text: 'ü'.repeat(2 ** 19), list: Array.from({ length: 20_000 }, (_, i) => i) };
      await fill(store, name, { empty: {}, deep: nested(MAX_DEPTH), large });
      for (const [id, body] of Object.entries({ empty: {}, deep: nested(MAX_DEPTH), large })) {
        expect((await read(store, name, id))?.body).toEqual(body);
      }
    });

    it('can have the maximum number of characters, whatever they are', async () => {
      const { store, collection } = get();
      const name = await collection();
      // Short elements of arrays are the JSON that grows most when it is stored as BSON.
      const body = { ab: new Array<number>((MAX_BODY - 8) / 2).fill(1) };
      expect(JSON.stringify(body)).toHaveLength(MAX_BODY);
      await fill(store, name, { a: body });
      expect((await read(store, name, 'a'))?.body).toEqual(body);
    });

    it.each(bad)('are rejected: %s', async (_what, body) => {
      const { store, collection } = get();
      const name = await collection();
      const writes = [put(name, 'good', {}), put(name, 'bad', body as JsonObject)];
      await expect(store.apply({ writes })).rejects.toMatchObject(INVALID);
      expect(await store.getMany(name, ['good', 'bad'])).toEqual(new Map());
    });
  });

  describe('ids and positions', () => {
    it('are stored unchanged', async () => {
      const { store, collection } = get();
      const name = await collection();
      const ids = [
        'a',
        'A',
        'a.b/c:d',
        '$id',
        ' ',
        'ü',
        'u\u0308',
        '😀',
        '007',
        '7',
        '7.0',
        'null',
        "o'x",
        'x'.repeat(512),
      ];
      const writes = ids.map((id, i) => put(name, id, { i }, { position: `0/${i}~!` }));
      expect(await store.apply({ writes })).toEqual({ rejected: [] });
      const expected = ids.map((id, i): [string, unknown] => [id, { id, position: `0/${i}~!`, body: { i } }]);
      expect(await store.getMany(name, ids)).toEqual(new Map(expected));
    });

    it.each([
      ['an empty id', '', '01'],
      ['an id of 513 characters', 'x'.repeat(513), '01'],
      ['an id with a lone surrogate', 'a\ud800', '01'],
      ['an id with NUL', 'a\0', '01'],
      ['an empty position', 'a', ''],
      ['a position with a space', 'a', '0 1'],
      ['a position that is not ASCII', 'a', '1é'],
    ])('are rejected: %s', async (_what, id, position) => {
      const { store, collection } = get();
      const name = await collection();
      await expect(store.apply({ writes: [put(name, id, {}, { position })] })).rejects.toMatchObject(INVALID);
    });

    it('are also checked in guards', async () => {
      const { store, collection } = get();
      const name = await collection();
      await expect(store.apply({ writes: [put(name, 'a', {}, { guard: '' })] })).rejects.toMatchObject(INVALID);
    });
  });
}
