import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { countSql, findSql, type Sql } from '../../src/adapters/sqlite/documents-find.ts';
import { type Layout, layoutOf } from '../../src/adapters/sqlite/documents-layout.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { Keyset } from '../../src/kernel/cursor.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type Filter, type IndexDefinition, type Plan, requirePlan } from '../../src/kernel/query.ts';

const INDEXES: readonly IndexDefinition[] = [
  { fields: ['a', 'b', 'c'] },
  { fields: ['b'] },
  { fields: [], array: 'tags' },
  { fields: ['a', 'b'], array: 'tags' },
];

/** A query and the expected steps of SQLite's query plan, for the first page and for a later one, ascending. */
type Case = readonly [string, Filter, readonly string[], Keyset, first: readonly string[], later: readonly string[]];

const ids: Keyset = { values: [], id: 'x' };
const one: Keyset = { values: [1], id: 'x' };

const inOrder: readonly Case[] = [
  ['by id', { _id: 'x' }, [], ids, ['SEARCH k USING INDEX c1_id (id=?)'], []],
  [
    'in a range of ids',
    { _id: { gt: 'a' } },
    [],
    ids,
    ['SEARCH k USING INDEX c1_id (id>? AND id<?)'],
    ['SEARCH k USING INDEX c1_id (id>? AND id<?)'],
  ],
  [
    'by equality',
    { b: 1 },
    [],
    ids,
    ['SEARCH k USING INDEX c1_i1 (f1=?)'],
    ['SEARCH k USING INDEX c1_i1 (f1=? AND id>?)'],
  ],
  [
    'by null',
    { b: null },
    [],
    ids,
    ['SEARCH k USING INDEX c1_i1 (f1=?)'],
    ['SEARCH k USING INDEX c1_i1 (f1=? AND id>?)'],
  ],
  [
    'sorted',
    {},
    ['b'],
    one,
    ['SEARCH k USING INDEX c1_i1 (f1<?)'],
    ['SEARCH k USING INDEX c1_i1 ((f1,id)>(?,?) AND f1<?)'],
  ],
  [
    'by equality, sorted',
    { a: 1 },
    ['b', 'c'],
    { values: [1, 2], id: 'x' },
    ['SEARCH k USING INDEX c1_i0 (f0=? AND f1<?)'],
    ['SEARCH k USING INDEX c1_i0 (f0=? AND (f1,f2,id)>(?,?,?) AND f1<?)'],
  ],
  [
    'by equality and range, sorted',
    { a: 1, b: { gte: 0, lt: 9 } },
    ['b', 'c'],
    { values: [1, 2], id: 'x' },
    ['SEARCH k USING INDEX c1_i0 (f0=? AND f1>? AND f1<?)'],
    ['SEARCH k USING INDEX c1_i0 (f0=? AND (f1,f2,id)>(?,?,?) AND f1<?)'],
  ],
  [
    'by element',
    { tags: { contains: 'x' } },
    [],
    ids,
    ['SEARCH k USING PRIMARY KEY (e=?)', 'SEARCH d USING INTEGER PRIMARY KEY (rowid=?)'],
    ['SEARCH k USING PRIMARY KEY (e=? AND id>?)', 'SEARCH d USING INTEGER PRIMARY KEY (rowid=?)'],
  ],
  [
    'by element and equality, sorted',
    { tags: { contains: 'x' }, a: 1 },
    ['b'],
    one,
    ['SEARCH k USING PRIMARY KEY (e=? AND f0=? AND f1<?)', 'SEARCH d USING INTEGER PRIMARY KEY (rowid=?)'],
    [
      'SEARCH k USING PRIMARY KEY (e=? AND f0=? AND (f1,id)>(?,?) AND f1<?)',
      'SEARCH d USING INTEGER PRIMARY KEY (rowid=?)',
    ],
  ],
];

