import { StoreError } from './errors.ts';

export type Scalar = string | number | boolean | null;

/**
 * One of: any of these values (at most 1,000); a range; an array that contains this element; an array with an element that starts with this prefix.
 * Strings compare by their UTF-8 bytes, numbers by value; a value of another type is outside every range.
 */
export type Condition =
  | Readonly<{ in: readonly Scalar[] }>
  | Readonly<{ gt?: string | number; gte?: string | number; lt?: string | number; lte?: string | number }>
  | Readonly<{ contains: string | number }>
  | Readonly<{ containsPrefix: string }>;

/**
 * Conditions on fields of the body (`_id`: the document's id), all of which must hold. A scalar means: equal to it, and of its type;
 * `null` is equal to a field that is `null` or missing.
 */
export type Filter = Readonly<Record<string, Scalar | Condition>>;

/**
 * Sorts by these fields, all in one direction, then by id in the same direction. Numbers come before strings. A document in which one of the
 * fields is neither is left out.
 */
export type Sort = Readonly<{ fields: readonly string[]; direction: 'asc' | 'desc' }>;

/**
 * An index over scalar fields of the body in this order, then the document's id. With `array`, it has one entry for each element of that
 * field, which comes before the others. Field names are paths with dots.
 */
export type IndexDefinition = Readonly<{ fields: readonly string[]; array?: string }>;

/** How an index answers a query. */
export type Plan = Readonly<{
  index: IndexDefinition;
  /** The leading parts of the index (its array, its fields, `_id`) that the filter restricts to one value each. */
  equal: readonly string[];
  /** The field of the only condition that is not an equality; it is the next part of the index. */
  open: string | null;
  /** The remaining sort fields, with `_id` and without those in `equal`. Empty when any order is acceptable. */
  order: readonly string[];
  /** Whether the index has the matches in exactly that order, so that a page reads only its own entries. Otherwise all matches are sorted. */
  inOrder: boolean;
}>;

const PRIMARY: IndexDefinition = { fields: [] };

export type ConditionKind = 'equal' | 'in' | 'range' | 'contains' | 'containsPrefix';

/** The kind of a condition. That of an object is determined by its keys, so check the filter first. */
export function kindOf(condition: Scalar | Condition): ConditionKind {
  if (condition === null || typeof condition !== 'object') return 'equal';
  if ('in' in condition) return 'in';
  if ('contains' in condition) return 'contains';
  return 'containsPrefix' in condition ? 'containsPrefix' : 'range';
}

/** The condition on a field. A field may have the name of an inherited property, such as `constructor` or `__proto__`. */
export function conditionOn(filter: Filter, field: string): Scalar | Condition | undefined {
  return Object.hasOwn(filter, field) ? filter[field] : undefined;
}

function planWith(index: IndexDefinition, filter: Filter, sort: readonly string[] | null): Plan | null {
  const kinds = new Map(Object.entries(filter).map(([field, condition]) => [field, kindOf(condition)]));
  const parts = [...(index.array === undefined ? [] : [index.array]), ...index.fields, '_id'];
  const isFixed = (part: string): boolean => kinds.get(part) === (part === index.array ? 'contains' : 'equal');
  const firstOpen = parts.findIndex((part) => !isFixed(part));
  const equal = firstOpen === -1 ? parts : parts.slice(0, firstOpen);
  const next = parts.slice(equal.length);

  // An index with an array has no entry for a document without elements, so only a condition on the array can use it.
  if (index.array !== undefined && !kinds.has(index.array)) return null;
  const [open = null, ...more] = [...kinds.keys()].filter((field) => !equal.includes(field));
  if (more.length > 0 || (open !== null && !opensOn(index, next[0], open, kinds.get(open)))) return null;
  if (sort === null) return { index, equal, open, order: [], inOrder: false };

  const order = [...sort, '_id'].filter((field) => !equal.includes(field));
  const isNext = order.every((field, i) => field === next[i]);
  const inOrder = isNext && (open === null || (open === order[0] && kinds.get(open) === 'range'));
  if (inOrder) return { index, equal, open, order, inOrder };
  const isSortable = open !== null && order.every((field) => field === '_id' || index.fields.includes(field));
  return isSortable ? { index, equal, open, order, inOrder } : null;
}

/** Whether the open condition is on the next part of the index, and of a kind that the part supports. */
function opensOn(
  index: IndexDefinition,
  part: string | undefined,
  open: string,
  kind: ConditionKind | undefined,
): boolean {
  if (part !== open) return false;
  return part === index.array ? kind === 'containsPrefix' : kind === 'in' || kind === 'range';
}

/**
 * How one of the declared indexes (or the primary one, over ids) finds all matches without reading anything else: equalities first, then
 * the sort fields (the first may have a range), or one `in`, range or prefix whose matches are sorted. Chooses the first index that needs no
 * sorting, else the first that serves; `null` when none does.
 * @param sort fields, without `_id`; `null`: in any order
 */
export function planQuery(
  indexes: readonly IndexDefinition[],
  filter: Filter,
  sort: readonly string[] | null,
): Plan | null {
  // Sort fields must be scalars: an array has no single value to sort by.
  if (sort?.some((field) => kindOf(conditionOn(filter, field) ?? null).startsWith('contains'))) return null;
  let sorting: Plan | null = null;
  for (const index of [PRIMARY, ...indexes]) {
    const plan = planWith(index, filter, sort);
    if (plan?.inOrder || (plan !== null && sort === null)) return plan;
    sorting ??= plan;
  }
  return sorting;
}

/** Like `planQuery`, but throws `INVALID` when no index serves the query. */
export function requirePlan(
  collection: string,
  indexes: readonly IndexDefinition[],
  filter: Filter,
  sort: readonly string[] | null,
): Plan {
  const plan = planQuery(indexes, filter, sort);
  if (plan !== null) return plan;
  const conditions = Object.entries(filter).map(([field, condition]) => `${field} (${kindOf(condition)})`);
  const sorted = sort === null ? 'in any order' : `sorted by ${[...sort, '_id'].join(', ')}`;
  throw new StoreError(
    'INVALID',
    `no index of '${collection}' serves a query for ${conditions.join(', ') || 'everything'} ${sorted}`,
  );
}
