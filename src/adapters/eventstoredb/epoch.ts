import { randomUUID } from 'node:crypto';
import { isStoreError, StoreError } from '../../kernel/errors.ts';
import { dataOf, encodeOwn } from './envelope.ts';
import type { RetentionDeps } from './retention.ts';

/** Where the id of the log stands, as its first record. Without the mark of Parley's events it is never shown. */
const STREAM = 'parley-log';
const TYPE = 'ParleyLogCreated';

/** The id of the log, written by the node that comes first. */
export async function readEpoch({ reader, append }: RetentionDeps): Promise<string> {
  const written = await read(reader);
  if (written !== null) return written;
  const epoch = randomUUID();
  try {
    await append(STREAM, 'none', encodeOwn(TYPE, { epoch }));
  } catch (error) {
    // Another node was first, or the answer was lost.
    if (!isStoreError(error, 'VERSION_CONFLICT', 'UNKNOWN')) throw error;
  }
  const first = await read(reader);
  if (first === null) throw new StoreError('UNAVAILABLE', 'the id of the event log cannot be read');
  return first;
}

async function read(reader: RetentionDeps['reader']): Promise<string | null> {
  const record = await reader.oneRecord(STREAM, 'forwards');
  if (record === null) return null;
  const data = dataOf(record);
  const epoch = typeof data === 'object' && data !== null && 'epoch' in data ? data.epoch : null;
  if (typeof epoch === 'string' && /^[A-Za-z0-9-]{1,36}$/.test(epoch)) return epoch;
  throw new StoreError('UNAVAILABLE', `the first event of stream '${STREAM}' is not the id of an event log`);
}
