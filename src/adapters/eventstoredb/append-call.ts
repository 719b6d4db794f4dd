import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { Status } from '@eventstore/db-client/generated/status_pb.js';
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ExpectedRevision } from '../../ports/event-store.ts';
import type { AccessLog } from './access.ts';
import type { Message } from './envelope.ts';
import type { Link } from './link.ts';
import { accessFailureOf, isAccessDenied, isDecided, lostAppend, rejectedAppend } from './outcomes.ts';
import { toPosition } from './position.ts';
import type { WaitingCall } from './silence-watch.ts';

/** One append to send. */
export type AppendRequest = Readonly<{
  stream: string;
  expect: ExpectedRevision;
  messages: readonly Message[];
  /** Bytes of data and metadata. */
  bytes: number;
}>;

/** `position` is `null` where the server did not send it, which it may omit for records that it had appended before. */
export type AppendResult = Readonly<{ revision: bigint; position: Position | null }>;

type AppendCallDeps = Readonly<{
  clock: Clock;
  access: AccessLog;
  newId: () => string;
  /** How long to wait for a response, in ms. */
  appendMs: number;
}>;

type Pending = Readonly<{
  request: AppendRequest;
  /** In the clock's monotonic time, ms. */
  deadline: number;
  waiting: WaitingCall | null;
  resolve(result: AppendResult): void;
  reject(error: StoreError): void;
}>;

/** Appends that may wait for a response; more are rejected. */
const MAX_PENDING = 16_384;
const MAX_PENDING_BYTES = 67_108_864;

/**
 * One `BatchAppend` call: appends are sent as they arrive, and responses are matched to them by correlation id. The client's own `appendToStream` is
 * not used: it keeps one table of responses for all connections of the process, so that the end of one call rejects the appends of other calls, and
 * a response to one of those then ends the process; it waits for a response without limit; and it does not distinguish sent appends from unsent ones
 * (docs/decisions/0019).
 */
export class AppendCall {
  readonly link: Link;
  readonly #deps: AppendCallDeps;
  readonly #onEnd: (error: unknown) => void;
  readonly #call: ReturnType<Link['batchAppend']>;
  /** In the order of sending, which is also the order of their deadlines. */
  readonly #pending = new Map<string, Pending>();
  readonly #ending = new AbortController();
  #pendingBytes = 0;
  #isWatching = false;
  #retired = false;
  #ended = false;

  /** `onEnd` is called with the cause when the call ends other than by `retire`, or before every append was settled. */
  constructor(link: Link, deps: AppendCallDeps, onEnd: (error: unknown) => void) {
    this.link = link;
    this.#deps = deps;
    this.#onEnd = onEnd;
    const call = link.batchAppend();
    this.#call = call;
    call.on('data', (response: BatchAppendResp) => this.#settle(response));
    call.on('error', (error) => this.#end(error));
    call.on('end', () => this.#end(new Error('the server ended the call')));
  }

  /** Whether `send` may be called. */
  get isOpen(): boolean {
    return !this.#ended && !this.#retired;
  }

  /** Sends an append. Rejects with `UNAVAILABLE` when too many appends are pending, with `UNKNOWN` when no response arrives in time. */
  send(request: AppendRequest): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      if (this.#pending.size >= MAX_PENDING || this.#pendingBytes + request.bytes > MAX_PENDING_BYTES) {
        throw new StoreError('UNAVAILABLE', 'too many pending appends to the event store');
      }
      const { clock, newId, appendMs } = this.#deps;
      const id = newId();
      this.#call.write(toRequest(id, request));
      const waiting = this.link.begin();
      this.#pending.set(id, { request, deadline: clock.monotonic() + appendMs, waiting, resolve, reject });
      this.#pendingBytes += request.bytes;
      if (!this.#isWatching) void this.#watchDeadlines();
    });
  }

  /** Accepts no more appends, and ends once all pending ones are settled. */
  retire(): void {
    this.#retired = true;
    this.#endWhenSettled();
  }

  #settle(response: BatchAppendResp): void {
    const pending = this.#remove(response.getCorrelationId()?.getString() ?? '');
    // A response after the deadline.
    if (pending === undefined) return;
    const [error, success] = [response.getError(), response.getSuccess()];
    if (success === undefined) {
      pending.reject(
        error === undefined ? lostAppend(new Error('the response is empty')) : this.#rejection(pending, error),
      );
      return;
    }
    const { access } = this.#deps;
    if (access.isRejecting) access.accepted('append to', pending.request.stream);
    const place = success.getPosition();
    pending.resolve({
      revision: BigInt(success.getCurrentRevision()),
      position: place === undefined ? null : toPosition(place.getCommitPosition(), place.getPreparePosition()),
    });
  }

  #rejection({ request: { stream } }: Pending, error: Status): StoreError {
    if (isAccessDenied(error)) {
      return new StoreError('UNAVAILABLE', this.#deps.access.rejected('permission', 'append to', stream));
    }
    if (!isDecided(error)) this.link.notCarriedOut();
    return rejectedAppend(stream, error);
  }

  #remove(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    this.#pendingBytes -= pending.request.bytes;
    this.link.end(pending.waiting);
    this.#endWhenSettled();
    return pending;
  }

  /** Rejects appends whose deadline has passed. One loop is enough: the oldest append is always the next to time out. */
  async #watchDeadlines(): Promise<void> {
    const { clock, appendMs } = this.#deps;
    this.#isWatching = true;
    for (;;) {
      const [oldest] = this.#pending;
      if (oldest === undefined || this.#ended) break;
      const [id, { deadline, reject }] = oldest;
      const left = deadline - clock.monotonic();
      if (left > 0) {
        await clock.sleep(left, this.#ending.signal);
      } else {
        this.#remove(id);
        // Requests that the server does not even read would accumulate in memory, timed out or not.
        if (this.#call.writableNeedDrain) this.#call.cancel();
        reject(new StoreError('UNKNOWN', `the event store did not respond to an append within ${appendMs} ms`));
      }
    }
    this.#isWatching = false;
  }

  #end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#ending.abort();
    const unsettled = [...this.#pending.values()];
    this.#pending.clear();
    const failure = accessFailureOf(error);
    for (const { request, waiting, reject } of unsettled) {
      this.link.end(waiting);
      // Such a call was rejected as a whole, before any append of it was carried out.
      if (failure === null) reject(lostAppend(error));
      else reject(new StoreError('UNAVAILABLE', this.#deps.access.rejected(failure, 'append to', request.stream)));
    }
    if (!this.#retired || unsettled.length > 0) this.#onEnd(error);
  }

  /** Cancelled rather than half-closed: the server would keep a half-closed call open, and with it the process. */
  #endWhenSettled(): void {
    if (this.#retired && this.#pending.size === 0 && !this.#ended) this.#call.cancel();
  }
}

function toRequest(id: string, { stream, expect, messages }: AppendRequest): BatchAppendReq {
  const correlationId = new shared.UUID();
  correlationId.setString(id);
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  // No deadline is sent: it would be a wall-clock time that depends on both clocks, and the server has a limit of its own.
  const options = new streams.BatchAppendReq.Options();
  options.setStreamIdentifier(identifier);
  if (typeof expect === 'bigint') options.setStreamPosition(String(expect));
  else if (expect === 'none') options.setNoStream(new shared.Empty());
  else if (expect === 'exists') options.setStreamExists(new shared.Empty());
  else options.setAny(new shared.Empty());
  const request = new streams.BatchAppendReq();
  request.setCorrelationId(correlationId);
  request.setOptions(options);
  request.setProposedMessagesList([...messages]);
  request.setIsFinal(true);
  return request;
}
