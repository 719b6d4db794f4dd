import { StoreError } from '../../kernel/errors.ts';
import type { NewEvent } from '../../kernel/event.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Position } from '../../kernel/position.ts';
import type { EventRegistry } from '../../kernel/registry.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Appended,
  EventStore,
  ExpectedRevision,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  Retention,
  StreamSlice,
  SubscribeOptions,
  SubscriptionBatch,
} from '../../ports/event-store.ts';
import { AppendCall, type AppendRequest, type AppendResult } from './append-call.ts';
import { checkExpectation, checkLimit, checkRetention, checkStreamName } from './checks.ts';
import { Connection, closedError } from './connection.ts';
import { encodeEvents } from './envelope.ts';
import { readEpoch } from './epoch.ts';
import { toPlace } from './position.ts';
import { Reader } from './reader.ts';
import { type RetentionDeps, writeRetention } from './retention.ts';
import { follow } from './subscription.ts';

export type EventStoreDbOptions = Readonly<{
  /** Connection string: `esdb://…` or `esdb+discover://…`, with TLS, credentials, cluster and keep-alive as the client knows them. */
  url: string;
  registry: EventRegistry;
  clock: Clock;
  logger: Logger;
  timeouts?: Partial<Timeouts>;
}>;

/** How long is waited, in ms. */
export type Timeouts = Readonly<{
  /** For a connection; default 3,000. */
  connectMs: number;
  /** For the answer to an append, whose outcome is then unknown; default 5,000. */
  appendMs: number;
  /** For a read as a whole; default 10,000. */
  readMs: number;
}>;

const DEFAULTS: Timeouts = { connectMs: 3_000, appendMs: 5_000, readMs: 10_000 };

/**
 * Opens the event store on an EventStoreDB 23.10 or newer, or a KurrentDB. The server need not be there: until it is, calls say `UNAVAILABLE`.
 * Throws `StoreError` with `INVALID` for a connection string that cannot be used.
 */
export async function openEventStoreDb(options: EventStoreDbOptions): Promise<EventStore> {
  return new Store(options);
}

class Store implements EventStore {
  readonly #options: EventStoreDbOptions;
  readonly #timeouts: Timeouts;
  readonly #connection: Connection;
  readonly #reader: Reader;
  readonly #bookkeeping: RetentionDeps;
  /** Aborted once nothing new may begin. */
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #call: AppendCall | null = null;
  #epoch: Promise<string> | null = null;
  #closed: Promise<void> | null = null;

  constructor(options: EventStoreDbOptions) {
    const { url, registry, clock, logger } = options;
    this.#options = options;
    this.#timeouts = { ...DEFAULTS, ...options.timeouts };
    const { connectMs, readMs } = this.#timeouts;
    this.#connection = new Connection(url, { clock, logger, connectMs });
    this.#reader = new Reader({ connection: this.#connection, registry, readMs, closing: this.#closing.signal });
    this.#bookkeeping = {
      reader: this.#reader,
      append: (stream, expect, message) => this.#send({ stream, expect, messages: [message], bytes: 0 }),
    };
  }

  append(stream: string, events: readonly NewEvent[], { expect }: { expect: ExpectedRevision }): Promise<Appended> {
    return this.#write(async () => {
      checkStreamName(stream);
      checkExpectation(expect);
      const { messages, bytes } = encodeEvents(this.#options.registry, events);
      if (expect === 'exists') await this.#checkExists(stream);
      const { revision, position } = await this.#send({ stream, expect, messages, bytes });
      const place = position ?? (await this.#lookUp(stream, revision));
      this.#reader.seen(place);
      return { revision, position: place };
    });
  }

  setRetention(stream: string, retention: Retention): Promise<void> {
    return this.#write(async () => {
      checkStreamName(stream);
      checkRetention(retention);
      await writeRetention(this.#bookkeeping, stream, retention);
    });
  }

  async readStream(stream: string, options: ReadStreamOptions = {}): Promise<StreamSlice> {
    this.#checkOpen();
    return this.#reader.readStream(stream, options);
  }

  async readAll(options: ReadAllOptions): Promise<LogSlice> {
    this.#checkOpen();
    return this.#reader.readAll(options);
  }

  async *subscribe({ after, filter, batchSize, signal }: SubscribeOptions): AsyncGenerator<SubscriptionBatch, void> {
    this.#checkOpen();
    if (after !== null) toPlace(after);
    const closing = this.#closing.signal;
    const settings = {
      after,
      filter,
      batchSize: checkLimit(batchSize),
      stop: signal === undefined ? closing : AbortSignal.any([closing, signal]),
    };
    const { registry, clock, logger } = this.#options;
    yield* follow({ connection: this.#connection, reader: this.#reader, registry, clock, logger }, settings);
    if (closing.aborted && signal?.aborted !== true) throw closedError();
  }

  async head(): Promise<Position | null> {
    this.#checkOpen();
    return this.#reader.head();
  }

  async epoch(): Promise<string> {
    this.#checkOpen();
    this.#epoch ??= this.#write(() => readEpoch(this.#bookkeeping)).catch((error: unknown) => {
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
    // Ends as soon as each of them was answered or given up.
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    this.#closing.abort();
    this.#call?.retire();
    this.#connection.close();
  }

  /** Runs what `close` waits for. */
  async #write<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#checkOpen();
    const running = work();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  /** Over the one call that carries appends, begun anew when the last one has ended or its link was given up. */
  async #send(request: AppendRequest): Promise<AppendResult> {
    const link = await this.#connection.link();
    if (this.#call?.link !== link || !this.#call.isOpen) {
      this.#call?.retire();
      this.#call = new AppendCall(link, { clock: this.#options.clock, appendMs: this.#timeouts.appendMs }, (error) =>
        this.#connection.failed(link, error),
      );
    }
    return this.#call.send(request);
  }

  /** To the server a stream that only has metadata exists too. */
  async #checkExists(stream: string): Promise<void> {
    if ((await this.#reader.lastRevision(stream)) !== null) return;
    throw new StoreError('VERSION_CONFLICT', `stream '${stream}' has no events, expected were some`, { actual: null });
  }

  /** Position of what was just appended, where the server did not tell it. */
  async #lookUp(stream: string, revision: bigint): Promise<Position> {
    try {
      const position = await this.#reader.positionAt(stream, revision);
      if (position !== null) return position;
    } catch (cause) {
      throw new StoreError('UNKNOWN', 'an append was written, but its position could not be read', { cause });
    }
    throw new StoreError('UNKNOWN', 'an append was written, but the event store did not tell its position');
  }

  #checkOpen(): void {
    if (this.#closed !== null) throw closedError();
  }
}
