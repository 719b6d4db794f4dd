import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareStrings, fits, prefixEnd } from '../../src/kernel/conditions.ts';
import { decodeCursor, encodeCursor } from '../../src/kernel/cursor.ts';
import { type Filter, type IndexDefinition, planQuery, requirePlan, type Sort } from '../../src/kernel/query.ts';

const AB: IndexDefinition = { fields: ['a', 'b'] };
const A: IndexDefinition = { fields: ['a'] };
const TAGS: IndexDefinition = { fields: [], array: 'tags' };
const TAGS_B: IndexDefinition = { fields: ['b'], array: 'tags' };

/** Filter, sort, the declared indexes, and the plan in short: index, equalities, open condition, order, whether in order. */
type Case = readonly [Filter, readonly string[] | null, readonly IndexDefinition[], string | null];

const served: readonly Case[] = [
  [{}, [], [], '- | - | _id | in order'],
  [{ _id: 'x' }, [], [], '_id | - | - | in order'],
  [{ _id: { gt: 'x' } }, [], [], '- | _id | _id | in order'],
  [{ _id: { in: ['x'] } }, [], [], '- | _id | _id | sorted'],
  [{}, ['a'], [A], 'a: - | - | a _id | in order'],
  [{ a: 1 }, [], [A], 'a: a | - | _id | in order'],
  [{ a: null }, [], [A], 'a: a | - | _id | in order'],
  [{ a: 1, _id: { lt: 'x' } }, [], [A], 'a: a | _id | _id | in order'],
  [{ a: 1 }, ['b'], [A, AB], 'a,b: a | - | b _id | in order'],
  [{ a: 1 }, ['a', 'b'], [A, AB], 'a,b: a | - | b _id | in order'],
  [{ a: 1 }, ['b', 'a'], [A, AB], 'a,b: a | - | b _id | in order'],
  [{ a: 1, b: 2 }, ['b'], [AB], 'a,b: a b | - | _id | in order'],
  [{ a: 1, b: { gt: 2 } }, ['b'], [AB], 'a,b: a | b | b _id | in order'],
  [{ a: 1, b: { gt: 2 } }, [], [AB], 'a,b: a | b | _id | sorted'],
  [{ a: { gt: 1 } }, ['a', 'b'], [AB], 'a,b: - | a | a b _id | in order'],
  [{ a: { gt: 1 } }, ['a'], [AB], 'a,b: - | a | a _id | sorted'],
  [{ a: { gt: 1 } }, ['a'], [AB, A], 'a: - | a | a _id | in order'],
  [{ a: { gt: 1 } }, ['b'], [AB], 'a,b: - | a | b _id | sorted'],
  [{ a: { in: [1] } }, ['a', 'b'], [AB], 'a,b: - | a | a b _id | sorted'],
  [{ tags: { contains: 'x' } }, [], [TAGS_B, TAGS], 'tags/: tags | - | _id | in order'],
  [{ tags: { contains: 'x' } }, ['b'], [TAGS, TAGS_B], 'tags/b: tags | - | b _id | in order'],
  [{ tags: { contains: 'x' }, b: { in: [1] } }, [], [TAGS_B], 'tags/b: tags | b | _id | sorted'],
  [{ tags: { containsPrefix: 'x' } }, ['b'], [TAGS, TAGS_B], 'tags/b: - | tags | b _id | sorted'],
  [{ a: 1 }, null, [AB], 'a,b: a | - | - | sorted'],
  [{ a: 1, b: { in: [1] } }, null, [A, AB], 'a,b: a | b | - | sorted'],
  [{ tags: { contains: 'x' } }, null, [TAGS_B], 'tags/b: tags | - | - | sorted'],
];

const rejected: readonly Case[] = [
  [{ a: 1 }, [], [], null],
  [{}, ['a'], [AB], null],
  [{ a: 1 }, [], [AB], null],
  [{ b: 1 }, ['a'], [AB], null],
  [{ b: { gt: 1 } }, ['a', 'b'], [AB], null],
  [{ a: { gt: 1 }, b: 1 }, ['a'], [AB], null],
  [{ a: { gt: 1 }, b: { gt: 1 } }, null, [AB], null],
  [{ a: 1, c: 1 }, [], [A], null],
  [{ a: { in: [1] } }, ['c'], [A], null],
  [{ b: 1 }, ['b'], [TAGS_B], null],
  [{ tags: 'x' }, [], [TAGS], null],
  [{ a: { contains: 'x' } }, [], [A], null],
  [{ tags: { contains: 'x' } }, ['tags'], [TAGS], null],
  [{ tags: { containsPrefix: 'x' }, b: 1 }, [], [TAGS_B], null],
  [{ tags: { in: ['x'] } }, [], [TAGS], null],
];

function inShort([filter, sort, indexes]: Case): string | null {
  const plan = planQuery(indexes, filter, sort);
  if (plan === null) return null;
  const { array, fields } = plan.index;
  const index = `${array === undefined ? '' : `${array}/`}${fields.join(',')}`;
  const name = index === '' ? '' : `${index}: `;
  const parts = [plan.equal.join(' '), plan.open, plan.order.join(' '), plan.inOrder ? 'in order' : 'sorted'];
  return name + parts.map((part) => part || '-').join(' | ');
}

