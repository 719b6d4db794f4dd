import { StoreError } from './errors.ts';
import type { Condition, Filter, Scalar, Sort } from './query.ts';

const MAX_IN = 1_000;
/** What the second halves of surrogate pairs have in their upper six bits. */
const LOW_SURROGATES = 0xdc00 >> 10;

const RANGE_KEYS: ReadonlySet<string> = new Set(['gt', 'gte', 'lt', 'lte']);

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

/** Whether it can be told apart from every other value on both engines: finite, and without lone surrogates, which UTF-8 cannot carry. */
function isValue(value: unknown): value is string | number {
  return typeof value === 'string' ? value.isWellFormed() : Number.isFinite(value);
}

function isScalar(value: unknown): value is Scalar {
  return value === null || typeof value === 'boolean' || isValue(value);
}

function isCondition(condition: unknown): condition is Scalar | Condition {
  if (condition === null || typeof condition !== 'object') return isScalar(condition);
  const entries = Object.entries(condition);
  const [key, value] = entries[0] ?? ['', undefined];
  if (RANGE_KEYS.has(key)) return entries.every(([bound, limit]) => RANGE_KEYS.has(bound) && isValue(limit));
  if (entries.length !== 1) return false;
  if (key === 'in') return Array.isArray(value) && value.length <= MAX_IN && value.every(isScalar);
  return key === 'contains'
    ? isValue(value)
    : key === 'containsPrefix' && typeof value === 'string' && value.isWellFormed();
}

/** Throws `INVALID` for a filter with something else than a condition in it. */
export function checkFilter(filter: Filter): void {
  for (const [field, condition] of Object.entries(filter)) {
    if (!isCondition(condition)) invalid(`the condition on '${field}' is none`);
  }
}

/** Throws `INVALID` for a sort by `_id` (which comes last by itself), or twice by the same field. */
export function checkSort(sort: Sort): void {
  if (sort.direction !== 'asc' && sort.direction !== 'desc') invalid('a sort is asc or desc');
  if (sort.fields.includes('_id')) invalid('a sort ends with the id by itself');
  if (new Set(sort.fields).size !== sort.fields.length) invalid('a sort names no field twice');
}

/** Order of two strings by their UTF-8 bytes, which is that of their code points and not that of `<`. */
export function compareStrings(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isWithin(value: Scalar, limit: string | number | undefined, holds: (order: number) => boolean): boolean {
  if (limit === undefined) return true;
  if (typeof value === 'string' && typeof limit === 'string') return holds(compareStrings(value, limit));
  return typeof value === 'number' && typeof limit === 'number' && holds(value - limit);
}

/** Whether a scalar field meets a condition. One on arrays holds for no scalar. */
export function fits(value: Scalar, condition: Scalar | Condition): boolean {
  if (condition === null || typeof condition !== 'object') return value === condition;
  if ('in' in condition) return condition.in.includes(value);
  if ('contains' in condition || 'containsPrefix' in condition) return false;
  return (
    isWithin(value, condition.gt, (order) => order > 0) &&
    isWithin(value, condition.gte, (order) => order >= 0) &&
    isWithin(value, condition.lt, (order) => order < 0) &&
    isWithin(value, condition.lte, (order) => order <= 0)
  );
}

/**
 * The first string behind all that start with `prefix`: those are the ones from `prefix` up to it, exclusive.
 * `null` when all strings behind the prefix start so.
 */
export function prefixEnd(prefix: string): string | null {
  let end = prefix.length;
  while (end > 0) {
    const start = end - (prefix.charCodeAt(end - 1) >> 10 === LOW_SURROGATES ? 2 : 1);
    const last = prefix.codePointAt(start) ?? 0;
    // The code points from U+D800 to U+DFFF are surrogates, which no string may hold alone.
    if (last < 0x10ffff) return prefix.slice(0, start) + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
    end = start;
  }
  return null;
}
