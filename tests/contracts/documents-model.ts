import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../src/kernel/json.ts';
import type { Condition, Filter, IndexDefinition, Scalar, Sort } from '../../src/kernel/query.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, idsOf } from './documents-fixtures.ts';

const INDEXES: readonly IndexDefinition[] = [
  { fields: ['a'] },
  { fields: ['a', 'b'] },
  { fields: ['b', 'in.c', 'a'] },
  { fields: [], array: 'tags' },
  { fields: ['a', 'b'], array: 'tags' },
];

type Documents = Readonly<Record<string, JsonObject>>;
type Case = Readonly<{ filter: Filter; sort: Sort; limit: number }>;

const text = fc.constantFrom('', 'a', 'ab', 'b', 'B', '%', '～', '😀', 'a😀', '1');
const number = fc.constantFrom(-1, 0, 0.5, 1, 2 ** 53, 0.1 + 0.2);
const scalar = fc.oneof(text, number, fc.constantFrom(true, false, null));
const sortable = fc.oneof(text, number);
const tags = fc.array(sortable, { maxLength: 4 });

const body = fc.record(
  { a: scalar, b: fc.constantFrom<Scalar>(1, 2, 'x', null), in: fc.record({ c: scalar }, { requiredKeys: [] }), tags },
  { requiredKeys: [] },
);
const id = fc.constantFrom('1', '10', '9', 'a', 'b', 'ä', 'B', '～', '😀', 'x1', 'x2', 'x3', 'x4');
const documents: fc.Arbitrary<Documents> = fc.dictionary(id, body, { minKeys: 4, maxKeys: 13 });

const range: fc.Arbitrary<Condition> = fc
  .record({ gt: sortable, gte: sortable, lt: sortable, lte: sortable }, { requiredKeys: [] })
  .filter((bounds) => Object.keys(bounds).length > 0);
const anyOf: fc.Arbitrary<Condition> = fc.array(scalar, { maxLength: 4 }).map((values) => ({ in: values }));

/** Queries that an index serves: equalities on its first parts, then an open condition, then a sort. */
const query: fc.Arbitrary<Case> = fc
  .record({
    index: fc.constantFrom<IndexDefinition>({ fields: [] }, ...INDEXES),
    equal: fc.nat(4),
    open: fc.constantFrom('nothing', 'range', 'in'),
    direction: fc.constantFrom('asc' as const, 'desc' as const),
    limit: fc.integer({ min: 1, max: 5 }),
    scalars: fc.array(scalar, { minLength: 4, maxLength: 4 }),
    element: sortable,
    prefix: text,
    range,
    anyOf,
    shuffled: fc.shuffledSubarray(['a', 'b', 'in.c']),
    inOrder: fc.boolean(),
  })
  .map(({ index, equal, open, direction, limit, scalars, element, prefix, inOrder, shuffled, ...conditions }): Case => {
    const filter: Record<string, Scalar | Condition> = {};
    const parts = index.fields.slice();
    if (index.array !== undefined && equal === 0) {
      filter[index.array] = { containsPrefix: prefix };
      return { filter, sort: { fields: shuffled.filter((field) => parts.includes(field)), direction }, limit };
    }
    if (index.array !== undefined) filter[index.array] = { contains: element };
    for (const [i, field] of parts.entries()) if (i < equal) filter[field] = scalars[i] ?? null;
    const rest = parts.slice(equal);
    const field = rest[0] ?? '_id';
    if (open === 'range') filter[field] = conditions.range;
    if (open === 'in') filter[field] = conditions.anyOf;
    const sorted = shuffled.filter((each) => parts.includes(each));
    return { filter, sort: { fields: open === 'nothing' || inOrder ? rest : sorted, direction }, limit };
  });

const isText = (value: unknown): value is string => typeof value === 'string';
const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

function fieldOf(document: string, content: JsonObject, field: string): Json {
  if (field === '_id') return document;
  let value: Json | undefined = content;
  for (const key of field.split('.')) value = (value as JsonObject | undefined)?.[key];
  return value ?? null;
}

/** Numbers first, then strings; `null` for values without an order. */
function order(a: Json, b: Json): number | null {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (isText(a) && isText(b)) return bytes(a, b);
  if (typeof a === 'number' && isText(b)) return -1;
  return isText(a) && typeof b === 'number' ? 1 : null;
}

function meets(value: Json, condition: Scalar | Condition): boolean {
  if (condition === null || typeof condition !== 'object') return value === condition;
  if ('in' in condition) return condition.in.some((each) => each === value);
  if ('contains' in condition) return Array.isArray(value) && value.includes(condition.contains);
  if ('containsPrefix' in condition) {
    return Array.isArray(value) && value.some((each) => isText(each) && each.startsWith(condition.containsPrefix));
  }
  return Object.entries(condition).every(([operator, limit]) => {
    if (typeof value !== typeof limit) return false;
    const compared = order(value, limit) ?? Number.NaN;
    if (operator.startsWith('gt')) return operator === 'gte' ? compared >= 0 : compared > 0;
    return operator === 'lte' ? compared <= 0 : compared < 0;
  });
}

/** The ids that a query must return, by checking every document. */
function expected(all: Documents, { filter, sort }: Case): string[] {
  const fields = [...sort.fields, '_id'];
  const found = Object.entries(all)
    .filter(([name, content]) =>
      Object.entries(filter).every(([field, is]) => meets(fieldOf(name, content, field), is)),
    )
    .map(([name, content]) => fields.map((field) => fieldOf(name, content, field)))
    .filter((values) => values.every((value) => isText(value) || typeof value === 'number'))
    .sort((a, b) => a.map((value, i) => order(value, b[i] ?? null) ?? 0).find((compared) => compared !== 0) ?? 0)
    .map((values) => String(values.at(-1)));
  return sort.direction === 'asc' ? found : found.toReversed();
}

export function modelContract(get: () => DocumentsContext): void {
  describe('all pages of a query', () => {
    it('are the result of checking every document', async () => {
      const { store, collection } = get();
      const property = fc.asyncProperty(
        documents,
        fc.array(query, { minLength: 10, maxLength: 20 }),
        async (all, cases) => {
          const name = await collection(...INDEXES);
          await fill(store, name, all);
          for (const each of cases) {
            const ids = expected(all, each);
            expect(await idsOf(store, name, each, each.limit)).toEqual(ids);
            const fitting = expected(all, { ...each, sort: { fields: [], direction: 'asc' } });
            expect(await store.count(name, each.filter, each.limit)).toBe(Math.min(each.limit, fitting.length));
          }
          await store.drop(name);
        },
      );
      await fc.assert(property, { numRuns: 25 });
    });
  });
}
