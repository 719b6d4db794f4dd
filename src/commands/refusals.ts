import { isStoreError, Refusal } from '../kernel/errors.ts';

/** A failure of the store as callers of the command handler see it; any other error as it is. */
export function asRefusal(error: unknown): unknown {
  if (isStoreError(error, 'ERASED')) return new Refusal('unauthenticated', 'this account was erased', { cause: error });
  if (isStoreError(error, 'UNAVAILABLE', 'CLOSED', 'VERSION_CONFLICT')) {
    return unavailable('nothing was written; try again', error);
  }
  if (isStoreError(error, 'UNKNOWN')) return outcomeUnknown(error);
  return error;
}

export function unavailable(text: string, cause?: unknown): Refusal {
  return new Refusal('unavailable', text, { retryAfterMs: 1_000, cause });
}

export function outcomeUnknown(cause?: unknown): Refusal {
  const text = 'it may have been written; repeat it with the same Idempotency-Key to find out';
  return new Refusal('outcome-unknown', text, { retryAfterMs: 1_000, cause });
}

/** The deadline of a command passed before it was appended. */
export function tooLate(): Refusal {
  return unavailable('the command was not handled in time; nothing was written; try again');
}
