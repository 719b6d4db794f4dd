import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { RecordedEvent } from '../../kernel/event.ts';
import { laterPosition, type Position } from '../../kernel/position.ts';
import type { EventRegistry } from '../../kernel/registry.ts';
import type { Direction, LogSlice, ReadAllOptions, ReadStreamOptions, StreamSlice } from '../../ports/event-store.ts';
import { checkLimit, checkRevision } from './checks.ts';
import { type Connection, closedError } from './connection.ts';
import { decodeEvent, placeOf, type StoredRecord, sizeOf } from './envelope.ts';
import { fits } from './filter.ts';
import { failedRead, isStreamDeleted } from './outcomes.ts';
import { type Place, toPlace } from './position.ts';
import { readAllRequest, readStreamRequest } from './requests.ts';

/** Bytes after which a slice ends early. */
const SLICE_BYTES = 4_194_304;
/** Records asked for at once, and looked at by one read of the whole log, so that others' events do not make it endless. */
const PAGE = 512;
const SCAN = 4_096;
/** Records of the first page in the search for the last event, and of later ones. */
const HEAD_PAGES = [8, 64, PAGE];

export type ReaderDeps = Readonly<{
  connection: Connection;
  registry: EventRegistry;
  /** How long one call may take, in ms. */
  readMs: number;
  /** Aborted when the store closes. */
  closing: AbortSignal;
}>;

