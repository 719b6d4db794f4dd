import type { Filter as MongoFilter } from 'mongodb';
import { prefixEnd } from '../../kernel/conditions.ts';
import type { Keyset } from '../../kernel/cursor.ts';
import {
  type Condition,
  conditionOn,
  type Filter,
  kindOf,
  type Plan,
  type Scalar,
  type Sort,
} from '../../kernel/query.ts';
import { LIVE, type Stored, storedPathOf } from './documents-layout.ts';

/** Query operators on one field; all of them must match. */
type Predicate = Readonly<Record<string, unknown>>;

/** Predicates by field; all of them must match. */
type Terms = ReadonlyMap<string, Predicate>;

/** A page to read: after `keyset`, or the first one. */
export type PageRequest = Readonly<{ filter: Filter; sort: Sort; keyset: Keyset | null }>;

/** Matches values that can be sorted. Numbers and strings are adjacent in an index. */
const SORTABLE: Predicate = { $type: ['number', 'string'] };

/**
 * MongoDB compares values of the same type only, strings by their bytes (the simple collation, which is the default); null also matches missing
 * fields. `$elemMatch` makes a single element of an array meet both ends of the range.
 */
function predicateOf(condition: Scalar | Condition): Predicate {
  if (condition === null || typeof condition !== 'object') return { $eq: condition };
  if ('in' in condition) return { $in: condition.in };
  if ('contains' in condition) return { $eq: condition.contains };
  if ('containsPrefix' in condition) {
    const end = prefixEnd(condition.containsPrefix);
    return { $elemMatch: { $gte: condition.containsPrefix, ...(end === null ? {} : { $lt: end }) } };
  }
  return Object.fromEntries(Object.entries(condition).map(([bound, limit]) => [`$${bound}`, limit]));
}

function termsOf(filter: Filter): Map<string, Predicate> {
  return new Map(Object.entries(filter).map(([field, condition]) => [field, predicateOf(condition)]));
}

function conjunction(terms: Terms): MongoFilter<Stored> {
  return { ...Object.fromEntries([...terms].map(([field, predicate]) => [storedPathOf(field), predicate])), ...LIVE };
}

/**
 * The batch size with which a query for at most `count` documents needs one response: the server leaves the cursor of a full batch open, and the
 * driver then asks for another. A single batch is not enforced, because a response has at most 16 MiB.
 */
export function batchSizeFor(count: number): number {
  return count + 1;
}

/** The filter for counting documents. */
export function countFilter(filter: Filter): MongoFilter<Stored> {
  return conjunction(termsOf(filter));
}

/** The filter for a page of documents. `null` when no document can match. */
export function findFilter(plan: Plan, { filter, sort, keyset }: PageRequest): MongoFilter<Stored> | null {
  const isFixedSortable = (field: string): boolean => /string|number/.test(typeof conditionOn(filter, field));
  if (sort.fields.some((field) => plan.equal.includes(field) && !isFixedSortable(field))) return null;

  const terms = termsOf(filter);
  for (const field of plan.order) {
    if (field !== '_id' && !isRange(filter, field)) terms.set(field, { ...terms.get(field), ...SORTABLE });
  }
  return keyset === null ? conjunction(terms) : afterKeyset(plan, { filter, sort, keyset }, terms);
}

/**
 * The filter for everything after a keyset: for each field of the order, documents that are equal in the fields before it and greater (or, when
 * descending, less) in the field itself. Each is one sorted range of the index; MongoDB merges them (SORT_MERGE), so that a page reads only its own
 * documents.
 */
function afterKeyset(
  plan: Plan,
  { filter, sort, keyset }: PageRequest & Readonly<{ keyset: Keyset }>,
  terms: Terms,
): MongoFilter<Stored> | null {
  const keyOf = (field: string): string | number =>
    field === '_id' ? keyset.id : (keyset.values[sort.fields.indexOf(field)] ?? '');
  const ranges = plan.order.flatMap((field, i) => {
    const equal = plan.order.slice(0, i).map((before) => [before, { $eq: keyOf(before) }] as const);
    const hasOneType = field === '_id' || isRange(filter, field);
    return afterKey(terms.get(field) ?? {}, keyOf(field), sort.direction, hasOneType).map((predicate) =>
      conjunction(new Map([...terms, ...equal, [field, predicate]])),
    );
  });
  const [only] = ranges;
  // The filter matches one document at most, so nothing comes after it.
  if (only === undefined) return null;
  return ranges.length === 1 ? only : { $or: ranges };
}

/** The predicate, narrowed to values after `key` in the sort order: values of its type, and the other type where that comes after it. */
function afterKey(
  predicate: Predicate,
  key: string | number,
  direction: Sort['direction'],
  hasOneType: boolean,
): readonly Predicate[] {
  const [operator, last] = direction === 'asc' ? (['$gt', 'string'] as const) : (['$lt', 'number'] as const);
  const ofSameType = { ...predicate, [operator]: key };
  return hasOneType || typeof key === last ? [ofSameType] : [ofSameType, { ...predicate, $type: last }];
}

function isRange(filter: Filter, field: string): boolean {
  return kindOf(conditionOn(filter, field) ?? null) === 'range';
}

/** The sort order of a page for MongoDB. */
export function sortOf(plan: Plan, { direction }: Sort): Map<string, 1 | -1> {
  return new Map(plan.order.map((field) => [storedPathOf(field), direction === 'asc' ? 1 : -1]));
}
