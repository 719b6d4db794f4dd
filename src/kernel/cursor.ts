import { createHash } from 'node:crypto';
import { fits } from './conditions.ts';
import { pathOf, scalarAt } from './document.ts';
import { StoreError } from './errors.ts';
import type { JsonObject } from './json.ts';
import type { Condition, Filter, Scalar, Sort } from './query.ts';

/** Where a page ended: the values sorted by, then the id. */
export type Keyset = Readonly<{ values: readonly (string | number)[]; id: string }>;

/** What pages belong together by: a cursor of other filters or sorts is no cursor here. */
function fingerprint(filter: Filter, sort: Sort): string {
  const conditions = Object.entries(filter).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([conditions, sort.fields, sort.direction]);
  return createHash('sha1').update(text).digest('base64url').slice(0, 8);
}

/** A keyset as an opaque string for the next page of the same filter and sort. */
export function encodeCursor(keyset: Keyset, filter: Filter, sort: Sort): string {
  return Buffer.from(JSON.stringify([fingerprint(filter, sort), ...keyset.values, keyset.id])).toString('base64url');
}

/** The cursor of what comes behind a document of the list. What a list is sorted by is a string or a number in each of its documents. */
export function cursorBehind(
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
    // Not JSON: it is told from a cursor below like all else that is none.
    return null;
  }
}

/**
 * The keyset of a cursor. It lies within the filter, so that reading on from it shows nothing that the filter would not.
 * Throws `INVALID` for a string that is no cursor of this filter and sort.
 */
export function decodeCursor(cursor: string, filter: Filter, sort: Sort): Keyset {
  const parsed = parse(cursor);
  const [, ...keys]: unknown[] = Array.isArray(parsed) ? parsed : [];
  const isKey = (key: unknown): key is string | number => typeof key === 'string' || typeof key === 'number';
  const id = keys.at(-1);
  if (typeof id === 'string' && keys.length === sort.fields.length + 1 && keys.every(isKey)) {
    const keyset: Keyset = { values: keys.slice(0, -1), id };
    // Made anew it is the same string: so the fingerprint is right, and nothing else is in it.
    if (encodeCursor(keyset, filter, sort) === cursor && lies(keyset, filter, sort)) return keyset;
  }
  throw new StoreError('INVALID', 'this is not a cursor of the list');
}

function lies({ values, id }: Keyset, filter: Filter, sort: Sort): boolean {
  const meets = (value: Scalar | undefined, condition: Scalar | Condition | undefined): boolean =>
    condition === undefined || (value !== undefined && fits(value, condition));
  return meets(id, filter._id) && sort.fields.every((field, i) => meets(values[i], filter[field]));
}
