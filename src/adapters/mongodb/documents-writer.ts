import { type AnyBulkWriteOperation, type Collection, MongoBulkWriteError, type ObjectId } from 'mongodb';
import type { Write } from '../../ports/documents.ts';
import { LIVE, type Stored, TOMBSTONE_MS } from './documents-layout.ts';
import { batchSizeFor } from './documents-query.ts';
import { DUPLICATE_KEY, serverError } from './errors.ts';

type Operation = AnyBulkWriteOperation<Stored>;

/** Finds the one document of a write by its id. Without the hint, the server may choose the index over `deletedAt`, and read all tombstones. */
const BY_ID = '_id_';

/** `batch` is unique per call and distinguishes its writes from those of others. `now`: ms since the epoch. */
export type Stamp = Readonly<{ batch: ObjectId; now: number }>;

/** Outcome of operations: the indexes of those whose document exists but does not match the guard, and the number of those that matched nothing. */
type BulkOutcome = Readonly<{ duplicates: ReadonlySet<number>; unmatched: number }>;

/**
 * Writes documents of one collection, each if its guard holds, and returns those whose guard did not hold.
 *
 * Each write is one operation on one document, with the guard as its filter, so it is atomic in MongoDB. How rejected writes are found:
 * - A write that may create its document is an insert or upsert, which fails with a duplicate key when a document exists that the guard does not
 *   match. A race with another insert of the same id also causes this, even if the guard holds for that document. So these are tried again.
 * - A write for an existing document of a known position simply matches nothing, and MongoDB returns only how many did. Which ones is read from the
 *   documents: those that were written have the `batch` of this call. A write that another one has overwritten in the meantime is returned as
 *   rejected: loading the document again finds the later version.
 *
 * When the driver repeats an operation after a lost response, the server recognises it (retryable writes) and does not do it again.
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

/** The first attempt of a write. A new document is only inserted, which is fastest; replacing a tombstone is left to the second attempt. */
function operationOf(write: Write, stamp: Stamp): Operation {
  return write.guard === null
    ? { insertOne: { document: { _id: write.id, ...contentOf(write, stamp) } } }
    : replacementOf(write, stamp);
}

function replacementOf(write: Write, stamp: Stamp): Operation {
  const { id: _id, guard, position } = write;
  const replacement = contentOf(write, stamp);
  const expired = { deletedAt: { $lte: new Date(stamp.now - TOMBSTONE_MS) } };
  const older = { position: { $lt: position } };
  if (guard === null) {
    const olderTombstone = { ...older, deletedAt: { $exists: true } };
    return { replaceOne: { filter: { _id, $or: [expired, olderTombstone] }, replacement, upsert: true, hint: BY_ID } };
  }
  if (guard === 'older') {
    return { replaceOne: { filter: { _id, $or: [expired, older] }, replacement, upsert: true, hint: BY_ID } };
  }
  return { replaceOne: { filter: { _id, position: guard, ...LIVE }, replacement, hint: BY_ID } };
}

function contentOf({ position, body }: Write, { batch, now }: Stamp): Omit<Stored, '_id'> {
  return body === null ? { position, batch, deletedAt: new Date(now) } : { position, batch, body };
}

async function send(collection: Collection<Stored>, operations: readonly Operation[]): Promise<BulkOutcome> {
  if (operations.length === 0) return { duplicates: new Set(), unmatched: 0 };
  try {
    const result = await collection.bulkWrite(operations, { ordered: false });
    return { duplicates: new Set(), unmatched: operations.length - doneOf(result) };
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError)) throw error;
    const failed = [error.writeErrors].flat();
    // Without write errors, the whole call failed.
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

/** The writes for an existing document of a known position that matched nothing, given their number. */
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
  const options = { projection: { _id: 1 }, batchSize: batchSizeFor(ids.length) };
  const written = await collection.find({ _id: { $in: ids }, batch }, options).toArray();
  const writtenIds = new Set(written.map(({ _id }) => _id));
  return guarded.filter(({ id }) => !writtenIds.has(id));
}
