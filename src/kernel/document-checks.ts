import { isKey, isText, pathOf } from './document.ts';
import { StoreError } from './errors.ts';
import type { IndexDefinition } from './query.ts';

/** Characters of an id. */
const MAX_ID = 512;
/** Writes in a batch, ids in a read, documents on a page. */
const MAX_DOCUMENTS = 4_096;
const MAX_COUNT = 100_000;
const MAX_PARTS = 8;

const POSITION = /^[!-~]+$/;
const COLLECTION = /^[A-Za-z0-9._@-]{1,80}$/;

/** A write without its body. */
type WriteHeader = Readonly<{ collection: string; id: string; position: string; guard: string | null }>;

/** A number as error texts show it: `4,096`. */
const shown = (number: number): string => number.toLocaleString('en-US');

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

function checkId(id: string): void {
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID || !isText(id)) invalid('invalid document id');
}

/** Throws `INVALID` for too many ids, and for an id that is empty, too long, or contains a lone surrogate or NUL. */
export function checkIds(ids: readonly string[]): void {
  if (ids.length > MAX_DOCUMENTS) invalid(`at most ${shown(MAX_DOCUMENTS)} documents can be read at once`);
  for (const id of ids) checkId(id);
}

/** Throws `INVALID` for a batch that is too large or writes a document twice, and for an invalid id, position or guard. */
export function checkBatch(writes: readonly WriteHeader[], last: WriteHeader | undefined): void {
  if (writes.length > MAX_DOCUMENTS) invalid(`at most ${shown(MAX_DOCUMENTS)} documents can be written at once`);
  const seen = new Set<string>();
  for (const { collection, id, position, guard } of last === undefined ? writes : [...writes, last]) {
    checkId(id);
    if (!POSITION.test(position)) invalid('invalid document position');
    if (guard !== null && !POSITION.test(guard)) invalid('invalid write guard');
    // The names of collections contain no spaces.
    seen.add(`${collection} ${id}`);
  }
  if (seen.size !== writes.length + (last === undefined ? 0 : 1)) invalid('a batch must not write a document twice');
}

/** Throws `INVALID` for an invalid page size. */
export function checkLimit(limit: number): void {
  const fits = Number.isInteger(limit) && limit >= 1 && limit <= MAX_DOCUMENTS;
  if (!fits) invalid(`a limit must be a whole number from 1 to ${shown(MAX_DOCUMENTS)}`);
}

/** Throws `INVALID` for an invalid cap of a count. */
export function checkCap(cap: number): void {
  const fits = Number.isInteger(cap) && cap >= 1 && cap <= MAX_COUNT;
  if (!fits) invalid(`a cap must be a whole number from 1 to ${shown(MAX_COUNT)}`);
}

/** Throws `INVALID` for an invalid name or index, and for a field that is an array in one index and a scalar in another. */
export function checkDefinition(collection: string, indexes: readonly IndexDefinition[]): void {
  if (!COLLECTION.test(collection)) invalid('invalid collection name');
  const arrays = new Set(indexes.flatMap(({ array }) => array ?? []));
  for (const { fields, array } of indexes) {
    const parts = array === undefined ? fields : [array, ...fields];
    const isField = (field: string): boolean => field !== '_id' && pathOf(field).every(isKey);
    if (parts.length === 0 || parts.length > MAX_PARTS || !parts.every(isField)) {
      invalid(`an index of '${collection}' must have 1 to ${MAX_PARTS} fields of the body`);
    }
    if (new Set(parts).size !== parts.length) invalid(`an index of '${collection}' must not contain a field twice`);
    const disagrees = fields.some((field) => arrays.has(field));
    if (disagrees) invalid(`a field of '${collection}' is an array in one index and a scalar in another`);
  }
}