describe('a plan', () => {
  it.each(served)('exists for %j sorted by %j', (...args) => {
    expect(inShort(args)).toBe(args[3]);
  });

  it.each(rejected)('does not exist for %j sorted by %j', (...args) => {
    expect(inShort(args)).toBeNull();
  });

  it('that is required but missing is described in the error, without values', () => {
    expect(() => requirePlan('people', [A], { name: 'Ada', tags: { contains: 'x' } }, ['a'])).toThrow(
      expect.objectContaining({
        code: 'INVALID',
        message: "no index of 'people' serves a query for name (equal), tags (contains) sorted by a, _id",
      }),
    );
    expect(() => requirePlan('people', [], {}, ['a'])).toThrow('for everything sorted by a, _id');
    expect(() => requirePlan('people', [], { a: 1 }, null)).toThrow('for a (equal) in any order');
  });
});

/** Any string without lone surrogates, with characters at the boundaries of UTF-16 and UTF-8 more often. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc
    .array(fc.constantFrom('a', 'b', '\0', '\u007f', '\u0080', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}'))
    .map((all) => all.join('')),
);

describe('strings', () => {
  it('compare by their code points', () => {
    const points = (value: string): number[] => Array.from(value, (character) => character.codePointAt(0) ?? 0);
    const property = fc.property(text, text, (a, b) => {
      const [left, right] = [points(a), points(b)];
      const differing = left.findIndex((point, i) => point !== right[i]);
      const expected =
        differing === -1 ? left.length - right.length : (left[differing] ?? 0) - (right[differing] ?? -1);
      expect(Math.sign(compareStrings(a, b))).toBe(Math.sign(expected));
    });
    fc.assert(property);
  });

  it('start with a prefix exactly when they are between it and its end', () => {
    const property = fc.property(text, text, fc.boolean(), (prefix, other, isJoined) => {
      const candidate = isJoined ? prefix + other : other;
      const end = prefixEnd(prefix);
      const isWithin = compareStrings(candidate, prefix) >= 0 && (end === null || compareStrings(candidate, end) < 0);
      expect(isWithin).toBe(candidate.startsWith(prefix));
      expect(end?.isWellFormed() ?? true).toBe(true);
    });
    fc.assert(property);
  });

  it.each([
    ['', null],
    ['a', 'b'],
    ['ab', 'ac'],
    ['a\u{10ffff}', 'b'],
    ['\u{10ffff}\u{10ffff}', null],
    ['\ud7ff', '\ue000'],
    ['\uffff', '\u{10000}'],
    ['😀', '😁'],
  ])('the end of the prefix %j is %j', (prefix, end) => {
    expect(prefixEnd(prefix)).toBe(end);
  });
});

describe('a scalar', () => {
  it.each([
    [1, 1, true],
    [1, '1', false],
    [null, null, true],
    [false, null, false],
    ['a', { in: ['b', 'a'] }, true],
    ['a', { in: [] }, false],
    [2, { gt: 1, lte: 2 }, true],
    [2, { gt: 2 }, false],
    ['2', { gt: 1 }, false],
    [true, { gte: 0 }, false],
    [null, { lt: 1 }, false],
    ['\uffff', { lt: '😀' }, true],
    ['a', { gt: 'A', lt: 'b' }, true],
    ['a', { gt: 0, lt: 'b' }, false],
    ['a', { contains: 'a' }, false],
    ['a', { containsPrefix: 'a' }, false],
  ] as const)('%j fits %j: %j', (value, condition, expected) => {
    expect(fits(value, condition)).toBe(expected);
  });
});

describe('a cursor', () => {
  const sort: Sort = { fields: ['a', 'b'], direction: 'asc' };

  it('decodes to the keyset it was encoded from', () => {
    const value = fc.oneof(
      text,
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
      fc.integer(),
    );
    const property = fc.property(value, value, text, (a, b, id) => {
      const keyset = { values: [a, b], id };
      expect(decodeCursor(encodeCursor(keyset, {}, sort), {}, sort)).toEqual(keyset);
    });
    fc.assert(property);
  });

  it('does not depend on the order of the conditions in the filter', () => {
    const keyset = { values: [1, 2], id: 'x' };
    const cursor = encodeCursor(keyset, { a: 1, c: { in: [1] } }, sort);
    expect(decodeCursor(cursor, { c: { in: [1] }, a: 1 }, sort)).toEqual(keyset);
  });

  it('is rejected when it is any other text', () => {
    const property = fc.property(
      fc.oneof(
        fc.string(),
        fc.base64String(),
        fc.json().map((json) => Buffer.from(json).toString('base64url')),
      ),
      (cursor) => {
        expect(() => decodeCursor(cursor, {}, sort)).toThrow(expect.objectContaining({ code: 'INVALID' }));
      },
    );
    fc.assert(property);
  });

  it.each([
    [{ a: 2 }, [1, 1], 'x'],
    [{ b: { lt: 1 } }, [1, 1], 'x'],
    [{ b: { in: [2] } }, [1, 1], 'x'],
    [{ _id: { gt: 'y' } }, [1, 1], 'x'],
    [{ a: null }, [1, 1], 'x'],
  ] as const)('is rejected when it is outside the filter %j', (filter, values, id) => {
    const cursor = encodeCursor({ values, id }, filter, sort);
    expect(() => decodeCursor(cursor, filter, sort)).toThrow(expect.objectContaining({ code: 'INVALID' }));
  });
});
