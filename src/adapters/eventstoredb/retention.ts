import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { ExpectedRevision, Retention } from '../../ports/event-store.ts';
import type { AppendResult } from './append-call.ts';
import { jsonDataOf } from './envelope.ts';
import type { Reader } from './reader.ts';

/** Attempts while other writers change the same stream's metadata. */
const ATTEMPTS = 10;

/** Access to records that are not Parley's events: stream metadata, and what the adapter stores for itself. */
export type InternalRecords = Readonly<{
  reader: Reader;
  append(
    stream: string,
    record: Readonly<{ type: string; data: JsonObject }>,
    expect: ExpectedRevision,
  ): Promise<AppendResult>;
}>;

/**
 * Writes the retention of a stream into its metadata, in the form the server reads, and leaves the other fields (such as access rights) as they are.
 * The first attempt assumes that the stream has no metadata, because retention is mostly set on new streams.
 */
export async function writeRetention(
  { reader, append }: InternalRecords,
  stream: string,
  retention: Retention,
): Promise<void> {
  const metastream = `$$${stream}`;
  let expect: ExpectedRevision = 'none';
  let otherFields: JsonObject = {};
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      await append(metastream, { type: '$metadata', data: { ...otherFields, ...toMetadata(retention) } }, expect);
      return;
    } catch (error) {
      if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
      const record = await reader.oneRecord(metastream, 'backwards');
      expect = record === null ? (error.actual ?? 'none') : BigInt(record.getStreamRevision());
      otherFields = record === null ? {} : withoutRetention(jsonDataOf(record));
    }
  }
  throw new StoreError('UNAVAILABLE', `too many concurrent changes to the metadata of stream '${stream}'`);
}

function toMetadata({ maxAgeMs, maxCount, truncateBefore }: Retention): JsonObject {
  return {
    ...(maxAgeMs !== undefined && { $maxAge: maxAgeMs / 1_000 }),
    ...(maxCount !== undefined && { $maxCount: maxCount }),
    // No stream has as many records as a safe integer can count.
    ...(truncateBefore !== undefined && { $tb: Math.min(Number(truncateBefore), Number.MAX_SAFE_INTEGER) }),
  };
}

function withoutRetention(metadata: unknown): JsonObject {
  if (typeof metadata !== 'object' || metadata === null) return {};
  // It was parsed from JSON.
  const { $maxAge: _age, $maxCount: _count, $tb: _before, ...otherFields } = metadata as JsonObject;
  return otherFields;
}
