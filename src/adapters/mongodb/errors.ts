import { MongoInvalidArgumentError, MongoServerError } from 'mongodb';
import { StoreError } from '../../kernel/errors.ts';

/** E11000: a document of this id exists already. */
export const DUPLICATE_KEY = 11_000;

/** E26: the collection to drop does not exist. */
export const NAMESPACE_NOT_FOUND = 26;

/**
 * Errors of the server (see its `error_codes.yml`) for invalid calls, which repeating does not help. Calls are checked before they are sent, so these
 * occur only when a collection was changed from outside: it was dropped (a hinted index does not exist, BadValue), or has a conflicting index
 * (IndexOptionsConflict, IndexKeySpecsConflict) or one that a body does not fit (CannotIndexParallelArrays).
 */
const INVALID: ReadonlySet<unknown> = new Set([2, 85, 86, 171]);

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
