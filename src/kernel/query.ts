import { StoreError } from './errors.ts';

export type Scalar = string | number | boolean | null;

/**
 * One of: any of these (at most 1,000); a range; an array that has this element; an array with an element that starts so.
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
 * By these fields, all in one direction, then by id in the same. Numbers come before strings. A document in which one of the fields holds
 * neither is not in the list.
 */
export type Sort = Readonly<{ fields: readonly string[]; direction: 'asc' | 'desc' }>;

/**
 * An index over scalar fields of the body in this order, the document's id last; with `array`, one entry for each element of that
 * field, in front of the others. Field names are paths with dots.
 */
export type IndexDefinition = Readonly<{ fields: readonly string[]; array?: string }>;

/** How an index answers a query. */
export type Plan = Readonly<{
  index: IndexDefinition;
  /** The leading parts of the index (its array, its fields, `_id`) that the filter holds to one value each. */
  equal: readonly string[];
  /** The field of the one condition that is not an equality; it is the index's next part. */
  open: string | null;
  /** What is left to sort by, `_id` included: nothing of it is in `equal`. Empty where any order does. */
  order: readonly string[];
  /** Whether the index has what fits in just that order, so that a page reads no more than itself. Else all that fits is sorted. */
  inOrder: boolean;
}>;

const PRIMARY: IndexDefinition = { fields: [] };

export type ConditionKind = 'equal' | 'in' | 'range' | 'contains' | 'containsPrefix';

/** Which kind of condition it is. Of an object it is told by its keys, so check the filter first. */
export function kindOf(condition: Scalar | Condition): ConditionKind {
  if (condition === null || typeof condition !== 'object') return 'equal';
  if ('in' in condition) return 'in';
  if ('contains' in condition) return 'contains';
  return 'containsPrefix' in condition ? 'containsPrefix' : 'range';
}

function planWith(index: IndexDefinition, filter: Filter, sort: readonly string[] | null): Plan | null {
  const kinds = new Map(Object.entries(filter).map(([field, condition]) => [field, kindOf(condition)]));
  const parts = [...(index.array === undefined ? [] : [index.array]), ...index.fields, '_id'];
  const isFixed = (part: string): boolean => kinds.get(part) === (part === index.array ? 'contains' : 'equal');
  const firstOpen = parts.findIndex((part) => !isFixed(part));
  const equal = firstOpen === -1 ? parts : parts.slice(0, firstOpen);
  const next = parts.slice(equal.length);

  // An index with an array has no entry for a document without elements: only a condition on them may use it.
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

/** Whether the open condition is on the index's next part, and of a kind for it. */
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
 * How one of the declared indexes (or the primary one, over ids) finds what fits without looking at what does not: equalities first, then
 * what is sorted by (and may be in a range), or one `in`, range or prefix whose matches are sorted. Among those that do, the first that
 * needs no sorting, else the first. `null` when none does.
 * @param sort fields, without `_id`; `null`: in any order
 */
export function planQuery(
  indexes: readonly IndexDefinition[],
  filter: Filter,
  sort: readonly string[] | null,
): Plan | null {
  // What is sorted by must be a scalar: where an array has the element, its field does not have one value.
  if (sort?.some((field) => kindOf(filter[field] ?? null).startsWith('contains'))) return null;
  let sorting: Plan | null = null;
  for (const index of [PRIMARY, ...indexes]) {
    const plan = planWith(index, filter, sort);
    if (plan?.inOrder || (plan !== null && sort === null)) return plan;
    sorting ??= plan;
  }
  return sorting;
}

/** As `planQuery`, but throws `INVALID` when no index serves. */
export function requirePlan(
  collection: string,
  indexes: readonly IndexDefinition[],
  filter: Filter,
  sort: readonly string[] | null,
): Plan {
  const plan = planQuery(indexes, filter, sort);
  if (plan !== null) return plan;
  const asked = Object.entries(filter).map(([field, condition]) => `${field} (${kindOf(condition)})`);
  const sorted = sort === null ? 'in any order' : `sorted by ${[...sort, '_id'].join(', ')}`;
  throw new StoreError(
    'INVALID',
    `no index of '${collection}' serves a query for ${asked.join(', ') || 'everything'} ${sorted}`,
  );
}
