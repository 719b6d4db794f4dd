import { MongoInvalidArgumentError, MongoServerError } from 'mongodb';
import { StoreError } from '../../kernel/errors.ts';

/** E11000: a document of this id is there already. */
export const DUPLICATE_KEY = 11_000;

/** E26: what is dropped does not exist. */
export const NAMESPACE_NOT_FOUND = 26;

/**
 * Errors of the server (its `error_codes.yml`) that blame the call: with these, repeating it does not help. The port's own checks come first, so
 * that they only come when somebody else changed a collection: dropped it (an index that is named is not there, BadValue), made an index that is in
 * the way (IndexOptionsConflict, IndexKeySpecsConflict), or one that a body does not fit (CannotIndexParallelArrays).
 */
const INVALID: ReadonlySet<unknown> = new Set([2, 85, 86, 171]);

/** What went wrong at MongoDB in the words of the ports; a `StoreError` stays what it is. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = error instanceof MongoServerError ? error.code : undefined;
  const reason = error instanceof Error ? error.message : String(error);
  return error instanceof MongoInvalidArgumentError
    ? new StoreError('INVALID', `MongoDB cannot be asked this: ${reason}`, { cause: error })
    : serverError(code, reason, error);
}

/** An error that the server told, by its code. */
export function serverError(code: unknown, reason: string, cause: unknown): StoreError {
  return INVALID.has(code)
    ? new StoreError('INVALID', `MongoDB refused the call: ${reason}`, { cause })
    : new StoreError('UNAVAILABLE', `MongoDB failed: ${reason}`, { cause });
}
