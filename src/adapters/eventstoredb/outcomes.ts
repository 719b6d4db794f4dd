import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { Status } from '@eventstore/db-client/generated/status_pb.js';
import { StoreError } from '../../kernel/errors.ts';

/** The status codes of gRPC that are distinguished here (https://grpc.io/docs/guides/status-codes/). */
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

/** The error of a failed gRPC call. */
type CallError = Error & Readonly<{ code: number; metadata?: Readonly<{ get(key: string): readonly unknown[] }> }>;

const isCallError = (error: unknown): error is CallError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number';

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether a failed call may be due to the node or the connection to it, so that the next call should use a new connection. */
export function isConnectionFailure(error: unknown): boolean {
  return !isCallError(error) || [CANCELLED, UNKNOWN, NOT_FOUND, INTERNAL, UNAVAILABLE].includes(error.code);
}

/** The server does not accept user or password, or the user lacks a permission. */
export type AccessFailure = 'credentials' | 'permission';

/** Which access was rejected, `null` for another failure. */
export function accessFailureOf(error: unknown): AccessFailure | null {
  if (!isCallError(error)) return null;
  if (error.code === UNAUTHENTICATED) return 'credentials';
  return error.code === PERMISSION_DENIED ? 'permission' : null;
}

/** Whether a read failed because its stream was permanently deleted. */
export function isStreamDeleted(error: unknown): boolean {
  return isCallError(error) && error.metadata?.get('exception')[0] === 'stream-deleted';
}

/**
 * `INVALID` when the server rejects the position of a read of the whole log, otherwise `null`. EventStoreDB 23.10 and KurrentDB 25 have no error for
 * this: they report the name of an internal result, the older one also for other failures of the read.
 */
export function rejectedPosition(error: unknown): StoreError | null {
  if (!isCallError(error)) return null;
  const isRejected =
    error.code === INVALID_ARGUMENT ||
    (error.code === UNKNOWN && /Unexpected (Filtered)?ReadAllResult: (Error|InvalidPosition)$/.test(error.message));
  if (!isRejected) return null;
  return new StoreError('INVALID', `the event log does not have this position: ${error.message}`, { cause: error });
}

/** The error of a failed read: `INVALID` for a position that the log does not have, else `UNAVAILABLE`. */
export function failedRead(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = isCallError(error) && error.code === INVALID_ARGUMENT ? 'INVALID' : 'UNAVAILABLE';
  return new StoreError(code, `reading from the event store failed: ${messageOf(error)}`, { cause: error });
}

/**
 * The error of an append whose call ended without a response. Only when the server rejected the whole call is it certain that nothing was written:
 * what was passed to the connection may have arrived.
 */
export function lostAppend(error: unknown): StoreError {
  return isCallError(error) && error.code === UNIMPLEMENTED
    ? new StoreError('UNAVAILABLE', `the event store rejects appends: ${messageOf(error)}`, { cause: error })
    : new StoreError('UNKNOWN', `the response to an append was lost: ${messageOf(error)}`, { cause: error });
}

/** Whether the server did not carry out an append because the user may not write to the stream. */
export const isAccessDenied = (error: Status): boolean =>
  error.getDetails()?.getTypeName() === 'event_store.client.AccessDenied';

/** Whether the server has decided that it does not carry out an append, rather than being unable to: without a leader or a quorum, or too busy. */
export const isDecided = (error: Status): boolean =>
  /\.(WrongExpectedVersion|StreamDeleted|AccessDenied|MaximumAppendSizeExceeded)$/.test(
    error.getDetails()?.getTypeName() ?? '',
  );

/** The error of an append that the server did not carry out, or whose outcome the server does not know. */
export function rejectedAppend(stream: string, error: Status): StoreError {
  const details = error.getDetails();
  const kind = details?.getTypeName();
  switch (kind) {
    case 'event_store.client.WrongExpectedVersion': {
      const wrong = details?.unpack(shared.WrongExpectedVersion.deserializeBinary, kind);
      const actual = wrong?.hasCurrentStreamRevision() === true ? BigInt(wrong.getCurrentStreamRevision()) : null;
      const state = actual === null ? 'has no records' : `is at revision ${actual}`;
      return new StoreError('VERSION_CONFLICT', `unexpected revision: stream '${stream}' ${state}`, { actual });
    }
    case 'event_store.client.StreamDeleted':
      return new StoreError('UNAVAILABLE', `stream '${stream}' was permanently deleted in the event store`);
    case 'event_store.client.MaximumAppendSizeExceeded':
      return new StoreError('INVALID', 'the append exceeds the MaxAppendSize of the event store');
  }
  // Not ready, too busy, or no leader: the server did not process it.
  if (kind === 'google.protobuf.Empty' && Number(error.getCode()) === OK) {
    return new StoreError('UNAVAILABLE', `the event store does not accept appends: ${error.getMessage()}`);
  }
  return new StoreError('UNKNOWN', `the outcome of an append is unknown: ${error.getMessage()}`);
}
