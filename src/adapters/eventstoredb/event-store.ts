import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Appended,
  EventStore,
  ExpectedRevision,
  LogSlice,
  NewRecord,
  ReadAllOptions,
  ReadStreamOptions,
  Retention,
  StreamSlice,
  SubscribeOptions,
  SubscriptionBatch,
} from '../../ports/event-store.ts';
import type { Random } from '../../ports/random.ts';
import { AppendCall, type AppendRequest, type AppendResult } from './append-call.ts';
import { Connection, closedError } from './connection.ts';
import { encodeInternal, encodeRecords } from './envelope.ts';
import { readEpoch } from './epoch.ts';
import { isPosition, toPlace } from './position.ts';
import { Reader } from './reader.ts';
import { type InternalRecords, writeRetention } from './retention.ts';
import { follow } from './subscription.ts';

export type EventStoreDbOptions = Readonly<{
  /** Connection string of a node, of several members of a cluster, or of a DNS name for them (`connection-string.ts`). */
  url: string;
  clock: Clock;
  random: Random;
  logger: Logger;
  timeouts?: Partial<Timeouts>;
}>;

/** How long to wait, in ms. */
export type Timeouts = Readonly<{
  /** For a connection; default 3,000. */
  connectMs: number;
  /** For the response to an append, whose outcome is unknown then; default 5,000. */
  appendMs: number;
  /** For one call of a read; default 10,000. */
  readMs: number;
}>;

const DEFAULTS: Timeouts = { connectMs: 3_000, appendMs: 5_000, readMs: 10_000 };

/**
 * Opens the event store on EventStoreDB 23.10 or newer, or KurrentDB. Does not wait for the server: calls throw `UNAVAILABLE` until it is reachable.
 * Throws `StoreError` with `INVALID` for an invalid connection string.
 */
export async function openEventStoreDb(options: EventStoreDbOptions): Promise<EventStore> {
  return new EventStoreDb(options);
}

class EventStoreDb implements EventStore {
  readonly #options: EventStoreDbOptions;
  readonly #timeouts: Timeouts;
  readonly #connection: Connection;
  readonly #reader: Reader;
  readonly #internal: InternalRecords;
  readonly #newId: () => string;
  /** Aborted once the writes in progress are settled. */
  readonly #closing = new AbortController();
  /** What `close` waits for. */
  readonly #writes = new Set<Promise<unknown>>();
  #call: AppendCall | null = null;
  #epoch: Promise<string> | null = null;
  #closed: Promise<void> | null = null;

  constructor(options: EventStoreDbOptions) {
    const { url, clock, random, logger } = options;
    this.#options = options;
    this.#timeouts = { ...DEFAULTS, ...options.timeouts };
    const { connectMs, readMs } = this.#timeouts;
    this.#newId = () => random.uuid(clock.now());
    this.#connection = new Connection(url, { clock, random, logger, connectMs });
    this.#reader = new Reader({ connection: this.#connection, readMs, closing: this.#closing.signal });
    this.#internal = {
      reader: this.#reader,
      append: (stream, record, expect) =>
        this.#send({ stream, expect, messages: [encodeInternal(this.#newId(), record)], bytes: 0 }),
    };
  }

  append(stream: string, records: readonly NewRecord[], { expect }: { expect: ExpectedRevision }): Promise<Appended> {
    return this.#write(async () => {
      const { messages, bytes } = encodeRecords(records, this.#newId);
      if (expect === 'exists') await this.#checkExists(stream);
      const result = await this.#send({ stream, expect, messages, bytes });
      const position = result.position ?? (await this.#readPosition(stream, result.revision));
      this.#reader.seen(position);
      return { revision: result.revision, position };
    });
  }

  setRetention(stream: string, retention: Retention): Promise<void> {
    return this.#write(() => writeRetention(this.#internal, stream, retention));
  }

  async readStream(stream: string, options: ReadStreamOptions): Promise<StreamSlice> {
    this.#checkOpen();
    return this.#reader.readStream(stream, options);
  }

  async readAll(options: ReadAllOptions): Promise<LogSlice> {
    this.#checkOpen();
    return this.#reader.readAll(options);
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<SubscriptionBatch, void> {
    const { after, filter, batchSize, signal, reconnected } = options;
    this.#checkOpen();
    if (after !== null) toPlace(after);
    const closing = this.#closing.signal;
    const stop = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const { clock, random, logger } = this.#options;
    const deps = { connection: this.#connection, reader: this.#reader, clock, random, logger };
    yield* follow(deps, { after, filter, batchSize, stop, reconnected });
    if (closing.aborted && signal?.aborted !== true) throw closedError();
  }

  async head(): Promise<Position | null> {
    this.#checkOpen();
    return this.#reader.head();
  }

  isPosition(text: string): boolean {
    return isPosition(text);
  }

  async idAt(position: Position): Promise<string | null> {
    this.#checkOpen();
    return this.#reader.idAt(position);
  }

  /** Always `null`: positions are byte offsets, and the server does not count records. */
  async countAfter(): Promise<number | null> {
    this.#checkOpen();
    return null;
  }

  async epoch(): Promise<string> {
    this.#checkOpen();
    this.#epoch ??= this.#write(() => readEpoch(this.#internal, this.#newId)).catch((error: unknown) => {
      this.#epoch = null;
      throw error;
    });
    return this.#epoch;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // Each of them ends with a response or at its timeout.
    while (this.#writes.size > 0) await Promise.allSettled(this.#writes);
    this.#closing.abort();
    this.#call?.retire();
    this.#connection.close();
  }

  async #write<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#checkOpen();
    const running = work();
    this.#writes.add(running);
    try {
      return await running;
    } finally {
      this.#writes.delete(running);
    }
  }

  /** All appends share one call, which is replaced when it has ended or the connection was replaced. */
  async #send(request: AppendRequest): Promise<AppendResult> {
    const link = await this.#connection.link();
    if (this.#call?.link !== link || !this.#call.isOpen) {
      this.#call?.retire();
      const { access } = this.#connection;
      const deps = { clock: this.#options.clock, access, newId: this.#newId, appendMs: this.#timeouts.appendMs };
      this.#call = new AppendCall(link, deps, (error) => this.#connection.failed(link, error));
    }
    return this.#call.send(request);
  }

  /** The server's own check for `exists` also accepts a stream that only has metadata. */
  async #checkExists(stream: string): Promise<void> {
    if ((await this.#reader.lastRevision(stream)) !== null) return;
    throw new StoreError('VERSION_CONFLICT', `unexpected revision: stream '${stream}' has no records`, {
      actual: null,
    });
  }

  /** Position of a record that was just appended, where the server did not send it. */
  async #readPosition(stream: string, revision: bigint): Promise<Position> {
    try {
      const position = await this.#reader.positionAt(stream, revision);
      if (position !== null) return position;
    } catch (cause) {
      throw new StoreError('UNKNOWN', 'an append was written, but its position could not be read', { cause });
    }
    throw new StoreError('UNKNOWN', 'an append was written, but the event store did not send its position');
  }

  #checkOpen(): void {
    if (this.#closed !== null) throw closedError();
  }
}
