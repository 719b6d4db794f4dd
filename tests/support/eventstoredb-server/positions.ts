import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { rpcError } from './faults.ts';
import type { Log } from './log.ts';
import { grpc } from './stubs.ts';

type Place = Readonly<{ commit: number; prepare: number }>;

/** Index of the first record at a position or after it: reading forwards includes the position. */
export function atOrAfter(log: Log, source: ReadReq.Options.AllOptions): number {
  if (source.hasEnd()) return log.records.length;
  const place = placeOf(log, source);
  if (place === null) return 0;
  const index = firstFrom(log, place.commit);
  const record = log.records[index];
  return record?.commit === place.commit && record.prepare < place.prepare ? index + 1 : index;
}

/**
 * Number of the records that end at a position or before it: reading backwards excludes the record that begins there. Both parts of a position are
 * compared with the end of a record, so a position with a smaller second part excludes the record right before it.
 */
export function endingBefore(log: Log, source: ReadReq.Options.AllOptions): number {
  if (source.hasEnd()) return log.records.length;
  const place = placeOf(log, source);
  if (place === null) return 0;
  const index = place.commit === log.end ? log.records.length : firstFrom(log, place.commit);
  return place.prepare < place.commit ? Math.max(0, index - 1) : index;
}

/** Index of the first record that begins at an offset or after it. */
function firstFrom(log: Log, offset: number): number {
  let [low, high] = [0, log.records.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((log.records[middle]?.commit ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A position is the offset of a record or of the end of the log. Any other offset is rejected, because it must have been made by arithmetic. */
function placeOf(log: Log, source: ReadReq.Options.AllOptions): Place | null {
  const position = source.getPosition();
  if (position === undefined) return null;
  const [commit, prepare] = [Number(position.getCommitPosition()), Number(position.getPreparePosition())];
  if (commit !== log.end && log.records[firstFrom(log, commit)]?.commit !== commit) {
    throw rpcError(grpc.status.INVALID_ARGUMENT, 'Trying to read from an invalid position.', {});
  }
  return { commit, prepare };
}
