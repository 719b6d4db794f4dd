import type { Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { GossipClient } from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';

/** The version whose undeclared parts the adapter uses (docs/decisions/0019). `package.json` and the lock file have exactly this one. */
export const CLIENT_VERSION = '6.2.1';

/** The leading arguments of a call: gRPC's metadata and options. */
export type CallArguments = Required<Parameters<StreamsClient['batchAppend']>>;

/** Methods of the client that its own modules call, but its types do not declare. */
export type ClientInternals = Readonly<{
  getGRPCClient<Stub>(type: new (...args: never) => Stub, name: string): Promise<Stub>;
  callArguments(options: { credentials?: Credentials; deadline: number }, call: CallArguments[1]): CallArguments;
}>;

/** The undeclared methods of a client. Throws `INVALID` when these or the generated stubs are not there: another version is installed. */
export function internalsOf(client: EventStoreDBClient): ClientInternals {
  // The cast is for the methods that the types of the client do not declare; they are checked here.
  const internals = client as unknown as ClientInternals;
  const needed: Readonly<Record<string, unknown>> = {
    getGRPCClient: internals.getGRPCClient,
    callArguments: internals.callArguments,
    'StreamsClient.read': StreamsClient.prototype.read,
    'StreamsClient.batchAppend': StreamsClient.prototype.batchAppend,
    'GossipClient.read': GossipClient.prototype.read,
    ClusterInfo: gossip.ClusterInfo,
    'BatchAppendReq.ProposedMessage': streams.BatchAppendReq?.ProposedMessage,
    'ReadReq.Options': streams.ReadReq?.Options,
    StreamIdentifier: shared.StreamIdentifier,
    WrongExpectedVersion: shared.WrongExpectedVersion,
  };
  const [missing] = Object.keys(needed).filter((name) => typeof needed[name] !== 'function');
  if (missing === undefined) return internals;
  throw new StoreError('INVALID', `@eventstore/db-client is not version ${CLIENT_VERSION}: ${missing} is missing`);
}
