import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { RecordedEvent } from '../../kernel/event.ts';
import { laterPosition, type Position } from '../../kernel/position.ts';
import { placeOf, type StoredRecord, sizeOf } from './envelope.ts';
import { positionOf } from './position.ts';

/** Bytes of events that are read ahead at most. */
const MAX_BYTES = 8_388_608;

type Call = ReturnType<StreamsClient['read']>;

/** `event` is `null` where only the position moved. */
type Item = { position: Position; event: RecordedEvent | null; bytes: number };

/** What has come. `caughtUp`: it goes up to what is appended now. */
export type Taken = Readonly<{ events: RecordedEvent[]; position: Position | null; caughtUp: boolean }>;

/** How a feed decodes what it gets: an event that is to be delivered, or `null`. */
export type Decode = (record: StoredRecord) => RecordedEvent | null;

/**
 * One subscription call, as long as it lasts. Reads ahead up to two batches, then lets the server wait. Positions and events stay in the order in
 * which the server sent them.
 */
export class Feed {
  readonly #call: Call;
  readonly #decode: Decode;
  readonly #batchSize: number;
  #items: Item[] = [];
  #events = 0;
  #bytes = 0;
  #live = false;
  /** The mark was not told yet. */
  #mark = false;
  #ended: { error: unknown } | null = null;
  #turn: NodeJS.Immediate | null = null;
  #wake: () => void = () => {};

  constructor(call: Call, { decode, batchSize }: { decode: Decode; batchSize: number }) {
    this.#call = call;
    this.#decode = decode;
    this.#batchSize = batchSize;
    call.on('data', (response: ReadResp) => this.#receive(response));
    call.on('error', (error) => this.#end(error));
    call.on('end', () => this.#end(new Error('the server has ended the subscription')));
  }

  /** What ended it, `null` while it lasts and when it was left. */
  get error(): unknown {
    return this.#ended?.error ?? null;
  }

  /** What came while the call was paused waits in it. */
  get #isCaughtUp(): boolean {
    return this.#live && this.#items.length === 0 && this.#call.readableLength === 0;
  }

  /** The next batch, as soon as there is something to tell; `null` once it has ended and everything was taken. */
  async take(): Promise<Taken | null> {
    while (this.#items.length === 0 && !(this.#mark && this.#isCaughtUp)) {
      if (this.#ended !== null) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#takeBatch();
  }

  /** Ends the call, from this side. */
  cancel(): void {
    this.#call.cancel();
    this.#end(null);
  }

  #takeBatch(): Taken {
    const events: RecordedEvent[] = [];
    let position: Position | null = null;
    let taken = 0;
    for (const { event, bytes, position: place } of this.#items) {
      if (event !== null) {
        if (events.length === this.#batchSize) break;
        events.push(event);
      }
      position = laterPosition(position, place);
      this.#bytes -= bytes;
      taken++;
    }
    this.#items.splice(0, taken);
    this.#events -= events.length;
    const caughtUp = this.#isCaughtUp;
    if (caughtUp) this.#mark = false;
    if (this.#events < this.#batchSize && this.#bytes < MAX_BYTES / 2 && this.#ended === null) this.#call.resume();
    return { events, position, caughtUp };
  }

  #receive(response: ReadResp): void {
    if (this.#ended !== null) return;
    const record = response.getEvent()?.getEvent();
    const checkpoint = response.getCheckpoint();
    try {
      if (record !== undefined) this.#add(placeOf(record), this.#decode(record), sizeOf(record));
      else if (checkpoint !== undefined) {
        this.#add(positionOf(checkpoint.getCommitPosition(), checkpoint.getPreparePosition()), null, 0);
      } else if (response.hasCaughtUp()) {
        this.#live = true;
        this.#mark = true;
      } else if (response.hasFellBehind()) this.#live = false;
    } catch (error) {
      // An event that is damaged: everything before it is still delivered.
      this.#call.cancel();
      this.#end(error);
    }
    // What came in one turn of the event loop is taken together.
    this.#turn ??= setImmediate(() => {
      this.#turn = null;
      this.#wake();
    });
  }

  #add(position: Position | null, event: RecordedEvent | null, bytes: number): void {
    if (position === null) return;
    const last = this.#items.at(-1);
    if (event === null && last !== undefined && last.event === null) {
      last.position = laterPosition(last.position, position) ?? position;
      return;
    }
    const held = event === null ? 0 : bytes;
    this.#items.push({ position, event, bytes: held });
    this.#bytes += held;
    if (event !== null) this.#events++;
    if (this.#events >= 2 * this.#batchSize || this.#bytes >= MAX_BYTES) this.#call.pause();
  }

  #end(error: unknown): void {
    this.#ended ??= { error };
    this.#live = false;
    this.#mark = false;
    this.#wake();
  }
}
