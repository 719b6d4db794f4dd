import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import { blamesConnection } from './outcomes.ts';

/** States of a gRPC channel (https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html). */
const READY = 2;
const TRANSIENT_FAILURE = 3;
const SHUTDOWN = 4;

/** After a failed attempt to connect, calls fail at once for so long, in ms. */
const PAUSE_MS = 100;

/** What a call begins with: gRPC's metadata and options. */
type CallArguments = Required<Parameters<StreamsClient['batchAppend']>>;

/** The parts of the client that its own modules use and its types keep to themselves. */
type Internals = Readonly<{
  getGRPCClient(type: typeof StreamsClient, name: string): Promise<StreamsClient>;
  callArguments(options: { credentials?: Credentials; deadline: number }, call: CallArguments[1]): CallArguments;
}>;

/** A connected node. Calls that were begun on it go on when it has been replaced. */
export class Link {
  readonly streams: StreamsClient;
  readonly #client: Internals;
  readonly #credentials: Credentials | undefined;

  constructor(streams: StreamsClient, client: Internals, credentials: Credentials | undefined) {
    this.streams = streams;
    this.#client = client;
    this.#credentials = credentials;
  }

  get isReady(): boolean {
    return this.streams.getChannel().getConnectivityState(false) === READY;
  }

  /** What a call begins with. `deadlineMs`: until then it must have ended; `Infinity` for calls that stay open. */
  arguments(deadlineMs: number): CallArguments {
    const credentials = this.#credentials === undefined ? {} : { credentials: this.#credentials };
    const open = deadlineMs === Number.POSITIVE_INFINITY ? { deadline: deadlineMs } : {};
    return this.#client.callArguments({ ...credentials, deadline: deadlineMs }, open);
  }

  /** Resolves once connected, rejects at the first failure or when it takes too long. */
  async connect(deadline: Date): Promise<void> {
    const channel = this.streams.getChannel();
    for (let state = channel.getConnectivityState(true); state !== READY; state = channel.getConnectivityState(true)) {
      if (state === TRANSIENT_FAILURE || state === SHUTDOWN) throw new Error('no connection can be made');
      await new Promise<void>((resolve, reject) => {
        channel.watchConnectivityState(state, deadline, (error) => (error ? reject(error) : resolve()));
      });
    }
  }

  close(): void {
    this.streams.close();
  }
}

/**
 * The way to the event store: one connection, made when it is first needed and made anew after it failed. The client's own handling of that is not
 * used: it lets rejections go unhandled while a cluster is away, and remembers a failed discovery for good.
 */
export class Connection {
  readonly #deps: Readonly<{ clock: Clock; logger: Logger; connectMs: number }>;
  readonly #url: string;
  readonly #credentials: Credentials | undefined;
  #link: Link | null = null;
  #opening: Promise<Link> | null = null;
  #failed: { at: number; error: StoreError } | null = null;
  #closed = false;

  /** Throws `INVALID` for a connection string that cannot be used. Connects to nothing yet. */
  constructor(url: string, deps: Readonly<{ clock: Clock; logger: Logger; connectMs: number }>) {
    this.#deps = deps;
    const { anonymous, credentials } = splitCredentials(url);
    this.#url = anonymous;
    this.#credentials = credentials;
    this.#newClient();
  }

  /** A node to call. Throws `UNAVAILABLE` when none can be reached, and nothing was sent then; `CLOSED` after `close`. */
  async link(): Promise<Link> {
    if (this.#closed) throw closedError();
    if (this.#link?.isReady === true) return this.#link;
    if (this.#opening === null) {
      this.#opening = this.#open().finally(() => {
        this.#opening = null;
      });
      // Everybody may have stopped waiting for it.
      this.#opening.catch(() => {});
    }
    return this.#within(this.#opening);
  }

  /** Tells that a call failed: when that may be the fault of the node or of the way to it, the next call gets another link. */
  failed(link: Link, error: unknown): void {
    if (this.#link !== link || !blamesConnection(error)) return;
    this.#deps.logger.warn({ err: error }, 'connection to the event store given up');
    this.#drop();
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /** Looking for a cluster's leader may take long: whoever waits gives up sooner, and the search goes on. */
  async #within(opening: Promise<Link>): Promise<Link> {
    const { clock, connectMs } = this.#deps;
    const done = new AbortController();
    const tooLong = clock.sleep(connectMs, done.signal).then(() => {
      throw new StoreError('UNAVAILABLE', 'the event store cannot be reached: it takes too long');
    });
    try {
      return await Promise.race([opening, tooLong]);
    } finally {
      tooLong.catch(() => {});
      done.abort();
    }
  }

  async #open(): Promise<Link> {
    const { clock, logger, connectMs } = this.#deps;
    if (this.#failed !== null && clock.monotonic() < this.#failed.at + PAUSE_MS) throw this.#failed.error;
    // One that has lost its connection: a new one does not wait out the pauses of the old.
    this.#drop();
    try {
      const client = this.#newClient();
      const streams = await client.getGRPCClient(StreamsClient, 'streams');
      this.#link = new Link(streams, client, this.#credentials);
      await this.#link.connect(new Date(Date.now() + connectMs));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new StoreError('UNAVAILABLE', `the event store cannot be reached: ${reason}`, { cause });
      if (this.#failed === null) logger.warn({ err: cause }, 'the event store cannot be reached');
      this.#failed = { at: clock.monotonic(), error };
      this.#drop();
      throw error;
    }
    if (this.#closed) {
      this.#drop();
      throw closedError();
    }
    this.#failed = null;
    logger.info({}, 'connected to the event store');
    return this.#link;
  }

  #drop(): void {
    this.#link?.close();
    this.#link = null;
  }

  #newClient(): Internals {
    try {
      // Reads connection string and certificates; the parts that are not in its types are those its own modules call.
      return EventStoreDBClient.connectionString(this.#url) as unknown as Internals;
    } catch (error) {
      const [reason] = error instanceof Error ? error.message.split('\n') : [String(error)];
      throw new StoreError('INVALID', `the connection string of the event store cannot be used: ${reason}`, {
        cause: error,
      });
    }
  }
}

export const closedError = (): StoreError => new StoreError('CLOSED', 'the event log was closed');

/**
 * The connection string without its user and password: the client shows the whole of it when it warns or complains. KurrentDB's names for the
 * scheme mean the same.
 */
function splitCredentials(url: string): { anonymous: string; credentials: Credentials | undefined } {
  const [, discover = '', user, password, rest] =
    /^(?:esdb|kurrent|kurrentdb|kdb)(\+discover)?:\/\/(?:([^:@/]+):([^@]+)@)?(.*)$/s.exec(url.trim()) ?? [];
  if (rest === undefined) {
    throw new StoreError('INVALID', 'the connection string of the event store starts with esdb:// or esdb+discover://');
  }
  if (user === undefined || password === undefined) {
    return { anonymous: `esdb${discover}://${rest}`, credentials: undefined };
  }
  try {
    const credentials = { username: decodeURIComponent(user), password: decodeURIComponent(password) };
    return { anonymous: `esdb${discover}://${rest}`, credentials };
  } catch {
    // The cause would tell them.
    throw new StoreError('INVALID', 'user or password in the connection string of the event store are not URL-encoded');
  }
}