/** Reads streams and the whole log, and shows of both what is Parley's. */
export class Reader {
  readonly #deps: ReaderDeps;
  /** The latest position of an event of Parley's that was seen: the last event of the log is there or behind. */
  #latest: Position | null = null;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
  }

  /** Notes that there is an event of Parley's at this position. */
  seen(position: Position): void {
    this.#latest = laterPosition(this.#latest, position);
  }

  /** See `EventStore.readStream`. */
  async readStream(stream: string, options: ReadStreamOptions): Promise<StreamSlice> {
    const { direction = 'forwards' } = options;
    const limit = checkLimit(options.limit);
    checkRevision(options.from);
    let { from } = options;
    // Again only when a whole page held nothing but events of others.
    for (;;) {
      // One more than asked for, to know whether there is more.
      const request = readStreamRequest(stream, { from, direction, count: limit + 1 });
      const { records, more } = await this.#page(request, limit);
      const events = records.map((record) => this.#decode(record)).filter((event) => event !== null);
      if (!more || events.length > 0) return { events, end: !more };
      from = neighbour(records, direction);
    }
  }

  /** See `EventStore.readAll`. */
  async readAll({ direction, from, limit, filter }: ReadAllOptions): Promise<LogSlice> {
    const most = checkLimit(limit);
    const count = filter === undefined ? most : Math.max(most, PAGE);
    const events: RecordedEvent[] = [];
    let next = from;
    let bytes = 0;
    for (let looked = 0; looked < SCAN; ) {
      const { records, more } = await this.#logPage(direction, next, { count, system: true });
      for (const record of records) {
        if (events.length === most || bytes >= SLICE_BYTES) return { events, next, end: false };
        next = placeOf(record);
        const event = this.#decode(record);
        if (event === null || !fits(filter, event)) continue;
        events.push(event);
        bytes += sizeOf(record);
      }
      if (!more) return { events, next, end: true };
      looked += records.length;
    }
    return { events, next, end: false };
  }

  /** Position of the last event of Parley's. */
  async head(): Promise<Position | null> {
    let from: Position | null = null;
    for (let page = 0; ; page++) {
      const count = HEAD_PAGES[page] ?? PAGE;
      const { records, more } = await this.#logPage('backwards', from, { count, system: false });
      for (const record of records) {
        from = placeOf(record);
        if (this.#latest !== null && from <= this.#latest) return this.#latest;
        if (this.#decode(record) !== null) return from;
      }
      if (!more) return this.#latest;
    }
  }

  /** Position of the last record before a place, whoever wrote it; `null` when there is none. */
  async recordBefore(place: Place): Promise<Position | null> {
    // Backwards, the server compares ends of records with both parts: only so is the one right before the place included.
    const from = { commit: place.commit, prepare: place.commit };
    const { records } = await this.#page(readAllRequest({ from, direction: 'backwards', count: 1, system: true }), 1);
    const [record] = records;
    return record === undefined ? null : placeOf(record);
  }

  /** The first or the last record of a stream, whoever wrote it. */
  async oneRecord(stream: string, direction: Direction): Promise<StoredRecord | null> {
    const { records } = await this.#page(readStreamRequest(stream, { from: undefined, direction, count: 1 }), 1);
    return records[0] ?? null;
  }

  /** The last revision of a stream that has or had events, `null` for one that never had any. */
  async lastRevision(stream: string): Promise<bigint | null> {
    let last: bigint | null = null;
    const request = readStreamRequest(stream, { from: undefined, direction: 'backwards', count: 1 });
    for await (const response of this.#responses(request)) {
      if (response.hasLastStreamPosition()) last = BigInt(response.getLastStreamPosition());
    }
    return last;
  }

  /** Position of the event at a revision. */
  async positionAt(stream: string, revision: bigint): Promise<Position | null> {
    const request = readStreamRequest(stream, { from: revision, direction: 'forwards', count: 1 });
    const [record] = (await this.#page(request, 1)).records;
    return record?.getStreamRevision() === String(revision) ? placeOf(record) : null;
  }

  #decode(record: StoredRecord): RecordedEvent | null {
    const event = decodeEvent(this.#deps.registry, record);
    if (event !== null) this.seen(event.position);
    return event;
  }

  /** Records of the log beyond `from`, which is exclusive in both directions. */
  async #logPage(
    direction: Direction,
    from: Position | null,
    { count, system }: Readonly<{ count: number; system: boolean }>,
  ): Promise<{ records: StoredRecord[]; more: boolean }> {
    const place = from === null ? null : toPlace(from);
    if (direction === 'backwards') {
      const exclusive = place === null ? null : { commit: place.commit, prepare: place.commit };
      return this.#page(readAllRequest({ from: exclusive, direction, count: count + 1, system }), count);
    }
    // The server includes the record at the place.
    const page = await this.#page(readAllRequest({ from: place, direction, count: count + 2, system }), count + 1);
    const records = page.records.filter((record) => from === null || placeOf(record) > from);
    return { records, more: page.more };
  }

  /** Up to `limit` records, fewer when they are large. `more`: there is more in this direction. */
  async #page(request: ReadReq, limit: number): Promise<{ records: StoredRecord[]; more: boolean }> {
    const records: StoredRecord[] = [];
    let bytes = 0;
    for await (const response of this.#responses(request)) {
      const record = response.getEvent()?.getEvent();
      if (record === undefined) continue;
      if (records.length === limit || bytes >= SLICE_BYTES) return { records, more: true };
      records.push(record);
      bytes += sizeOf(record);
    }
    return { records, more: false };
  }

  async *#responses(request: ReadReq): AsyncGenerator<ReadResp, void> {
    const { connection, readMs, closing } = this.#deps;
    const link = await connection.link();
    const call = link.streams.read(request, ...link.arguments(readMs));
    const cancel = () => call.cancel();
    closing.addEventListener('abort', cancel);
    // Whoever leaves the loop cancels the call, and how that ends is of no interest any more.
    call.on('error', () => {});
    try {
      yield* call as AsyncIterable<ReadResp>;
    } catch (error) {
      if (closing.aborted) throw closedError();
      if (isStreamDeleted(error)) return;
      connection.failed(link, error);
      throw failedRead(error);
    } finally {
      closing.removeEventListener('abort', cancel);
      cancel();
    }
  }
}

/** The revision at which the page behind these records starts. */
function neighbour(records: readonly StoredRecord[], direction: Direction): bigint {
  const last = BigInt(records.at(-1)?.getStreamRevision() ?? 0);
  return direction === 'forwards' ? last + 1n : last - 1n;
}
