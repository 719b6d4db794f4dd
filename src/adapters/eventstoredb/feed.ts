import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import { laterPosition, type Position } from '../../kernel/position.ts';
import type { StoredRecord } from '../../ports/event-store.ts';
import { positionOf, type ServerRecord, sizeOf } from './envelope.ts';
import { toPosition } from './position.ts';

/** Bytes of records that are read ahead at most. */
const MAX_BYTES = 8_388_608;

type Call = ReturnType<StreamsClient['read']>;

/** `record` is `null` where only the position moved. */
type Item = { position: Position; record: StoredRecord | null; bytes: number };

/** What has arrived since the last batch. `caughtUp`: there was nothing after it when it was made. */
export type FeedBatch = Readonly<{ records: StoredRecord[]; position: Position | null; caughtUp: boolean }>;

/** Decodes a record; `null` when it is not to be delivered. */
export type Decode = (record: ServerRecord) => StoredRecord | null;

/**
 * One subscription call, until it ends. Reads ahead up to two batches, then pauses the call. Positions and records stay in the order in which the
 * server sent them.
 */
export class Feed {
  readonly #call: Call;
  readonly #decode: Decode;
  readonly #batchSize: number;
  readonly #items: Item[] = [];
  #recordCount = 0;
  #bytes = 0;
  #started = false;
  #live = false;
  /** Whether no batch with `caughtUp` was returned since the server reported it. */
  #owesCaughtUp = false;
  #ended: { error: unknown } | null = null;
  #wakeUp: NodeJS.Immediate | null = null;
  #wake: () => void = () => {};

  constructor(call: Call, { decode, batchSize }: { decode: Decode; batchSize: number }) {
    this.#call = call;
    this.#decode = decode;
    this.#batchSize = batchSize;
    call.on('data', (response: ReadResp) => this.#receive(response));
    call.on('error', (error) => this.#end(error));
    call.on('end', () => this.#end(new Error('the server ended the subscription')));
  }

  /** What ended it; `null` until then, and after `cancel`. */
  get error(): unknown {
    return this.#ended?.error ?? null;
  }

  /** Resolves once the server has started the subscription; with `false` when the call ends before. */
  async hasStarted(): Promise<boolean> {
    while (!this.#started && this.#ended === null) await this.#change();
    return this.#started;
  }

  /** The next batch, once there is one; `null` when the call has ended and every batch was returned. */
  async nextBatch(): Promise<FeedBatch | null> {
    while (this.#items.length === 0 && !(this.#owesCaughtUp && this.#isCaughtUp)) {
      if (this.#ended !== null) return null;
      await this.#change();
    }
    return this.#makeBatch();
  }

  /** Ends the call from this side. */
  cancel(): void {
    this.#call.cancel();
    this.#end(null);
  }

  /** Resolves when responses have arrived, or the call has ended. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** While the call is paused, responses wait in its own buffer. */
  get #isCaughtUp(): boolean {
    return this.#live && this.#items.length === 0 && this.#call.readableLength === 0;
  }

  #makeBatch(): FeedBatch {
    const records: StoredRecord[] = [];
    let position: Position | null = null;
    let count = 0;
    for (const item of this.#items) {
      if (item.record !== null) {
        if (records.length === this.#batchSize) break;
        records.push(item.record);
      }
      position = laterPosition(position, item.position);
      this.#bytes -= item.bytes;
      count++;
    }
    this.#items.splice(0, count);
    this.#recordCount -= records.length;
    const caughtUp = this.#isCaughtUp;
    if (caughtUp) this.#owesCaughtUp = false;
    if (this.#recordCount < this.#batchSize && this.#bytes < MAX_BYTES / 2 && this.#ended === null) this.#call.resume();
    return { records, position, caughtUp };
  }

  #receive(response: ReadResp): void {
    if (this.#ended !== null) return;
    // The first response is the confirmation.
    this.#started = true;
    const record = response.getEvent()?.getEvent();
    const checkpoint = response.getCheckpoint();
    try {
      if (record !== undefined) this.#add(positionOf(record), this.#decode(record), sizeOf(record));
      else if (checkpoint !== undefined) {
        this.#add(toPosition(checkpoint.getCommitPosition(), checkpoint.getPreparePosition()), null, 0);
      } else if (response.hasCaughtUp()) {
        this.#live = true;
        this.#owesCaughtUp = true;
      } else if (response.hasFellBehind()) this.#live = false;
    } catch (error) {
      // A damaged record: those before it are still delivered.
      this.#call.cancel();
      this.#end(error);
    }
    // Responses that arrive in one turn of the event loop make one batch.
    this.#wakeUp ??= setImmediate(() => {
      this.#wakeUp = null;
      this.#wake();
    });
  }

  #add(position: Position | null, record: StoredRecord | null, bytes: number): void {
    if (position === null) return;
    const last = this.#items.at(-1);
    if (record === null && last !== undefined && last.record === null) {
      last.position = laterPosition(last.position, position) ?? position;
      return;
    }
    const held = record === null ? 0 : bytes;
    this.#items.push({ position, record, bytes: held });
    this.#bytes += held;
    if (record !== null) this.#recordCount++;
    if (this.#recordCount >= 2 * this.#batchSize || this.#bytes >= MAX_BYTES) this.#call.pause();
  }

  #end(error: unknown): void {
    this.#ended ??= { error };
    this.#live = false;
    this.#owesCaughtUp = false;
    this.#wake();
  }
}
