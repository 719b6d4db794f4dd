import type { Credentials } from '@eventstore/db-client';
import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { CallArguments, ClientInternals } from './client-internals.ts';
import type { SilenceWatch, WaitingCall } from './silence-watch.ts';

/** States of a gRPC channel (https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html). */
const READY = 2;
const TRANSIENT_FAILURE = 3;
const SHUTDOWN = 4;

type ReadCall = ReturnType<StreamsClient['read']>;
type BatchCall = ReturnType<StreamsClient['batchAppend']>;

export type LinkOptions = Readonly<{
  /** `host:port` of the node. */
  address: string;
  streams: StreamsClient;
  client: ClientInternals;
  credentials: Credentials | undefined;
  /** Watches the calls for responses; `null` for a node without substitute. */
  watch: SilenceWatch | null;
}>;

/** A gRPC connection to one node. Calls started on it continue after `close`, and end with `abandon`. */
export class Link {
  readonly address: string;
  readonly #streams: StreamsClient;
  readonly #options: LinkOptions;
  readonly #calls = new Set<ReadCall | BatchCall>();

  constructor(options: LinkOptions) {
    this.address = options.address;
    this.#streams = options.streams;
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#streams.getChannel().getConnectivityState(false) === READY;
  }

  /** Starts a read or a subscription. `timeoutMs`: how long it may take; `Infinity` for one that stays open. Throws `UNAVAILABLE` once it is closed. */
  read(request: ReadReq, timeoutMs: number): ReadCall {
    const call = this.#streams.read(request, ...this.#arguments(timeoutMs));
    this.#calls.add(call);
    const waiting = this.begin();
    // The first response comes with the metadata.
    call.once('metadata', () => this.end(waiting));
    call.once('status', () => {
      this.end(waiting);
      this.#calls.delete(call);
    });
    return call;
  }

  /** Starts a call for any number of appends. Throws `UNAVAILABLE` once it is closed. */
  batchAppend(): BatchCall {
    const call = this.#streams.batchAppend(...this.#arguments(Number.POSITIVE_INFINITY));
    this.#calls.add(call);
    call.once('status', () => this.#calls.delete(call));
    return call;
  }

  /** Notes that something was sent to the node, until `end`. */
  begin(): WaitingCall | null {
    return this.#options.watch?.begin() ?? null;
  }

  /** Notes that the response is there, or is no longer waited for. */
  end(waiting: WaitingCall | null): void {
    if (waiting !== null) this.#options.watch?.end(waiting);
  }

  /** Notes that the node responded, but did not carry out what was sent. */
  notCarriedOut(): void {
    this.#options.watch?.notCarriedOut();
  }

  /** Resolves once connected, rejects at the first failure and when it is closed. */
  async connect(): Promise<void> {
    const channel = this.#streams.getChannel();
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
    this.#options.watch?.stop();
    this.#streams.close();
  }

  /** Closes it and cancels all its calls. */
  abandon(): void {
    this.close();
    for (const call of this.#calls) call.cancel();
  }

  #arguments(timeoutMs: number): CallArguments {
    // Other callers may close it between `Connection.link` and a call; gRPC's own error for that says nothing about the store.
    if (this.#streams.getChannel().getConnectivityState(false) === SHUTDOWN) {
      throw new StoreError('UNAVAILABLE', 'the connection to the event store was closed; nothing was sent');
    }
    const { client, credentials } = this.#options;
    const noDeadline = timeoutMs === Number.POSITIVE_INFINITY ? { deadline: timeoutMs } : {};
    return client.callArguments({ ...(credentials !== undefined && { credentials }), deadline: timeoutMs }, noDeadline);
  }
}
