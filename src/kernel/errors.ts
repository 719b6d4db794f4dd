/**
 * Why an aggregate, or what stands before it, said no. Each has one HTTP status, assigned in `src/http/problems.ts`.
 * Codes are part of the public contract: a problem's `code`.
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

/** One thing wrong with the input: `path` is a JSON pointer into the body, or the parameter's name. */
export type FieldError = Readonly<{ path: string; message: string }>;

/** A refusal in words for its reader. `retryAfterMs` says when to try again, where that is known. */
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
 * How a call to a store can end badly; closed, and the same for every adapter.
 * - `VERSION_CONFLICT`: the stream is not at the expected revision; nothing was written. `actual` is its last revision, `null` when it does not exist.
 * - `UNAVAILABLE`: the store cannot be reached or will not take it; nothing was written to the event log (documents and keys: see their ports).
 * - `UNKNOWN`: no answer came in time; it may have been written, and may still be.
 * - `INVALID`: the call itself is wrong (an event that its schema refuses, a query that no index serves); nothing was written.
 * - `CLOSED`: the store was closed; nothing was written.
 */
export type StoreErrorCode = 'VERSION_CONFLICT' | 'UNAVAILABLE' | 'UNKNOWN' | 'INVALID' | 'CLOSED';

/** The one error that adapters of stores throw. */
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

/** Whether `error` is a `StoreError`, of one of the given codes if any are given. */
export function isStoreError(error: unknown, ...codes: readonly StoreErrorCode[]): error is StoreError {
  return error instanceof StoreError && (codes.length === 0 || codes.includes(error.code));
}
