import { MongoInvalidArgumentError, MongoServerError } from 'mongodb';
import { StoreError } from '../../kernel/errors.ts';

/** E11000: a document of this id exists already. */
export const DUPLICATE_KEY = 11_000;

/** E26: the collection does not exist. */
export const NAMESPACE_NOT_FOUND = 26;

/** E27: the index does not exist. */
export const INDEX_NOT_FOUND = 27;

/** E85: an index with this key exists with another name, or with this name but other options. */
export const INDEX_OPTIONS_CONFLICT = 85;

/** E86: an index with this name exists with another key. */
export const INDEX_KEY_SPECS_CONFLICT = 86;

/**
 * Errors of the server (see its `error_codes.yml`) for invalid calls, which repeating does not help. Calls are checked before they are sent, so these
 * occur only when a database was changed from outside: a collection was dropped (a hinted index does not exist, BadValue), has a conflicting index
 * or one that a body does not fit (CannotIndexParallelArrays), or an index over `deletedAt` that does not expire (InvalidOptions); or when the name of
 * the database is not valid (InvalidNamespace), or differs from that of another one only in case (DatabaseDifferCase).
 */
const INVALID: ReadonlySet<unknown> = new Set([
  2,
  72,
  73,
  INDEX_OPTIONS_CONFLICT,
  INDEX_KEY_SPECS_CONFLICT,
  171,
  13_297,
]);

/** An error of the MongoDB driver as a `StoreError`; a `StoreError` is returned unchanged. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = error instanceof MongoServerError ? error.code : undefined;
  const reason = error instanceof Error ? error.message : String(error);
  return error instanceof MongoInvalidArgumentError
    ? new StoreError('INVALID', `invalid call to MongoDB: ${reason}`, { cause: error })
    : serverError(code, reason, error);
}

/** An error that the server returned, by its code. */
export function serverError(code: unknown, reason: string, cause: unknown): StoreError {
  return INVALID.has(code)
    ? new StoreError('INVALID', `MongoDB rejected the call: ${reason}`, { cause })
    : new StoreError('UNAVAILABLE', `MongoDB is unavailable: ${reason}`, { cause });
}

/** Whether the server rejected a call with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly number[]): error is MongoServerError {
  return error instanceof MongoServerError && typeof error.code === 'number' && codes.includes(error.code);
}
