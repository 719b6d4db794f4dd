import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import { LATE, within } from '../../ports/within.ts';
import { type CallArguments, type ClientInternals, internalsOf } from './client-internals.ts';
import { isConnectionFailure } from './outcomes.ts';

/** States of a gRPC channel (https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html). */
const READY = 2;
const TRANSIENT_FAILURE = 3;
const SHUTDOWN = 4;

/** After a failed connection attempt, calls fail immediately for this long, in ms. */
const PAUSE_MS = 100;

/** A gRPC connection to one node. Calls started on it continue after it has been replaced. */
export class Link {
  readonly streams: StreamsClient;
  readonly #client: ClientInternals;
  readonly #credentials: Credentials | undefined;

  constructor(streams: StreamsClient, client: ClientInternals, credentials: Credentials | undefined) {
    this.streams = streams;
    this.#client = client;
    this.#credentials = credentials;
  }

  get isReady(): boolean {
    return this.streams.getChannel().getConnectivityState(false) === READY;
  }

  /** The leading arguments of a call. `timeoutMs`: how long the call may take; `Infinity` for calls that stay open. */
  arguments(timeoutMs: number): CallArguments {
    const credentials = this.#credentials === undefined ? {} : { credentials: this.#credentials };
    const noDeadline = timeoutMs === Number.POSITIVE_INFINITY ? { deadline: timeoutMs } : {};
    return this.#client.callArguments({ ...credentials, deadline: timeoutMs }, noDeadline);
  }

  /** Resolves once connected, rejects at the first failure and when it is closed. */
  async connect(): Promise<void> {
    const channel = this.streams.getChannel();
    for (;;) {
      // Checked first, because asking a closed channel to connect would start it again.
      if (channel.getConnectivityState(false) === SHUTDOWN) throw new Error('the connection was closed');
      const state = channel.getConnectivityState(true);
      if (state === READY) return;
      if (state === TRANSIENT_FAILURE) throw new Error('the connection failed');
      await new Promise<void>((resolve) => {
        channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => resolve());
      });
    }
  }

  close(): void {
    this.streams.close();
  }
}

/**
 * Access to the event store over one connection, opened when first needed and again after a failure. The client's own reconnecting is not used: it
 * leaves rejections unhandled while a cluster is unavailable, and appends never succeed after a failed discovery (docs/decisions/0019).
 */
export class Connection {
  readonly #deps: Readonly<{ clock: Clock; logger: Logger; connectMs: number }>;
  readonly #url: string;
  readonly #credentials: Credentials | undefined;
  #link: Link | null = null;
  #opening: Promise<Link> | null = null;
  #failed: { at: number; error: StoreError } | null = null;
  #closed = false;

  /** Does not connect yet. Throws `INVALID` for an invalid connection string. */
  constructor(url: string, deps: Readonly<{ clock: Clock; logger: Logger; connectMs: number }>) {
    this.#deps = deps;
    const { anonymous, credentials } = splitCredentials(url);
    this.#url = anonymous;
    this.#credentials = credentials;
    this.#newClient();
  }

  /** A connected node. Throws `UNAVAILABLE` when none can be reached (nothing was sent then), `CLOSED` after `close`. */
  async link(): Promise<Link> {
    if (this.#closed) throw closedError();
    if (this.#link?.isReady === true) return this.#link;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    // Finding a cluster's leader may take longer: callers stop waiting, and the search goes on.
    const link = await within(this.#deps.clock, this.#deps.connectMs, this.#opening);
    if (link === LATE) throw this.#timeout();
    return link;
  }

  /** Reports a failed call: if the node or the connection may be the cause, the next call gets a new connection. */
  failed(link: Link, error: unknown): void {
    if (this.#link !== link || !isConnectionFailure(error)) return;
    this.#deps.logger.warn({ err: error }, 'connection to the event store dropped');
    this.#drop();
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  async #open(): Promise<Link> {
    const { clock, logger, connectMs } = this.#deps;
    if (this.#failed !== null && clock.monotonic() < this.#failed.at + PAUSE_MS) throw this.#failed.error;
    // Closes a connection that was lost: a new one connects without waiting for the retry pauses of the old one.
    this.#drop();
    try {
      const client = this.#newClient();
      const streams = await client.getGRPCClient(StreamsClient, 'streams');
      this.#link = new Link(streams, client, this.#credentials);
      const connected = await within(clock, connectMs, this.#link.connect());
      if (connected === LATE) throw this.#timeout();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new StoreError('UNAVAILABLE', `cannot connect to the event store: ${reason}`, { cause });
      if (this.#failed === null) logger.warn({ err: cause }, 'cannot connect to the event store');
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

  #timeout(): StoreError {
    return new StoreError('UNAVAILABLE', `no connection to the event store within ${this.#deps.connectMs} ms`);
  }

  #drop(): void {
    this.#link?.close();
    this.#link = null;
  }

  #newClient(): ClientInternals {
    return internalsOf(parsed(this.#url));
  }
}

/** A client, with the connection string and the certificates that it names parsed. */
function parsed(url: string): EventStoreDBClient {
  try {
    return EventStoreDBClient.connectionString(url);
  } catch (error) {
    const [reason] = error instanceof Error ? error.message.split('\n') : [String(error)];
    throw new StoreError('INVALID', `invalid connection string of the event store: ${reason}`, { cause: error });
  }
}

export const closedError = (): StoreError => new StoreError('CLOSED', 'the event store was closed');

/**
 * The connection string without user and password, because the client prints all of it in its warnings and errors. KurrentDB's names for the scheme
 * mean the same.
 */
function splitCredentials(url: string): { anonymous: string; credentials: Credentials | undefined } {
  const [, discover = '', user, password, rest] =
    /^(?:esdb|kurrent|kurrentdb|kdb)(\+discover)?:\/\/(?:([^:@/]+):([^@]+)@)?(.*)$/s.exec(url.trim()) ?? [];
  if (rest === undefined) {
    throw new StoreError(
      'INVALID',
      'the connection string of the event store must start with esdb:// or esdb+discover://',
    );
  }
  if (user === undefined || password === undefined) {
    return { anonymous: `esdb${discover}://${rest}`, credentials: undefined };
  }
  try {
    const credentials = { username: decodeURIComponent(user), password: decodeURIComponent(password) };
    return { anonymous: `esdb${discover}://${rest}`, credentials };
  } catch {
    // Without the cause, whose message would contain them.
    throw new StoreError(
      'INVALID',
      'user and password in the connection string of the event store must be URL-encoded',
    );
  }
}
