import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { Status } from '@eventstore/db-client/generated/status_pb.js';
import { StoreError } from '../../kernel/errors.ts';

/** The status codes of gRPC that are told apart here (https://grpc.io/docs/guides/status-codes/). */
const OK = 0;
const CANCELLED = 1;
const UNKNOWN = 2;
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** How a gRPC call fails. */
type CallError = Error & Readonly<{ code: number; metadata?: Readonly<{ get(key: string): readonly unknown[] }> }>;

const isCallError = (error: unknown): error is CallError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number';

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether a failed call says something about the node or the way to it, so that the next call had better find a new one. */
export function blamesConnection(error: unknown): boolean {
  return !isCallError(error) || [CANCELLED, UNKNOWN, NOT_FOUND, INTERNAL, UNAVAILABLE].includes(error.code);
}

/** Whether a read failed because its stream was deleted for good. */
export function isStreamDeleted(error: unknown): boolean {
  return isCallError(error) && error.metadata?.get('exception')[0] === 'stream-deleted';
}

/** A call that writes nothing failed: `INVALID` for a position the log does not have, else `UNAVAILABLE`. */
export function failedRead(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = isCallError(error) && error.code === INVALID_ARGUMENT ? 'INVALID' : 'UNAVAILABLE';
  return new StoreError(code, `the event store cannot be read: ${words(error)}`, { cause: error });
}

/**
 * The call that carried an append ended without an answer to it. Only where the server let nothing of the call in is it sure that nothing was
 * written: what was handed to the connection may have arrived.
 */
export function lostAppend(error: unknown): StoreError {
  const refused = isCallError(error) && [PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED].includes(error.code);
  return refused
    ? new StoreError('UNAVAILABLE', `the event store refuses appends: ${words(error)}`, { cause: error })
    : new StoreError('UNKNOWN', `the answer to an append was lost: ${words(error)}`, { cause: error });
}

/** The server's answer to an append that it did not do, or does not know whether it did. */
export function refusedAppend(stream: string, error: Status): StoreError {
  const details = error.getDetails();
  const kind = details?.getTypeName();
  switch (kind) {
    case 'event_store.client.WrongExpectedVersion': {
      const wrong = details?.unpack(shared.WrongExpectedVersion.deserializeBinary, kind);
      const actual = wrong?.hasCurrentStreamRevision() === true ? BigInt(wrong.getCurrentStreamRevision()) : null;
      const is = actual === null ? 'has no events' : `is at revision ${actual}`;
      return new StoreError('VERSION_CONFLICT', `stream '${stream}' ${is}, which is not what was expected`, { actual });
    }
    case 'event_store.client.StreamDeleted':
      return new StoreError('UNAVAILABLE', `stream '${stream}' was deleted for good in the event store`);
    case 'event_store.client.AccessDenied':
      return new StoreError('UNAVAILABLE', `the event store denies writing to stream '${stream}'`);
    case 'event_store.client.MaximumAppendSizeExceeded':
      return new StoreError('INVALID', 'the append is larger than the event store takes (see its MaxAppendSize)');
  }
  // Not ready, too busy, no leader: it never was looked at.
  if (kind === 'google.protobuf.Empty' && Number(error.getCode()) === OK) {
    return new StoreError('UNAVAILABLE', `the event store does not take it: ${error.getMessage()}`);
  }
  return new StoreError('UNKNOWN', `the event store does not know whether it took an append: ${error.getMessage()}`);
}
