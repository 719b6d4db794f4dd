import type { AppendResp, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import { accessDenied, type RpcError, rpcError } from './faults.ts';
import type { Expected, Written } from './log.ts';
import { batchError, identify, wrongExpectedVersion } from './messages.ts';
import { GoogleEmpty, grpc, shared, streams } from './stubs.ts';

/** The default of the real server, including its overhead. */
export const MAX_APPEND_BYTES = 1_048_576;

export type Outcome = Written | Readonly<{ result: 'too-large' | 'timeout' | 'busy' | 'denied' }>;

type Target = Readonly<{ stream: string; expected: Expected }>;

/** The response to one append of a `BatchAppend` call. */
export function batchResponse({ stream, expected }: Target, outcome: Outcome): BatchAppendResp {
  const response = new streams.BatchAppendResp();
  switch (outcome.result) {
    case 'appended': {
      const position = new shared.AllStreamPosition();
      position.setCommitPosition(String(outcome.position));
      position.setPreparePosition(String(outcome.position));
      const success = new streams.BatchAppendResp.Success();
      success.setCurrentRevision(String(outcome.revision));
      success.setPosition(position);
      response.setSuccess(success);
      break;
    }
    case 'conflict': {
      const details = wrongExpectedVersion(expected, outcome.current);
      response.setError(batchError('WrongExpectedVersion', 'WrongExpectedVersion', details));
      break;
    }
    case 'deleted': {
      const details = new shared.StreamDeleted();
      details.setStreamIdentifier(identify(stream));
      response.setError(batchError('StreamDeleted', 'StreamDeleted', details.serializeBinary()));
      break;
    }
    case 'too-large': {
      const details = new shared.MaximumAppendSizeExceeded();
      details.setMaxappendsize(MAX_APPEND_BYTES);
      response.setError(
        batchError('MaximumAppendSizeExceeded', 'MaximumAppendSizeExceeded', details.serializeBinary()),
      );
      break;
    }
    case 'timeout':
      response.setError(batchError('Timeout', 'Timeout', new shared.Timeout().serializeBinary()));
      break;
    case 'busy':
      response.setError(batchError('NotHandled', 'Server Is Busy', new GoogleEmpty().serializeBinary()));
      break;
    case 'denied':
      response.setError(batchError('AccessDenied', 'AccessDenied', new shared.AccessDenied().serializeBinary()));
      break;
  }
  return response;
}

/** The response to an `Append` call: a conflict is a response, any other failure is an error of the call. */
export function appendResponse({ stream, expected }: Target, outcome: Outcome): AppendResp | RpcError {
  const { status } = grpc;
  switch (outcome.result) {
    case 'appended': {
      const position = new streams.AppendResp.Position();
      position.setCommitPosition(String(outcome.position));
      position.setPreparePosition(String(outcome.position));
      const success = new streams.AppendResp.Success();
      success.setCurrentRevision(String(outcome.revision));
      success.setPosition(position);
      const response = new streams.AppendResp();
      response.setSuccess(success);
      return response;
    }
    case 'conflict': {
      const wrong = new streams.AppendResp.WrongExpectedVersion();
      if (outcome.current === null) wrong.setCurrentNoStream(new shared.Empty());
      else wrong.setCurrentRevision(String(outcome.current));
      if (expected === 'any') wrong.setExpectedAny(new shared.Empty());
      else if (expected === 'exists') wrong.setExpectedStreamExists(new shared.Empty());
      else if (expected === 'none') wrong.setExpectedNoStream(new shared.Empty());
      else wrong.setExpectedRevision(String(expected));
      const response = new streams.AppendResp();
      response.setWrongExpectedVersion(wrong);
      return response;
    }
    case 'deleted':
      return streamDeleted(stream);
    case 'too-large':
      return rpcError(status.INVALID_ARGUMENT, `Maximum Append Size of ${MAX_APPEND_BYTES} Exceeded.`, {
        exception: 'maximum-append-size-exceeded',
        'maximum-append-size': String(MAX_APPEND_BYTES),
      });
    case 'timeout':
      return rpcError(status.ABORTED, 'Operation timed out: Prepare phase timeout.', {});
    case 'busy':
      return rpcError(status.UNAVAILABLE, 'Server Is Too Busy', {});
    case 'denied':
      return accessDenied();
  }
}

export function streamDeleted(stream: string) {
  return rpcError(grpc.status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });
}
