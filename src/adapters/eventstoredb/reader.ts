import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import { isStoreError, StoreError } from '../../kernel/errors.ts';
import { laterPosition, type Position } from '../../kernel/position.ts';
import type {
  Direction,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  StoredRecord,
  StreamSlice,
} from '../../ports/event-store.ts';
import { streamOf } from './access.ts';
import { type Connection, closedError } from './connection.ts';
import { decodeRecord, parleyIdOf, positionOf, type ServerRecord, sizeOf } from './envelope.ts';
import { matches } from './filter.ts';
import type { Link } from './link.ts';
import { accessFailureOf, failedRead, isStreamDeleted, rejectedPosition } from './outcomes.ts';
import { type Place, toPlace } from './position.ts';
import { readAllRequest, readStreamRequest } from './requests.ts';

/** Bytes after which a slice ends early. */
const SLICE_BYTES = 4_194_304;
/** Records per request, and records that one read of the whole log examines at most, so that records of other programs do not prolong it. */
const PAGE = 512;
const SCAN = 4_096;
/** By how much the pages of one read grow, up to `PAGE`, while they do not have enough records of Parley's. */
const GROWTH = 8;
/** Records of the pages in the search for the last record. */
const HEAD_PAGES = [8, 64];

export type ReaderDeps = Readonly<{
  connection: Connection;
  /** How long one call may take, in ms. */
  readMs: number;
  /** Aborted when the store closes. */
  closing: AbortSignal;
}>;

/** `link`: over which connection; default: the current one. `stop`: cancels the call; default: closing the store does. */
type CallOptions = Readonly<{ link?: Link; stop?: AbortSignal }>;

/** `more`: there are more records in the direction of the read. */
type Page = Readonly<{ records: readonly ServerRecord[]; more: boolean }>;

