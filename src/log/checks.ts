import { StoreError } from '../kernel/errors.ts';
import type { EventMetadata } from '../kernel/event.ts';
import { UUID } from '../kernel/ids.ts';
import {
  type EventFilter,
  type ExpectedRevision,
  MAX_APPEND_BYTES,
  MAX_APPEND_EVENTS,
  type NewRecord,
  type Retention,
} from '../ports/event-store.ts';

/** What every call to an event store is checked for, once for all adapters. Each function throws `INVALID`. */

const DEFAULT_LIMIT = 512;
const LIMIT_MAX = 4_096;
const STREAM_NAME_MAX = 200;
const POSITION = /^[!-~]{1,80}$/;

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

/** 1 to 200 characters of well-formed text without `$` in front. */
export function checkStreamName(stream: string): void {
  const isName =
    stream.length > 0 && stream.length <= STREAM_NAME_MAX && !stream.startsWith('$') && stream.isWellFormed();
  if (!isName)
    invalid(`a stream name must be 1 to ${STREAM_NAME_MAX} characters of well-formed text that does not start with $`);
}

export function checkExpectedRevision(expect: ExpectedRevision): void {
  const isExpected = typeof expect === 'bigint' ? expect >= 0n : ['none', 'exists', 'any'].includes(expect);
  if (!isExpected) invalid(`invalid expected revision '${expect}'`);
}

/** A limit of a read or the size of a batch: 1 to 4,096, and 512 when none is given. */
export function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  const isLimit = Number.isInteger(limit) && limit >= 1 && limit <= LIMIT_MAX;
  return isLimit ? limit : invalid(`a limit must be a whole number from 1 to ${LIMIT_MAX}, not ${limit}`);
}

export function checkRevision(revision: bigint | undefined): bigint | null {
  if (revision === undefined) return null;
  return revision >= 0n ? revision : invalid(`revisions start at 0, not at ${revision}`);
}

/** Printable ASCII without spaces. Whether it is a position of this log, only its store knows. */
export function checkPosition(position: string | null): void {
  if (position !== null && !POSITION.test(position)) invalid('invalid position');
}

export function checkFilter(filter: EventFilter | undefined): void {
  if (filter === undefined) return;
  const names: readonly unknown[] = 'types' in filter ? filter.types : filter.categories;
  if (!names.every((name) => typeof name === 'string' && name !== ''))
    invalid('a filter must name types or categories');
}

export function checkRetention({ maxAgeMs, maxCount, truncateBefore }: Retention): void {
  const isAge =
    maxAgeMs === undefined || (Number.isSafeInteger(maxAgeMs) && maxAgeMs >= 1_000 && maxAgeMs % 1_000 === 0);
  const isCount = maxCount === undefined || (Number.isSafeInteger(maxCount) && maxCount >= 1);
  if (isAge && isCount && (truncateBefore === undefined || truncateBefore >= 0n)) return;
  invalid('a retention must have an age in whole seconds, a count from 1, and a revision from 0');
}

export function checkEventCount(count: number): void {
  if (count === 0 || count > MAX_APPEND_EVENTS)
    invalid(`an append must have 1 to ${MAX_APPEND_EVENTS} events, not ${count}`);
}

export function checkEventId(id: string): void {
  if (!UUID.test(id)) invalid(`an event id must be a UUID in lower case, not '${id}'`);
}

/** What the metadata of one event takes as JSON beside its values, in bytes. */
const METADATA_BYTES = 80;

/** Bytes of data and metadata together, as JSON. */
export function checkAppendSize(records: readonly NewRecord[]): void {
  let bytes = 0;
  for (const { data, metadata } of records) bytes += Buffer.byteLength(data) + metadataSize(metadata);
  if (bytes > MAX_APPEND_BYTES) {
    invalid(`an append must have at most ${MAX_APPEND_BYTES} bytes of data and metadata, not ${bytes}`);
  }
}

function metadataSize({ actor, correlationId, causationId, commandId }: EventMetadata): number {
  const values = (actor?.length ?? 0) + correlationId.length + (causationId?.length ?? 0) + commandId.length;
  return METADATA_BYTES + values;
}
