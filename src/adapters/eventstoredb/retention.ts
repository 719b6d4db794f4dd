import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { ExpectedRevision, Retention } from '../../ports/event-store.ts';
import type { AppendResult } from './append-call.ts';
import { dataOf, encodeOwn, type Message } from './envelope.ts';
import type { Reader } from './reader.ts';

/** Attempts against others who change the same stream's metadata. */
const ATTEMPTS = 10;

export type RetentionDeps = Readonly<{
  reader: Reader;
  append(stream: string, expect: ExpectedRevision, message: Message): Promise<AppendResult>;
}>;

/**
 * Writes what a stream may forget into its metadata, as the server reads it, and leaves what else stands there (such as access rights) as it is.
 * The first attempt assumes that there is none yet, as is so for the streams that get a retention most often: new ones.
 */
export async function writeRetention(deps: RetentionDeps, stream: string, retention: Retention): Promise<void> {
  const metastream = `$$${stream}`;
  let expect: ExpectedRevision = 'none';
  let others: JsonObject = {};
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      await deps.append(metastream, expect, encodeOwn('$metadata', { ...others, ...toMetadata(retention) }));
      return;
    } catch (error) {
      if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
      const record = await deps.reader.oneRecord(metastream, 'backwards');
      expect = record === null ? (error.actual ?? 'none') : BigInt(record.getStreamRevision());
      others = record === null ? {} : withoutRetention(dataOf(record));
    }
  }
  throw new StoreError('UNAVAILABLE', `the metadata of stream '${stream}' is being changed by others`);
}

function toMetadata({ maxAgeMs, maxCount, truncateBefore }: Retention): JsonObject {
  return {
    ...(maxAgeMs !== undefined && { $maxAge: maxAgeMs / 1_000 }),
    ...(maxCount !== undefined && { $maxCount: maxCount }),
    // No stream ever gets near the limit of a safe integer.
    ...(truncateBefore !== undefined && { $tb: Math.min(Number(truncateBefore), Number.MAX_SAFE_INTEGER) }),
  };
}

function withoutRetention(metadata: unknown): JsonObject {
  if (typeof metadata !== 'object' || metadata === null) return {};
  // It was JSON.
  const { $maxAge: _age, $maxCount: _count, $tb: _before, ...others } = metadata as JsonObject;
  return others;
}
