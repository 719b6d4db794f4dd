import type { Filter as MongoFilter } from 'mongodb';
import { prefixEnd } from '../../kernel/conditions.ts';
import type { Keyset } from '../../kernel/cursor.ts';
import { type Condition, type Filter, kindOf, type Plan, type Scalar, type Sort } from '../../kernel/query.ts';
import { LIVE, placeOf, type Stored } from './documents-layout.ts';

/** What MongoDB is asked of one field; all of it must hold. */
type Predicate = Readonly<Record<string, unknown>>;

/** Predicates by field; all of them must hold. */
type Terms = ReadonlyMap<string, Predicate>;

/** A page to read: behind `keyset`, or from the start. */
export type PageRequest = Readonly<{ filter: Filter; sort: Sort; keyset: Keyset | null }>;

/** That a field holds what can be sorted by. In an index, numbers and strings lie side by side. */
const SORTABLE: Predicate = { $type: ['number', 'string'] };

/**
 * MongoDB compares within a type, strings by their bytes (the simple collation, its default); null is also what is missing.
 * An element of an array has to meet both ends of a range, hence `$elemMatch`.
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

function together(terms: Terms): MongoFilter<Stored> {
  return { ...Object.fromEntries([...terms].map(([field, predicate]) => [placeOf(field), predicate])), ...LIVE };
}

/** What documents meet that are counted. */
export function countFilter(filter: Filter): MongoFilter<Stored> {
  return together(termsOf(filter));
}

/** What the documents of a page meet. `null` when none can. */
export function findFilter(plan: Plan, { filter, sort, keyset }: PageRequest): MongoFilter<Stored> | null {
  const isFixedSortable = (field: string): boolean => /string|number/.test(typeof filter[field]);
  if (sort.fields.some((field) => plan.equal.includes(field) && !isFixedSortable(field))) return null;

  const terms = termsOf(filter);
  for (const field of plan.order) {
    if (field !== '_id' && !isRange(filter, field)) terms.set(field, { ...terms.get(field), ...SORTABLE });
  }
  return keyset === null ? together(terms) : behind(plan, { filter, sort, keyset }, terms);
}

/**
 * What lies behind a keyset: for each field of the order, what is alike in those before it and further in itself. Each of these is one
 * stretch of the index that is sorted, which MongoDB merges (SORT_MERGE), so that a page reads no more than itself.
 */
function behind(
  plan: Plan,
  { filter, sort, keyset }: PageRequest & Readonly<{ keyset: Keyset }>,
  terms: Terms,
): MongoFilter<Stored> | null {
  const keyOf = (field: string): string | number =>
    field === '_id' ? keyset.id : (keyset.values[sort.fields.indexOf(field)] ?? '');
  const stretches = plan.order.flatMap((field, i) => {
    const alike = plan.order.slice(0, i).map((before) => [before, { $eq: keyOf(before) }] as const);
    const hasOneType = field === '_id' || isRange(filter, field);
    return further(terms.get(field) ?? {}, keyOf(field), sort.direction, hasOneType).map((predicate) =>
      together(new Map([...terms, ...alike, [field, predicate]])),
    );
  });
  const [only] = stretches;
  // Behind the one document that there can be, there is none.
  if (only === undefined) return null;
  return stretches.length === 1 ? only : { $or: stretches };
}

/** The predicate, narrowed to what is sorted behind `key`: further values of its type, and the other type if that is behind it. */
function further(
  predicate: Predicate,
  key: string | number,
  direction: Sort['direction'],
  hasOneType: boolean,
): readonly Predicate[] {
  const [operator, last] = direction === 'asc' ? (['$gt', 'string'] as const) : (['$lt', 'number'] as const);
  const alike = { ...predicate, [operator]: key };
  return hasOneType || typeof key === last ? [alike] : [alike, { ...predicate, $type: last }];
}

function isRange(filter: Filter, field: string): boolean {
  return kindOf(filter[field] ?? null) === 'range';
}

/** The order of a page, as MongoDB wants it. */
export function sortOf(plan: Plan, { direction }: Sort): Map<string, 1 | -1> {
  return new Map(plan.order.map((field) => [placeOf(field), direction === 'asc' ? 1 : -1]));
}
