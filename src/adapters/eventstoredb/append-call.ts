import { randomUUID } from 'node:crypto';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ExpectedRevision } from '../../ports/event-store.ts';
import type { Link } from './connection.ts';
import type { Message } from './envelope.ts';
import { lostAppend, refusedAppend } from './outcomes.ts';
import { positionOf } from './position.ts';

/** One append on its way. */
export type AppendRequest = Readonly<{
  stream: string;
  expect: ExpectedRevision;
  messages: readonly Message[];
  bytes: number;
}>;

/** The server may leave out the position of what it had appended before. */
export type AppendResult = Readonly<{ revision: bigint; position: Position | null }>;

type Pending = Readonly<{
  request: AppendRequest;
  /** On the clock's monotonic time, in ms. */
  deadline: number;
  resolve(result: AppendResult): void;
  reject(error: StoreError): void;
}>;

/** What may be waiting for answers; more is refused. */
const MAX_PENDING = 16_384;
const MAX_PENDING_BYTES = 67_108_864;

/**
 * One `BatchAppend` call: appends go out as they come, answers come back by their ids. The client's own `appendToStream` is not used: it keeps one
 * table of answers for all connections of the process, so that the end of one call rejects the appends of others, and the answer to those then
 * ends the process; it never stops waiting for an answer; and it cannot tell what was sent from what was not.
 */
export class AppendCall {
  readonly link: Link;
  readonly #clock: Clock;
  readonly #appendMs: number;
  readonly #onEnd: (error: unknown) => void;
  readonly #call: ReturnType<StreamsClient['batchAppend']>;
  /** In the order in which they were sent, which is that of their deadlines. */
  readonly #pending = new Map<string, Pending>();
  readonly #stopWatch = new AbortController();
  #pendingBytes = 0;
  #isWatched = false;
  #retired = false;
  #ended = false;

  /** `onEnd` is told when the call has ended by itself, with what ended it. */
  constructor(link: Link, deps: Readonly<{ clock: Clock; appendMs: number }>, onEnd: (error: unknown) => void) {
    this.link = link;
    this.#clock = deps.clock;
    this.#appendMs = deps.appendMs;
    this.#onEnd = onEnd;
    const call = link.streams.batchAppend(...link.arguments(Number.POSITIVE_INFINITY));
    this.#call = call;
    call.on('data', (response: BatchAppendResp) => this.#answer(response));
    call.on('error', (error) => this.#end(error));
    call.on('end', () => this.#end(new Error('the server has ended the call')));
  }

  /** Whether it takes more. */
  get isOpen(): boolean {
    return !this.#ended && !this.#retired;
  }

  /** Sends an append. Rejects with `UNAVAILABLE` when too many wait already, with `UNKNOWN` when no answer comes in time. */
  send(request: AppendRequest): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      if (this.#pending.size >= MAX_PENDING || this.#pendingBytes + request.bytes > MAX_PENDING_BYTES) {
        throw new StoreError('UNAVAILABLE', 'too many appends are waiting for the event store');
      }
      const id = randomUUID();
      this.#call.write(toMessage(id, request));
      this.#pending.set(id, { request, deadline: this.#clock.monotonic() + this.#appendMs, resolve, reject });
      this.#pendingBytes += request.bytes;
      if (!this.#isWatched) void this.#watch();
    });
  }

  /** Takes no more, and ends once everything that was sent is settled. */
  retire(): void {
    this.#retired = true;
    this.#endWhenSettled();
  }

  #answer(response: BatchAppendResp): void {
    const pending = this.#take(response.getCorrelationId()?.getString() ?? '');
    // An answer that comes after its append was given up.
    if (pending === undefined) return;
    const [error, success] = [response.getError(), response.getSuccess()];
    if (success === undefined) {
      const { stream } = pending.request;
      pending.reject(error === undefined ? lostAppend(new Error('the answer is empty')) : refusedAppend(stream, error));
      return;
    }
    const place = success.getPosition();
    pending.resolve({
      revision: BigInt(success.getCurrentRevision()),
      position: place === undefined ? null : positionOf(place.getCommitPosition(), place.getPreparePosition()),
    });
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    this.#pendingBytes -= pending.request.bytes;
    this.#endWhenSettled();
    return pending;
  }

  /** Gives up what waits too long. One loop for all: the oldest is always the next to be given up. */
  async #watch(): Promise<void> {
    this.#isWatched = true;
    for (;;) {
      const [oldest] = this.#pending;
      if (oldest === undefined || this.#ended) break;
      const [id, { deadline, reject }] = oldest;
      const left = deadline - this.#clock.monotonic();
      if (left > 0) {
        await this.#clock.sleep(left, this.#stopWatch.signal);
      } else {
        this.#take(id);
        // What a server does not even read would pile up here, given up or not.
        if (this.#call.writableNeedDrain) this.#call.cancel();
        reject(new StoreError('UNKNOWN', `the event store did not answer an append within ${this.#appendMs} ms`));
      }
    }
    this.#isWatched = false;
  }

  #end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatch.abort();
    const open = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of open) reject(lostAppend(error));
    if (!this.#retired || open.length > 0) this.#onEnd(error);
  }

  #endWhenSettled(): void {
    if (this.#retired && this.#pending.size === 0 && !this.#ended) this.#call.end();
  }
}

function toMessage(id: string, { stream, expect, messages }: AppendRequest): BatchAppendReq {
  const correlationId = new shared.UUID();
  correlationId.setString(id);
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  // Without a deadline: as a time of day it would depend on both clocks, and the server has a limit of its own.
  const options = new streams.BatchAppendReq.Options();
  options.setStreamIdentifier(identifier);
  if (typeof expect === 'bigint') options.setStreamPosition(String(expect));
  else if (expect === 'none') options.setNoStream(new shared.Empty());
  else if (expect === 'exists') options.setStreamExists(new shared.Empty());
  else options.setAny(new shared.Empty());
  const message = new streams.BatchAppendReq();
  message.setCorrelationId(correlationId);
  message.setOptions(options);
  message.setProposedMessagesList([...messages]);
  message.setIsFinal(true);
  return message;
}
