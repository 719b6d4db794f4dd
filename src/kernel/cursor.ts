import { createHash } from 'node:crypto';
import { fits } from './conditions.ts';
import { pathOf, scalarAt } from './document.ts';
import { StoreError } from './errors.ts';
import type { JsonObject } from './json.ts';
import { type Condition, conditionOn, type Filter, type Scalar, type Sort } from './query.ts';

/** The sort key of the last document of a page: its values of the sort's fields, then its id. */
export type Keyset = Readonly<{ values: readonly (string | number)[]; id: string }>;

/** Identifies a filter and sort, so that a cursor of another query is rejected. */
function fingerprint(filter: Filter, sort: Sort): string {
  const conditions = Object.entries(filter).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([conditions, sort.fields, sort.direction]);
  return createHash('sha1').update(text).digest('base64url').slice(0, 8);
}

/** A keyset as an opaque string for the next page of the same filter and sort. */
export function encodeCursor(keyset: Keyset, filter: Filter, sort: Sort): string {
  return Buffer.from(JSON.stringify([fingerprint(filter, sort), ...keyset.values, keyset.id])).toString('base64url');
}

/** The cursor of the page after a document. A list contains only documents in which all fields of its sort are strings or numbers. */
export function cursorAfter(
  { id, body }: Readonly<{ id: string; body: JsonObject }>,
  filter: Filter,
  sort: Sort,
): string {
  const values = sort.fields.map((field) => {
    const value = scalarAt(body, pathOf(field));
    return typeof value === 'number' ? value : String(value);
  });
  return encodeCursor({ values, id }, filter, sort);
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    // Not JSON: rejected by the caller like every other invalid cursor.
    return null;
  }
}

/**
 * The keyset of a cursor. It meets the filter, so that a forged cursor cannot reach documents outside of it.
 * Throws `INVALID` for a string that is not a cursor of this filter and sort.
 */
export function decodeCursor(cursor: string, filter: Filter, sort: Sort): Keyset {
  const parsed = parse(cursor);
  const [, ...keys]: unknown[] = Array.isArray(parsed) ? parsed : [];
  const isKey = (key: unknown): key is string | number =>
    typeof key === 'string' ? key.isWellFormed() : typeof key === 'number';
  const id = keys.at(-1);
  if (typeof id === 'string' && keys.length === sort.fields.length + 1 && keys.every(isKey)) {
    const keyset: Keyset = { values: keys.slice(0, -1), id };
    // Encoding it again must give the same string: then the fingerprint matches and the cursor contains nothing else.
    if (encodeCursor(keyset, filter, sort) === cursor && meetsFilter(keyset, filter, sort)) return keyset;
  }
  throw new StoreError('INVALID', 'invalid cursor');
}

function meetsFilter({ values, id }: Keyset, filter: Filter, sort: Sort): boolean {
  const meets = (value: Scalar | undefined, condition: Scalar | Condition | undefined): boolean =>
    condition === undefined || (value !== undefined && fits(value, condition));
  return (
    meets(id, conditionOn(filter, '_id')) &&
    sort.fields.every((field, i) => meets(values[i], conditionOn(filter, field)))
  );
}