const sorting: readonly (readonly [string, Filter, readonly string[], Keyset, search: string])[] = [
  ['one of many', { a: { in: [1, 2] } }, ['c'], one, 'SEARCH k USING COVERING INDEX c1_i0 (f0=?)'],
  ['one of many, sorted by that', { b: { in: [1, 2] } }, ['b'], one, 'SEARCH k USING COVERING INDEX c1_i1 (f1=?)'],
  [
    'a range, sorted otherwise',
    { a: { gt: 1 } },
    ['c', 'b'],
    { values: [1, 2], id: 'x' },
    'SEARCH k USING COVERING INDEX c1_i0 (f0>? AND f0<?)',
  ],
  ['a range, by id', { b: { lt: 'x' } }, [], ids, 'SEARCH k USING COVERING INDEX c1_i1 (f1>? AND f1<?)'],
  ['a prefix', { tags: { containsPrefix: 'x' } }, [], ids, 'SEARCH k USING PRIMARY KEY (e>? AND e<?)'],
  ['a prefix, sorted', { tags: { containsPrefix: 'x' } }, ['b'], one, 'SEARCH k USING PRIMARY KEY (e>? AND e<?)'],
];

const counts: readonly (readonly [string, Filter, search: string])[] = [
  ['by id', { _id: { in: ['a', 'b'] } }, 'SEARCH k USING COVERING INDEX c1_id (id=?)'],
  ['by the first field of an index', { a: 1 }, 'SEARCH k USING COVERING INDEX c1_i0 (f0=?)'],
  ['by equality and range', { a: 1, b: { gt: 0 } }, 'SEARCH k USING COVERING INDEX c1_i0 (f0=? AND f1>? AND f1<?)'],
  ['by element', { tags: { contains: 'x' }, a: 1 }, 'SEARCH k USING PRIMARY KEY (e=? AND f0=?)'],
];

describe('SQLite uses the index for', () => {
  let folder: string;
  let database: DatabaseSync;
  let layout: Layout;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-plans-'));
    const path = join(folder, 'documents.db');
    const store = await openSqliteDocuments({ path, clock: createSystemClock(), logger: silentLogger });
    await store.define([{ name: 'plans', indexes: INDEXES }]);
    await store.close();
    database = new DatabaseSync(path);
    layout = layoutOf(1, INDEXES);
  });
  afterAll(async () => {
    database.close();
    await rm(folder, { recursive: true });
  });

  const plan = (filter: Filter, sort: readonly string[] | null): Plan => requirePlan('plans', INDEXES, filter, sort);

  function explain(query: Sql | null): string[] {
    if (query === null) return [];
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${query.sql}`).all(...query.parameters);
    return steps.map(({ detail }) => String(detail));
  }

  it.each(inOrder)('a query %s, without sorting', (_what, filter, fields, keyset, first, later) => {
    const steps = (from: Keyset | null, direction: 'asc' | 'desc') =>
      explain(findSql(layout, plan(filter, fields), { filter, sort: { fields, direction }, keyset: from, limit: 10 }));
    expect(steps(null, 'asc')).toEqual(first);
    expect(steps(null, 'desc')).toEqual(first);
    expect(steps(keyset, 'asc')).toEqual(later);
    // In descending order, the page starts from the other end of the range.
    const [descending, ...rest] = steps(keyset, 'desc');
    if (later.length > 0) expect(descending).toMatch(/^SEARCH k USING (INDEX|PRIMARY KEY) .*(id\)<\(\?|id<\?)/);
    expect(rest).toEqual(later.slice(1));
  });

  it.each(sorting)('%s, sorting entries without bodies', (_what, filter, fields, keyset, search) => {
    for (const direction of ['asc', 'desc'] as const) {
      for (const from of [null, keyset]) {
        const request = { filter, sort: { fields, direction }, keyset: from, limit: 10 };
        const steps = explain(findSql(layout, plan(filter, fields), request));
        expect(steps).toContain(search);
        expect(steps).toContain('SEARCH d USING INTEGER PRIMARY KEY (rowid=?)');
        expect(steps.filter((step) => step.startsWith('SCAN'))).toEqual(['SCAN s']);
      }
    }
  });

  it.each(counts)('a count %s, without reading documents', (_what, filter, search) => {
    const steps = explain(countSql(layout, plan(filter, null), filter, 10));
    expect(steps).toContain(search);
    expect(steps.filter((step) => /^SCAN [kd]/.test(step))).toEqual([]);
  });

  it('a page of all documents by id, after the previous one', () => {
    const request = { filter: {}, sort: { fields: [], direction: 'asc' as const }, limit: 10 };
    expect(explain(findSql(layout, plan({}, []), { ...request, keyset: null }))).toEqual(['SCAN k USING INDEX c1_id']);
    expect(explain(findSql(layout, plan({}, []), { ...request, keyset: ids }))).toEqual([
      'SEARCH k USING INDEX c1_id (id>?)',
    ]);
  });
});
