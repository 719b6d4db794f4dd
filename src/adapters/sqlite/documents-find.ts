import type { SQLInputValue } from 'node:sqlite';
import type { Keyset } from '../../kernel/cursor.ts';
import { type Condition, conditionOn, type Filter, type Plan, type Scalar, type Sort } from '../../kernel/query.ts';
import { type Index, type Layout, primaryIndexOf } from './documents-layout.ts';
import { equals, isSortable, type Term, termsOf } from './documents-where.ts';

export type Sql = Readonly<{ sql: string; parameters: readonly SQLInputValue[] }>;

/** A page to read: after `keyset`, or the first one. */
export type PageRequest = Readonly<{ filter: Filter; sort: Sort; keyset: Keyset | null; limit: number }>;

/** The table or entry table that an index reads from, with the alias `k`. */
type Source = Readonly<{ index: Index | undefined; from: string; column(part: string): string }>;

function sourceOf(layout: Layout, plan: Plan): Source {
  const index = layout.indexes.find(({ definition }) => definition === plan.index);
  const column = (part: string): string => {
    if (part === '_id') return 'k.id';
    const name = part === index?.array?.field ? 'e' : index?.columns.find(({ field }) => field === part)?.name;
    return `k.${name ?? 'id'}`;
  };
  // INDEXED BY makes SQLite reject the query instead of scanning the whole table.
  const from = `${layout.table} k INDEXED BY ${index?.name ?? primaryIndexOf(layout)}`;
  return { index, from: index?.array == null ? from : `${index.name} k`, column };
}

function filterTerms(source: Source, plan: Plan, filter: Filter): Term[] | null {
  const terms: Term[] = [];
  for (const part of [...plan.equal, ...(plan.open === null ? [] : [plan.open])]) {
    const condition: Scalar | Condition = conditionOn(filter, part) ?? null;
    const column = source.column(part);
    const found =
      condition === null || typeof condition !== 'object' ? [equals(column, condition)] : termsOf(column, condition);
    if (found === null) return null;
    terms.push(...found);
  }
  return terms;
}

/** The terms that exclude unsortable values. A range read in order does so itself; next to an `in`, the plus makes SQLite search by the `in`. */
function sortableTerms(source: Source, plan: Plan): Term[] {
  const fields = plan.order.filter((field) => field !== '_id' && !(plan.inOrder && field === plan.open));
  return fields.map((field) => isSortable(`${field === plan.open ? '+' : ''}${source.column(field)}`));
}

/** The terms of a page after its keyset. */
function pageTerms(source: Source, plan: Plan, { sort, keyset }: PageRequest, terms: readonly Term[]): readonly Term[] {
  if (keyset === null) return terms;
  const columns = plan.order.map(source.column);
  const values = plan.order.map((field) =>
    field === '_id' ? keyset.id : (keyset.values[sort.fields.indexOf(field)] ?? null),
  );
  const [operator, bound] = sort.direction === 'asc' ? (['>', 'lower'] as const) : (['<', 'upper'] as const);
  const marks = values.map(() => '?').join(', ');
  const start = (first: string): Term => ({
    column: first,
    sql: `(${[first, ...columns.slice(1)].join(', ')}) ${operator} (${marks})`,
    parameters: values,
  });
  const first = columns[0] ?? '';
  // The keyset replaces the bound on that side. Where the order is not that of the index, the plus prevents SQLite from searching the index by it.
  if (!plan.inOrder) return [...terms, start(`+${first}`)];
  return [...terms.filter((term) => term.column !== first || term.bound !== bound), start(first)];
}

function whereOf(terms: readonly Term[]): string {
  return terms.length === 0 ? '' : ` WHERE ${terms.map(({ sql }) => sql).join(' AND ')}`;
}

const parametersOf = (terms: readonly Term[]): SQLInputValue[] => terms.flatMap(({ parameters }) => [...parameters]);

/** A document with several elements in a range has several entries. */
const distinct = (source: Source): string => (source.index?.array == null ? '' : 'DISTINCT ');

/** The query for id, position and body of the documents of a page. `null` when no document can match. */
export function findSql(layout: Layout, plan: Plan, request: PageRequest): Sql | null {
  const { filter, sort, keyset, limit } = request;
  const source = sourceOf(layout, plan);
  const filtered = filterTerms(source, plan, filter);
  const isSorted = sort.fields.every(
    (field) => !plan.equal.includes(field) || /string|number/.test(typeof conditionOn(filter, field)),
  );
  // Without an order, the filter matches one document at most, so nothing comes after it.
  if (filtered === null || !isSorted || (keyset !== null && plan.order.length === 0)) return null;

  const terms = pageTerms(source, plan, request, [...filtered, ...sortableTerms(source, plan)]);
  const columns = plan.order.map(source.column);
  const orderBy = (names: readonly string[]): string =>
    names.length === 0 ? '' : ` ORDER BY ${names.map((name) => `${name} ${sort.direction}`).join(', ')}`;
  const parameters = [...parametersOf(terms), limit];
  const tail = `${whereOf(terms)}${orderBy(columns)} LIMIT ?`;
  if (plan.inOrder) {
    const readsEntries = source.index?.array != null;
    const from = readsEntries ? `${source.from} CROSS JOIN ${layout.table} d ON d.doc = k.doc` : source.from;
    const name = readsEntries ? 'd' : 'k';
    return { sql: `SELECT ${name}.id, ${name}.position, ${name}.body FROM ${from}${tail}`, parameters };
  }
  // Sorts entries of the index only, not bodies.
  const keys = columns.map((column, i) => `${column} AS s${i}`).join(', ');
  const entries = `SELECT ${distinct(source)}k.doc AS doc, ${keys} FROM ${source.from}${tail}`;
  const names = columns.map((_, i) => `s.s${i}`);
  const sql = `SELECT d.id, d.position, d.body FROM (${entries}) s CROSS JOIN ${layout.table} d ON d.doc = s.doc${orderBy(names)}`;
  return { sql, parameters };
}

/** The query for the number of documents that match, up to `cap`. `null` when no document can match. */
export function countSql(layout: Layout, plan: Plan, filter: Filter, cap: number): Sql | null {
  const source = sourceOf(layout, plan);
  const terms = filterTerms(source, plan, filter);
  if (terms === null) return null;
  const only = plan.open === null ? '' : distinct(source);
  const sql = `SELECT count(*) FROM (SELECT ${only}k.doc FROM ${source.from}${whereOf(terms)} LIMIT ?)`;
  return { sql, parameters: [...parametersOf(terms), cap] };
}
