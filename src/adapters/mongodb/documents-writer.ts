import { type AnyBulkWriteOperation, type Collection, MongoBulkWriteError, type ObjectId } from 'mongodb';
import type { Write } from '../../ports/documents.ts';
import { LIVE, type Stored, TOMBSTONE_MS } from './documents-layout.ts';
import { DUPLICATE_KEY, serverError } from './errors.ts';

type Operation = AnyBulkWriteOperation<Stored>;

/** `batch` is new for each call, so that what stands can be told from what others wrote. `now`: ms since the epoch. */
export type Stamp = Readonly<{ batch: ObjectId; now: number }>;

/** What became of operations: which found a document of their id that their filter does not fit, and how many just found nothing. */
type Sent = Readonly<{ duplicates: ReadonlySet<number>; unmatched: number }>;

/**
 * Writes documents of one collection, each if its guard holds, and gives those whose guard did not.
 *
 * Each write is one operation on one document, whose filter is the guard, so MongoDB does it as a whole or not at all. How it tells:
 * - What may be new is inserted when nothing fits, which is a duplicate key when something else is there. That may also come of a race
 *   with one that inserts the same id, over whom the guard may well hold. So these are tried a second time, now that the document exists.
 * - What must be there for a position just does not match, and of those MongoDB tells only how many. Which, the documents themselves tell:
 *   what was written carries the mark of this call. Where another has written over it in this moment, it is told as rejected: whoever
 *   loads again finds the later document, and not the one it knows.
 *
 * Operations that the driver repeats after a lost answer are told apart by the server (retryable writes), and not done again.
 */
export async function writeGuarded(
  collection: Collection<Stored>,
  writes: readonly Write[],
  stamp: Stamp,
): Promise<readonly Write[]> {
  const sent = await send(
    collection,
    writes.map((write) => operationOf(write, stamp)),
  );
  const again = writes.filter((_, i) => sent.duplicates.has(i));
  const { duplicates } = await send(
    collection,
    again.map((write) => replacementOf(write, stamp)),
  );
  const rejected = new Set(again.filter((_, i) => duplicates.has(i)));
  for (const write of await unmatched(collection, writes, sent.unmatched, stamp)) rejected.add(write);
  return writes.filter((write) => rejected.has(write));
}

/** The first try of a write. What is to be new is only inserted, which is the fastest; whether it may replace a tombstone is the second. */
function operationOf(write: Write, stamp: Stamp): Operation {
  return write.guard === null
    ? { insertOne: { document: { _id: write.id, ...contentOf(write, stamp) } } }
    : replacementOf(write, stamp);
}

function replacementOf(write: Write, stamp: Stamp): Operation {
  const { id: _id, guard, position } = write;
  const replacement = contentOf(write, stamp);
  const forgotten = { deletedAt: { $lte: new Date(stamp.now - TOMBSTONE_MS) } };
  const older = { position: { $lt: position } };
  if (guard === null) {
    const overcome = { ...older, deletedAt: { $exists: true } };
    return { replaceOne: { filter: { _id, $or: [forgotten, overcome] }, replacement, upsert: true } };
  }
  if (guard === 'older') return { replaceOne: { filter: { _id, $or: [forgotten, older] }, replacement, upsert: true } };
  return { replaceOne: { filter: { _id, position: guard, ...LIVE }, replacement } };
}

function contentOf({ position, body }: Write, { batch, now }: Stamp): Omit<Stored, '_id'> {
  return body === null ? { position, batch, deletedAt: new Date(now) } : { position, batch, body };
}

async function send(collection: Collection<Stored>, operations: readonly Operation[]): Promise<Sent> {
  if (operations.length === 0) return { duplicates: new Set(), unmatched: 0 };
  try {
    const result = await collection.bulkWrite(operations, { ordered: false });
    return { duplicates: new Set(), unmatched: operations.length - doneOf(result) };
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError)) throw error;
    const failed = [error.writeErrors].flat();
    // Without any, it is not about single writes.
    if (failed.length === 0 || error.result.getWriteConcernError() !== undefined) throw error;
    const other = failed.find(({ code }) => code !== DUPLICATE_KEY);
    if (other !== undefined) throw serverError(other.code, other.errmsg ?? 'a write failed', error);
    const duplicates = new Set(failed.map(({ index }) => index));
    return { duplicates, unmatched: operations.length - duplicates.size - doneOf(error.result) };
  }
}

type Counts = Readonly<{ insertedCount: number; matchedCount: number; upsertedCount: number }>;

const doneOf = ({ insertedCount, matchedCount, upsertedCount }: Counts): number =>
  insertedCount + matchedCount + upsertedCount;

/** Which of the writes that must find a position did not, when so many did not. */
async function unmatched(
  collection: Collection<Stored>,
  writes: readonly Write[],
  count: number,
  { batch }: Stamp,
): Promise<readonly Write[]> {
  if (count === 0) return [];
  const guarded = writes.filter(({ guard }) => guard !== null && guard !== 'older');
  if (guarded.length === count) return guarded;
  const ids = guarded.map(({ id }) => id);
  const standing = await collection.find({ _id: { $in: ids }, batch }, { projection: { _id: 1 } }).toArray();
  const written = new Set(standing.map(({ _id }) => _id));
  return guarded.filter(({ id }) => !written.has(id));
}
