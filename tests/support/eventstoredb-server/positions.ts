import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { type RpcError, rpcError } from './faults.ts';
import type { Log, LogRecord } from './log.ts';
import { partitionPoint } from './sorted.ts';
import { grpc } from './stubs.ts';

/** Which server it behaves as, where they differ: EventStoreDB 23.10.6 or KurrentDB 25.0. */
export type Product = 'EventStoreDB' | 'KurrentDB';

/** The name of a result in the server, which its errors contain. */
type ReadResult = 'ReadAllResult' | 'FilteredReadAllResult';

export type Place = Readonly<{ commit: number; prepare: number }>;

/** The place in a request, `null` when it starts at the start or at the end of the log. */
export function placeOf(source: ReadReq.Options.AllOptions): Place | null {
  const position = source.getPosition();
  if (position === undefined) return null;
  return { commit: Number(position.getCommitPosition()), prepare: Number(position.getPreparePosition()) };
}

/** The records from an offset on. Records that are scavenged meanwhile are left out. */
export function* forwards(log: Log, from: number): Generator<LogRecord, void> {
  for (let offset = from, record: LogRecord | undefined; ; offset = record.end) {
    record = log.records[firstFrom(log, offset)];
    if (record === undefined) return;
    yield record;
  }
}

/** The records that end at an offset or before it, the last one first. Records that are scavenged meanwhile are left out. */
export function* backwards(log: Log, to: number): Generator<LogRecord, void> {
  for (let offset = to, record: LogRecord | undefined; ; offset = record.commit) {
    record = lastTo(log, offset);
    if (record === undefined) return;
    yield record;
  }
}

/** Offset of the first record that a read forwards returns: the first one at the place or after it. */
export function startForwards(
  log: Log,
  source: ReadReq.Options.AllOptions,
  product: Product,
  result: ReadResult,
): number {
  if (source.hasEnd()) return log.end;
  const place = placeOf(source);
  if (place === null) return 0;
  // Where nothing follows, the read is empty, without an error.
  if (place.commit <= lastIndexed(log)) checkBoundary(log, place, product, result);
  return log.records[atOrAfter(log, place)]?.commit ?? log.end;
}

/**
 * Offset that the records of a read backwards end at or before. Both parts of the place are compared with the end of a record, so that a place with
 * a smaller second part excludes the record right before it.
 */
export function startBackwards(
  log: Log,
  source: ReadReq.Options.AllOptions,
  product: Product,
  result: ReadResult,
): number {
  if (source.hasEnd()) return log.end;
  const place = placeOf(source);
  if (place === null) return 0;
  // KurrentDB does not regard this as an invalid position either.
  if (place.commit > log.end) throw unexpected(result, 'Error');
  checkBoundary(log, place, product, result);
  const last = lastTo(log, place.commit);
  return last?.end === place.commit && place.prepare < place.commit ? last.commit : place.commit;
}

/** Offset from which a subscription after a place delivers records. */
export function startSubscription(log: Log, source: ReadReq.Options.AllOptions, product: Product): number {
  if (source.hasEnd()) return log.end;
  const place = placeOf(source);
  if (place === null) return 0;
  if (place.commit <= lastIndexed(log)) checkBoundary(log, place, product, 'subscription');
  const record = log.records[atOrAfter(log, place)];
  // It starts after the first record at the place or after it: one too late when the record of the place is gone. After the end of the log, it
  // delivers all that is appended from now on.
  if (product === 'EventStoreDB') return record?.end ?? log.end;
  if (record === undefined) return place.prepare < place.commit ? place.commit : place.commit + 1;
  return record.commit === place.commit && record.prepare === place.prepare ? record.end : record.commit;
}

/** Index of the first record that begins at an offset or after it. */
export const firstFrom = (log: Log, offset: number): number =>
  partitionPoint(log.records, (record) => record.commit < offset);

const lastTo = (log: Log, offset: number): LogRecord | undefined =>
  log.records[partitionPoint(log.records, (record) => record.end <= offset) - 1];

/** Where the last record begins. */
const lastIndexed = (log: Log): number => log.records.at(-1)?.commit ?? -1;

/** Index of the first record at a place or after it. */
function atOrAfter(log: Log, place: Place): number {
  const index = firstFrom(log, place.commit);
  const record = log.records[index];
  return record?.commit === place.commit && record.prepare < place.prepare ? index + 1 : index;
}

/** A place must be where a record begins or ends, except in parts of the log that a scavenge has rewritten. */
function checkBoundary(log: Log, { commit }: Place, product: Product, call: ReadResult | 'subscription'): void {
  const record = log.records[firstFrom(log, commit) - 1];
  if (record === undefined || commit >= record.end || log.isRewritten(commit)) return;
  if (call !== 'subscription') throw unexpected(call, product === 'EventStoreDB' ? 'Error' : 'InvalidPosition');
  throw product === 'EventStoreDB'
    ? rpcError(grpc.status.UNKNOWN, 'Exception was thrown by handler.', {})
    : rpcError(grpc.status.INVALID_ARGUMENT, 'Trying to read from an invalid position.', {});
}

/** How the server reports a read that failed. */
export const unexpected = (type: ReadResult, result: string): RpcError =>
  rpcError(grpc.status.UNKNOWN, `Unexpected ${type}: ${result}`, {});
