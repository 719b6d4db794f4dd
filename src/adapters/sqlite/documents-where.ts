import type { SQLInputValue } from 'node:sqlite';
import { fits, prefixEnd } from '../../kernel/conditions.ts';
import type { Condition, Scalar } from '../../kernel/query.ts';
import { EMPTY_BLOB, encodeScalar } from './documents-layout.ts';

/** A term of a WHERE clause on one column. `bound`: the end of a range that it sets. */
export type Term = Readonly<{
  column: string;
  sql: string;
  parameters: readonly SQLInputValue[];
  bound?: 'lower' | 'upper';
}>;

type Range = Exclude<Condition, { in: unknown } | { contains: unknown } | { containsPrefix: unknown }>;

/** The bounds of all values of a type: SQLite orders numbers before texts before blobs. */
const START = { number: Number.NEGATIVE_INFINITY, string: '' };
const END = { number: '', string: EMPTY_BLOB };

function lower(column: string, operator: '>' | '>=', value: SQLInputValue): Term {
  return { column, sql: `${column} ${operator} ?`, parameters: [value], bound: 'lower' };
}

function upper(column: string, operator: '<' | '<=', value: SQLInputValue): Term {
  return { column, sql: `${column} ${operator} ?`, parameters: [value], bound: 'upper' };
}

/** Matches values that can be sorted: strings and numbers. */
export function isSortable(column: string): Term {
  return upper(column, '<', EMPTY_BLOB);
}

export function equals(column: string, value: Scalar): Term {
  return { column, sql: `${column} = ?`, parameters: [encodeScalar(value)] };
}

/** The terms of a condition that is not an equality, for a range one for each end. `null` when no value can meet it. */
export function termsOf(column: string, condition: Condition): readonly Term[] | null {
  if ('in' in condition) return condition.in.length === 0 ? null : [isOneOf(column, condition.in)];
  if ('contains' in condition) return [equals(column, condition.contains)];
  if (!('containsPrefix' in condition)) return rangeTerms(column, condition);
  const prefix = condition.containsPrefix;
  return [lower(column, '>=', prefix), upper(column, '<', prefixEnd(prefix) ?? EMPTY_BLOB)];
}

function isOneOf(column: string, values: readonly Scalar[]): Term {
  const parameters = [...new Set(values)].map(encodeScalar);
  // Padded to a power of two, which limits the number of distinct statements.
  const size = 2 ** Math.ceil(Math.log2(parameters.length));
  while (parameters.length < size) parameters.push(parameters[0] ?? null);
  return { column, sql: `${column} IN (${parameters.map(() => '?').join(', ')})`, parameters };
}

/** Only one term for each end: of two, SQLite might search by the wider one. */
function rangeTerms(column: string, range: Range): readonly Term[] | null {
  const { gt, gte, lt, lte } = range;
  const [type, ...others] = new Set([gt, gte, lt, lte].flatMap((limit) => (limit === undefined ? [] : [typeof limit])));
  if ((type !== 'number' && type !== 'string') || others.length > 0) return null;
  const isStrictLower = gt !== undefined && (gte === undefined || fits(gt, { gte }));
  const isStrictUpper = lt !== undefined && (lte === undefined || fits(lt, { lte }));
  return [
    isStrictLower ? lower(column, '>', gt) : lower(column, '>=', gte ?? START[type]),
    isStrictUpper || lte === undefined ? upper(column, '<', lt ?? END[type]) : upper(column, '<=', lte),
  ];
}
