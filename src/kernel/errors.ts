/**
 * Why a request was refused, by an aggregate or before it. Each code has one HTTP status, assigned in `src/http/request/problems.ts`.
 * Codes are part of the public API: the `code` of a problem response.
 */
export type RefusalCode =
  | 'malformed'
  | 'out-of-range'
  | 'unauthenticated'
  | 'forbidden'
  | 'invalid-link'
  | 'not-found'
  | 'already-exists'
  | 'username-taken'
  | 'rule-broken'
  | 'send-uncertain'
  | 'revision-mismatch'
  | 'key-reused'
  | 'too-many-requests'
  | 'unavailable'
  | 'outcome-unknown'
  | 'not-yet-visible';

/** One error in the input. `path` is a JSON pointer into the body, or the name of a parameter. */
export type FieldError = Readonly<{ path: string; message: string }>;

/** A request was refused, with a message for the client. `retryAfterMs`: when to try again, where known. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  readonly errors: readonly FieldError[];
  readonly retryAfterMs: number | undefined;

  constructor(
    code: RefusalCode,
    message: string,
    details: { errors?: readonly FieldError[]; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errors = details.errors ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }
}

/**
 * How a call to a store can fail; closed, and the same for every adapter.
 * - `VERSION_CONFLICT`: the stream is not at the expected revision; nothing was written. `actual` is its last revision, `null` if it does not exist.
 * - `UNAVAILABLE`: the store cannot be reached or cannot do it now; nothing was written to the event log (documents, keys: see their ports).
 * - `UNKNOWN`: there was no response in time; it may have been written, or may still be.
 * - `INVALID`: the call itself is wrong (an event that does not match its schema, a query that no index serves); nothing was written.
 * - `CLOSED`: the store was closed; nothing was written.
 * - `ERASED`: the call needs the personal key of a person whose key was destroyed; nothing was written.
 */
export type StoreErrorCode = 'VERSION_CONFLICT' | 'UNAVAILABLE' | 'UNKNOWN' | 'INVALID' | 'CLOSED' | 'ERASED';

/** The only error that store adapters throw. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** Only with `VERSION_CONFLICT`. */
  readonly actual: bigint | null;

  constructor(code: StoreErrorCode, message: string, details: { actual?: bigint | null; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.actual = details.actual ?? null;
  }
}

/** Whether a store could not be reached, so that the same call may succeed later: as a store reports it, or as the command handler does. */
export function isUnavailable(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE', 'UNKNOWN') || (error instanceof Refusal && error.code === 'unavailable');
}

/** Whether `error` is a `StoreError`, of one of the given codes if any are given. */
export function isStoreError(error: unknown, ...codes: readonly StoreErrorCode[]): error is StoreError {
  return error instanceof StoreError && (codes.length === 0 || codes.includes(error.code));
}
