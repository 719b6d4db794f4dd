import type { DeleteReq, DeleteResp, TombstoneReq, TombstoneResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { streamDeleted } from './append-responses.ts';
import { type Faults, type RpcError, rpcError } from './faults.ts';
import type { Expected, Log } from './log.ts';
import { expectation, nameOf } from './messages.ts';
import { grpc, streams } from './stubs.ts';

type Deps = Readonly<{ log: Log; faults: Faults }>;

/** `Delete`: the stream may be written again. */
export function serveDelete(
  deps: Deps,
  call: ServerUnaryCall<DeleteReq, DeleteResp>,
  respond: sendUnaryData<DeleteResp>,
): void {
  perform(deps, { call, respond, permanent: false }, (at) => {
    const position = new streams.DeleteResp.Position();
    position.setCommitPosition(at);
    position.setPreparePosition(at);
    const response = new streams.DeleteResp();
    response.setPosition(position);
    return response;
  });
}

/** `Tombstone`: the stream can never be written again. */
export function serveTombstone(
  deps: Deps,
  call: ServerUnaryCall<TombstoneReq, TombstoneResp>,
  respond: sendUnaryData<TombstoneResp>,
): void {
  perform(deps, { call, respond, permanent: true }, (at) => {
    const position = new streams.TombstoneResp.Position();
    position.setCommitPosition(at);
    position.setPreparePosition(at);
    const response = new streams.TombstoneResp();
    response.setPosition(position);
    return response;
  });
}

function perform<Request extends DeleteReq | TombstoneReq, Response>(
  { log, faults }: Deps,
  {
    call,
    respond,
    permanent,
  }: Readonly<{ call: ServerUnaryCall<Request, Response>; respond: sendUnaryData<Response>; permanent: boolean }>,
  toResponse: (position: string) => Response,
): void {
  if (!faults.admits(call)) return;
  const options = call.request.getOptions();
  const stream = nameOf(options?.getStreamIdentifier());
  const expected = options === undefined ? 'any' : expectation(options, options.getRevision());
  const outcome = log.delete(stream, expected, { permanent });
  if (outcome.result === 'appended') respond(null, toResponse(String(outcome.position)));
  else if (outcome.result === 'deleted') respond(streamDeleted(stream));
  else respond(wrongVersion(stream, expected, outcome.current));
}

function wrongVersion(stream: string, expected: Expected, current: number | null): RpcError {
  return rpcError(grpc.status.FAILED_PRECONDITION, 'Delete failed due to WrongExpectedVersion.', {
    exception: 'wrong-expected-version',
    'stream-name': stream,
    'expected-version': String(expected),
    'actual-version': current === null ? '' : String(current),
  });
}