/** Reads streams and the whole log, and returns only Parley's records. */
export class Reader {
  readonly #deps: ReaderDeps;
  /** The latest known position of a record of Parley's. The last record of the log is at this position or after it. */
  #latest: Position | null = null;
  /** The connection over which it was known. */
  #link: Awaited<ReturnType<Connection['link']>> | null = null;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
  }

  /** Notes that there is a record of Parley's at this position. */
  seen(position: Position): void {
    this.#latest = laterPosition(this.#latest, position);
  }

  /** See `EventStore.readStream`. */
  async readStream(stream: string, { from, direction, limit }: ReadStreamOptions): Promise<StreamSlice> {
    let start = from;
    // Repeated only when a whole page had nothing but records of other programs.
    for (;;) {
      // One more than the limit, to find out whether there are more.
      const request = readStreamRequest(stream, { from: start, direction, count: limit + 1 });
      const page = await this.#page(request, limit);
      const records = page.records.map((record) => this.#decode(record)).filter((record) => record !== null);
      if (!page.more || records.length > 0) return { records, end: !page.more };
      start = nextRevision(page.records, direction);
    }
  }

  /** See `EventStore.readAll`. */
  async readAll({ direction, from, limit, filter }: ReadAllOptions): Promise<LogSlice> {
    let count = filter === undefined ? limit : Math.max(limit, PAGE);
    const records: StoredRecord[] = [];
    let next = from;
    let bytes = 0;
    for (let scanned = 0; scanned < SCAN; ) {
      const page = await this.#logPage(direction, next, { count, system: true });
      for (const serverRecord of page.records) {
        if (records.length === limit || bytes >= SLICE_BYTES) return { records, next, end: false };
        next = positionOf(serverRecord);
        const record = this.#decode(serverRecord);
        if (record === null || !matches(filter, record)) continue;
        records.push(record);
        bytes += sizeOf(serverRecord);
      }
      if (!page.more) return { records, next, end: true };
      scanned += page.records.length;
      // Some were records of other programs, and more of them may follow.
      count = Math.max(limit, Math.min(count * GROWTH, PAGE));
    }
    return { records, next, end: false };
  }

  /**
   * Position of the last record of Parley's, or, where the last records of the log are of other programs, of one of those: reading back to Parley's
   * could take minutes. `null` only when there is none of Parley's.
   */
  async head(): Promise<Position | null> {
    const link = await this.#deps.connection.link();
    // A server that was away may have come back with a log that was restored from an older copy, and ends before that.
    if (link !== this.#link) this.#latest = null;
    this.#link = link;
    let from: Position | null = null;
    for (const count of HEAD_PAGES) {
      // With system events, because the server would read over them without limit.
      const { records, more } = await this.#logPage('backwards', from, { count, system: true });
      for (const record of records) {
        from = positionOf(record);
        if (this.#latest !== null && from <= this.#latest) return this.#latest;
        if (this.#decode(record) !== null) return from;
      }
      if (!more) return this.#latest;
    }
    return from;
  }

  /** See `EventStore.idAt`. */
  async idAt(position: Position): Promise<string | null> {
    const place = toPlace(position);
    try {
      const record = await this.#firstFrom(place, {});
      return record === null || positionOf(record) !== position ? null : parleyIdOf(record);
    } catch (error) {
      // A position of a log that was restored from an older copy.
      if (isStoreError(error, 'INVALID')) return null;
      throw error;
    }
  }

  /** Position of the last record before a place, by any writer; `null` when there is none. Throws `INVALID` for a place that the log does not have. */
  async recordBefore(place: Place, options: CallOptions = {}): Promise<Position | null> {
    const request = readAllRequest({ from: exclusive(place), direction: 'backwards', count: 1, system: true });
    const [record] = (await this.#pageAt(request, 1, options)).records;
    return record === undefined ? null : positionOf(record);
  }

  /** Whether there is a record at exactly this position, by any writer. */
  async hasRecord(position: Position, options: CallOptions): Promise<boolean> {
    const record = await this.#firstFrom(toPlace(position), options);
    return record !== null && positionOf(record) === position;
  }

  /** The first or the last record of a stream, by any writer. */
  async oneRecord(stream: string, direction: Direction): Promise<ServerRecord | null> {
    const { records } = await this.#page(readStreamRequest(stream, { from: null, direction, count: 1 }), 1);
    return records[0] ?? null;
  }

  /** The last revision of a stream that has or had records, `null` for a stream that never had any. */
  async lastRevision(stream: string): Promise<bigint | null> {
    let last: bigint | null = null;
    const request = readStreamRequest(stream, { from: null, direction: 'backwards', count: 1 });
    for await (const response of this.#responses(request)) {
      if (response.hasLastStreamPosition()) last = BigInt(response.getLastStreamPosition());
    }
    return last;
  }

  /** Position of the record at a revision. */
  async positionAt(stream: string, revision: bigint): Promise<Position | null> {
    const request = readStreamRequest(stream, { from: revision, direction: 'forwards', count: 1 });
    const [record] = (await this.#page(request, 1)).records;
    return record?.getStreamRevision() === String(revision) ? positionOf(record) : null;
  }

  #decode(serverRecord: ServerRecord): StoredRecord | null {
    const record = decodeRecord(serverRecord);
    if (record !== null) this.seen(record.position);
    return record;
  }

  /** The first record at a place or after it. */
  async #firstFrom(place: Place, options: CallOptions): Promise<ServerRecord | null> {
    const request = readAllRequest({ from: place, direction: 'forwards', count: 1, system: true });
    return (await this.#pageAt(request, 1, options)).records[0] ?? null;
  }

  /** A page of the whole log. `from` is exclusive in both directions. Throws `INVALID` for a position that the log does not have. */
  async #logPage(
    direction: Direction,
    from: Position | null,
    { count, system }: Readonly<{ count: number; system: boolean }>,
  ): Promise<Page> {
    const place = from === null ? null : toPlace(from);
    if (direction === 'backwards') {
      const start = place === null ? null : exclusive(place);
      return this.#pageAt(readAllRequest({ from: start, direction, count: count + 1, system }), count);
    }
    // The server includes the record at the place.
    const page = await this.#pageAt(readAllRequest({ from: place, direction, count: count + 2, system }), count + 1);
    // Only backwards does the server reject a place after the end of the log.
    if (place !== null && page.records.length === 0) await this.recordBefore(place);
    const records = page.records.filter((record) => from === null || positionOf(record) > from);
    return { records, more: page.more };
  }

  /**
   * A page of the whole log. An error of the server may pass for one about the place: it must be repeated after another read has succeeded. Throws
   * `INVALID` then.
   */
  async #pageAt(request: ReadReq, limit: number, options: CallOptions = {}): Promise<Page> {
    try {
      return await this.#page(request, limit, options);
    } catch (error) {
      if (!isStoreError(error, 'INVALID')) throw error;
      await this.#page(readAllRequest({ from: null, direction: 'backwards', count: 1, system: true }), 1, options);
      return this.#page(request, limit, options);
    }
  }

  /** Up to `limit` records, fewer when they are large, of a request for one more. */
  async #page(request: ReadReq, limit: number, options: CallOptions = {}): Promise<Page> {
    const records: ServerRecord[] = [];
    let bytes = 0;
    let more = false;
    for await (const response of this.#responses(request, options)) {
      const record = response.getEvent()?.getEvent();
      if (record === undefined) continue;
      if (bytes >= SLICE_BYTES) return { records, more: true };
      // The call ends by itself then. Servers close connections on which many calls are cancelled.
      if (records.length === limit) more = true;
      else records.push(record);
      bytes += sizeOf(record);
    }
    return { records, more };
  }

  async *#responses(request: ReadReq, { link: given, stop }: CallOptions = {}): AsyncGenerator<ReadResp, void> {
    const { connection, readMs, closing } = this.#deps;
    const { access } = connection;
    const ending = stop ?? closing;
    const link = given ?? (await connection.link());
    const call = link.read(request, readMs);
    const cancel = () => call.cancel();
    ending.addEventListener('abort', cancel);
    // Leaving the loop cancels the call, and the error event that follows must not be unhandled.
    call.on('error', () => {});
    try {
      for await (const response of call as AsyncIterable<ReadResp>) {
        if (access.isRejecting) access.accepted('read', streamOf(request));
        yield response;
      }
    } catch (error) {
      if (ending.aborted) throw closedError();
      if (isStreamDeleted(error)) return;
      const failure = accessFailureOf(error);
      if (failure !== null) {
        throw new StoreError('UNAVAILABLE', access.rejected(failure, 'read', streamOf(request)), { cause: error });
      }
      const rejected = hasPlace(request) ? rejectedPosition(error) : null;
      if (rejected !== null) throw rejected;
      connection.failed(link, error);
      throw failedRead(error);
    } finally {
      ending.removeEventListener('abort', cancel);
      cancel();
    }
  }
}

const hasPlace = (request: ReadReq): boolean => request.getOptions()?.getAll()?.hasPosition() === true;

/** Where to read backwards from so that the last record before the place comes first: the server compares the ends of records with both parts. */
const exclusive = ({ commit }: Place): Place => ({ commit, prepare: commit });

/** The revision at which the next page starts. */
function nextRevision(records: readonly ServerRecord[], direction: Direction): bigint {
  const last = BigInt(records.at(-1)?.getStreamRevision() ?? 0);
  return direction === 'forwards' ? last + 1n : last - 1n;
}
