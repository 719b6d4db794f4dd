import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerDuplexStream, ServerReadableStream, sendUnaryData } from '@grpc/grpc-js';
import { appendResponse, batchResponse, MAX_APPEND_BYTES, type Outcome } from './append-responses.ts';
import type { AppendFault, Faults } from './faults.ts';
import type { Expected, Log, Proposed } from './log.ts';
import { expectation, identify, nameOf, proposed, textOf } from './messages.ts';

type Request = { stream: string; expected: Expected; events: Proposed[] };

export type AppendDeps = Readonly<{
  log: Log;
  faults: Faults;
  /** The appends that wait at the gate, see `Faults.holdAppends`. */
  waiting: Set<unknown>;
  /** Called for each append that arrives. */
  received(): void;
  /** Called after each append that was written. */
  carriedOut(): void;
  cutConnections(): void;
}>;

/** Carries out an append; `null` when no response is to be sent. */
async function perform(deps: AppendDeps, request: Request): Promise<Outcome | null> {
  const { log, faults, waiting, cutConnections } = deps;
  waiting.add(request);
  await faults.gate();
  await faults.thawed();
  waiting.delete(request);
  const size = request.events.reduce(
    (sum, { data, metadata, type }) => sum + data.length + metadata.length + 2 * type.length,
    0,
  );
  if (size > MAX_APPEND_BYTES) return { result: 'too-large' };
  const fault: AppendFault | undefined = faults.appends.shift();
  if (fault?.kind === 'busy') return { result: 'busy' };
  const written = fault?.written === false ? null : log.append(request.stream, request.expected, request.events);
  if (written !== null) deps.carriedOut();
  if (fault === undefined) return written;
  if (fault.kind === 'cut') cutConnections();
  return fault.kind === 'timeout' ? { result: 'timeout' } : null;
}

/** `BatchAppend`: any number of appends over one call, which stays open. */
export function serveBatchAppend(deps: AppendDeps, call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>): void {
  if (!deps.faults.admits(call)) return;
  const pending = new Map<string, Request>();
  // The appends of one call are carried out in the order of their arrival.
  let turn = Promise.resolve();
  call.on('data', (message: BatchAppendReq) => {
    const id = textOf(message.getCorrelationId());
    const options = message.getOptions();
    if (options !== undefined) {
      const expected = expectation(options, options.getStreamPosition());
      pending.set(id, { stream: nameOf(options.getStreamIdentifier()), expected, events: [] });
    }
    const request = pending.get(id);
    if (request === undefined) return;
    request.events.push(...message.getProposedMessagesList().map(proposed));
    if (!message.getIsFinal()) return;
    pending.delete(id);
    deps.received();
    turn = turn.then(async () => {
      const isPermitted = deps.faults.permitsAppend(call);
      const outcome = isPermitted ? await perform(deps, request) : ({ result: 'denied' } as const);
      await deps.faults.thawed();
      if (outcome === null || call.cancelled || call.destroyed) return;
      const response = batchResponse(request, outcome);
      response.setCorrelationId(message.getCorrelationId());
      response.setStreamIdentifier(identify(request.stream));
      call.write(response);
    });
  });
  // As EventStoreDB does: a half-closed call stays open until the client cancels it.
  call.on('error', () => call.destroy());
}

/** `Append`: one append, with one message per event. */
export async function serveAppend(
  deps: AppendDeps,
  call: ServerReadableStream<AppendReq, AppendResp>,
  respond: sendUnaryData<AppendResp>,
): Promise<void> {
  if (!deps.faults.admits(call)) return;
  const request: Request = { stream: '', expected: 'any', events: [] };
  try {
    for await (const message of call as AsyncIterable<AppendReq>) {
      const options = message.getOptions();
      const event = message.getProposedMessage();
      if (options !== undefined) {
        request.stream = nameOf(options.getStreamIdentifier());
        request.expected = expectation(options, options.getRevision());
      }
      if (event !== undefined) request.events.push(proposed(event));
    }
  } catch {
    // The caller disconnected before the request was complete.
    return;
  }
  const outcome = deps.faults.permitsAppend(call) ? await perform(deps, request) : ({ result: 'denied' } as const);
  if (outcome === null) return;
  const response = appendResponse(request, outcome);
  if (response instanceof Error) respond(response);
  else respond(null, response);
}
