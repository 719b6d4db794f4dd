import type { SQLInputValue } from 'node:sqlite';
import { fits, prefixEnd } from '../../kernel/conditions.ts';
import type { Condition, Scalar } from '../../kernel/query.ts';
import { EMPTY_BLOB, encodeScalar } from './documents-layout.ts';

/** A piece of a WHERE clause, about one column. `bound`: the end of a range that it sets. */
export type Term = Readonly<{
  column: string;
  sql: string;
  parameters: readonly SQLInputValue[];
  bound?: 'lower' | 'upper';
}>;

type Range = Exclude<Condition, { in: unknown } | { contains: unknown } | { containsPrefix: unknown }>;

/** Between these is what is of the same type, for SQLite orders numbers before texts before blobs. */
const START = { number: Number.NEGATIVE_INFINITY, string: '' };
const END = { number: '', string: EMPTY_BLOB };

function lower(column: string, operator: '>' | '>=', value: SQLInputValue): Term {
  return { column, sql: `${column} ${operator} ?`, parameters: [value], bound: 'lower' };
}

function upper(column: string, operator: '<' | '<=', value: SQLInputValue): Term {
  return { column, sql: `${column} ${operator} ?`, parameters: [value], bound: 'upper' };
}

/** That a column holds what can be sorted by: a string or a number. */
export function isSortable(column: string): Term {
  return upper(column, '<', EMPTY_BLOB);
}

export function equals(column: string, value: Scalar): Term {
  return { column, sql: `${column} = ?`, parameters: [encodeScalar(value)] };
}

/** The terms of a condition that is not an equality: of a range one for each end. `null` when nothing can meet it. */
export function termsOf(column: string, condition: Condition): readonly Term[] | null {
  if ('in' in condition) return condition.in.length === 0 ? null : [isOneOf(column, condition.in)];
  if ('contains' in condition) return [equals(column, condition.contains)];
  if (!('containsPrefix' in condition)) return rangeTerms(column, condition);
  const prefix = condition.containsPrefix;
  return [lower(column, '>=', prefix), upper(column, '<', prefixEnd(prefix) ?? EMPTY_BLOB)];
}

function isOneOf(column: string, values: readonly Scalar[]): Term {
  const parameters = [...new Set(values)].map(encodeScalar);
  // Filled up to a power of two, so that there are few texts to prepare.
  const size = 2 ** Math.ceil(Math.log2(parameters.length));
  while (parameters.length < size) parameters.push(parameters[0] ?? null);
  return { column, sql: `${column} IN (${parameters.map(() => '?').join(', ')})`, parameters };
}

/** One term for each end and no more: SQLite might look at the wider of two. */
function rangeTerms(column: string, range: Range): readonly Term[] | null {
  const { gt, gte, lt, lte } = range;
  const [type, ...others] = new Set([gt, gte, lt, lte].flatMap((limit) => (limit === undefined ? [] : [typeof limit])));
  if ((type !== 'number' && type !== 'string') || others.length > 0) return null;
  const isAboveAll = gt !== undefined && (gte === undefined || fits(gt, { gte }));
  const isBelowAll = lt !== undefined && (lte === undefined || fits(lt, { lte }));
  return [
    isAboveAll ? lower(column, '>', gt) : lower(column, '>=', gte ?? START[type]),
    isBelowAll || lte === undefined ? upper(column, '<', lt ?? END[type]) : upper(column, '<=', lte),
  ];
}
