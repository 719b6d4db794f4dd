import { isStoreError, StoreError } from '../../kernel/errors.ts';
import { jsonDataOf } from './envelope.ts';
import type { InternalRecords } from './retention.ts';

/** The stream whose first record holds the id of the log. */
const STREAM = 'parley-log';
const TYPE = 'ParleyLogCreated';

/** The id of the log. The first node writes it, with an id from `newId`. */
export async function readEpoch({ reader, append }: InternalRecords, newId: () => string): Promise<string> {
  const written = await read(reader);
  if (written !== null) return written;
  try {
    await append(STREAM, { type: TYPE, data: { epoch: newId() } }, 'none');
  } catch (error) {
    // Another node wrote it first, or the response was lost.
    if (!isStoreError(error, 'VERSION_CONFLICT', 'UNKNOWN')) throw error;
  }
  const first = await read(reader);
  if (first === null) throw new StoreError('UNAVAILABLE', 'the id of the event log cannot be read');
  return first;
}

async function read(reader: InternalRecords['reader']): Promise<string | null> {
  const record = await reader.oneRecord(STREAM, 'forwards');
  if (record === null) return null;
  const data = jsonDataOf(record);
  const epoch = typeof data === 'object' && data !== null && 'epoch' in data ? data.epoch : null;
  if (typeof epoch === 'string' && /^[A-Za-z0-9-]{1,36}$/.test(epoch)) return epoch;
  throw new StoreError('UNAVAILABLE', `the first record of stream '${STREAM}' does not hold the id of an event log`);
}
