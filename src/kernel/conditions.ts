import { StoreError } from './errors.ts';
import type { Condition, Filter, Scalar, Sort } from './query.ts';

const MAX_IN = 1_000;
/** The upper six bits of the second half of a surrogate pair. */
const LOW_SURROGATES = 0xdc00 >> 10;

const RANGE_KEYS: ReadonlySet<string> = new Set(['gt', 'gte', 'lt', 'lte']);

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

/** Whether every engine can distinguish a value from all others: numbers are finite, strings without lone surrogates, which UTF-8 cannot encode. */
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

/** Throws `INVALID` for a filter with an invalid condition. */
export function checkFilter(filter: Filter): void {
  for (const [field, condition] of Object.entries(filter)) {
    if (!isCondition(condition)) invalid(`invalid condition on '${field}'`);
  }
}

/** Throws `INVALID` for a sort in no known direction, by `_id` (always the last key, never named), or twice by the same field. */
export function checkSort(sort: Sort): void {
  if (sort.direction !== 'asc' && sort.direction !== 'desc') invalid('a sort direction must be asc or desc');
  if (sort.fields.includes('_id')) invalid('a sort must not contain _id, which is always its last key');
  if (new Set(sort.fields).size !== sort.fields.length) invalid('a sort must not contain a field twice');
}

/** Compares two strings by their UTF-8 bytes, which is the order of their code points, unlike that of `<`. */
export function compareStrings(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isWithin(value: Scalar, limit: string | number | undefined, holds: (order: number) => boolean): boolean {
  if (limit === undefined) return true;
  if (typeof value === 'string' && typeof limit === 'string') return holds(compareStrings(value, limit));
  return typeof value === 'number' && typeof limit === 'number' && holds(value - limit);
}

/** Whether a scalar field meets a condition. No scalar meets a condition on arrays. */
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
 * The first string after all strings that start with `prefix`: these are the range from `prefix` up to it, exclusive.
 * `null` when no string comes after them.
 */
export function prefixEnd(prefix: string): string | null {
  let end = prefix.length;
  while (end > 0) {
    const start = end - (prefix.charCodeAt(end - 1) >> 10 === LOW_SURROGATES ? 2 : 1);
    const last = prefix.codePointAt(start) ?? 0;
    // The code points from U+D800 to U+DFFF are surrogates, which are not valid on their own.
    if (last < 0x10ffff) return prefix.slice(0, start) + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
    end = start;
  }
  return null;
}
