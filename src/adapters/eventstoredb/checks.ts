import { StoreError } from '../../kernel/errors.ts';
import type { ExpectedRevision, Retention } from '../../ports/event-store.ts';

const DEFAULT_LIMIT = 512;
const MAX_LIMIT = 4_096;
const MAX_STREAM_NAME = 200;

/** A limit, 512 when none is given. Throws `INVALID` outside 1 to 4,096. */
export function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new StoreError('INVALID', `a limit is 1 to ${MAX_LIMIT}, not ${limit}`);
}

/** Throws `INVALID` for a name that no stream can have. */
export function checkStreamName(stream: string): void {
  const fits =
    stream.length > 0 && stream.length <= MAX_STREAM_NAME && !stream.startsWith('$') && stream.isWellFormed();
  if (fits) return;
  throw new StoreError('INVALID', `a stream's name is 1 to ${MAX_STREAM_NAME} characters of text, without $ in front`);
}

/** Throws `INVALID` for an expectation that cannot be. */
export function checkExpectation(expect: ExpectedRevision): void {
  if (typeof expect === 'bigint' ? expect >= 0n : ['none', 'exists', 'any'].includes(expect)) return;
  throw new StoreError('INVALID', `'${expect}' is no expectation of a stream`);
}

/** Throws `INVALID` for a revision below the first. */
export function checkRevision(revision: bigint | undefined): void {
  if (revision === undefined || revision >= 0n) return;
  throw new StoreError('INVALID', `revisions start at 0, not at ${revision}`);
}

/** Throws `INVALID` for a retention that cannot be. */
export function checkRetention({ maxAgeMs, maxCount, truncateBefore }: Retention): void {
  const ageFits =
    maxAgeMs === undefined || (Number.isSafeInteger(maxAgeMs) && maxAgeMs >= 1_000 && maxAgeMs % 1_000 === 0);
  const countFits = maxCount === undefined || (Number.isSafeInteger(maxCount) && maxCount >= 1);
  if (ageFits && countFits && (truncateBefore === undefined || truncateBefore >= 0n)) return;
  throw new StoreError('INVALID', 'a retention has whole seconds, a count from 1, and a revision from 0');
}
