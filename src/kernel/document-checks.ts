import { isKey, isText, pathOf } from './document.ts';
import { StoreError } from './errors.ts';
import type { IndexDefinition } from './query.ts';

/** Characters of an id. */
const MAX_ID = 512;
/** Writes of a batch, ids of a reading, documents of a page. */
const MAX_DOCUMENTS = 4_096;
const MAX_COUNT = 100_000;
const MAX_PARTS = 8;

const POSITION = /^[!-~]+$/;
const COLLECTION = /^[A-Za-z0-9._@-]{1,80}$/;

/** What names a document and where it comes to stand. */
type Address = Readonly<{ collection: string; id: string; position: string; guard: string | null }>;

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

function checkId(id: string): void {
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID || !isText(id)) invalid('the id of a document is none');
}

/** Throws `INVALID` for too many ids, and for one that is empty, too long, or holds a lone surrogate or NUL. */
export function checkIds(ids: readonly string[]): void {
  if (ids.length > MAX_DOCUMENTS) invalid(`at most ${MAX_DOCUMENTS} documents are read at once`);
  for (const id of ids) checkId(id);
}

/** Throws `INVALID` for a batch that is too large, names a document twice, or has an id, position or guard that is none. */
export function checkBatch(writes: readonly Address[], last: Address | undefined): void {
  if (writes.length > MAX_DOCUMENTS) invalid(`at most ${MAX_DOCUMENTS} documents are written at once`);
  const seen = new Set<string>();
  for (const { collection, id, position, guard } of last === undefined ? writes : [...writes, last]) {
    checkId(id);
    if (!POSITION.test(position)) invalid('the position of a document is none');
    if (guard !== null && !POSITION.test(guard)) invalid('the guard of a write is none');
    // No name of a collection has a blank in it.
    seen.add(`${collection} ${id}`);
  }
  if (seen.size !== writes.length + (last === undefined ? 0 : 1)) invalid('a batch writes a document twice');
}

/** Throws `INVALID` for a number of documents that a page cannot have. */
export function checkLimit(limit: number): void {
  const fits = Number.isInteger(limit) && limit >= 1 && limit <= MAX_DOCUMENTS;
  if (!fits) invalid(`a limit is a whole number from 1 to ${MAX_DOCUMENTS}`);
}

/** Throws `INVALID` for a number that is not counted up to. */
export function checkCap(cap: number): void {
  const fits = Number.isInteger(cap) && cap >= 1 && cap <= MAX_COUNT;
  if (!fits) invalid(`a cap is a whole number from 1 to ${MAX_COUNT}`);
}

/**
 * Throws `INVALID` for a name of a collection or an index that cannot be, and for indexes of which one takes for an array what another
 * takes for a scalar.
 */
export function checkDefinition(collection: string, indexes: readonly IndexDefinition[]): void {
  if (!COLLECTION.test(collection)) invalid('the name of a collection is none');
  const arrays = new Set(indexes.flatMap(({ array }) => array ?? []));
  for (const { fields, array } of indexes) {
    const parts = array === undefined ? fields : [array, ...fields];
    const isField = (field: string): boolean => field !== '_id' && pathOf(field).every(isKey);
    if (parts.length === 0 || parts.length > MAX_PARTS || !parts.every(isField)) {
      invalid(`an index of '${collection}' is over 1 to ${MAX_PARTS} fields of the body`);
    }
    if (new Set(parts).size !== parts.length) invalid(`an index of '${collection}' names a field twice`);
    const disagrees = fields.some((field) => arrays.has(field));
    if (disagrees) invalid(`indexes of '${collection}' disagree on which fields are arrays`);
  }
}
