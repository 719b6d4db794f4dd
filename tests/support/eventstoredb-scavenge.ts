import { EventStoreDBClient } from '@eventstore/db-client';
import { OperationsClient } from '@eventstore/db-client/generated/operations_grpc_pb.js';
import operations from '@eventstore/db-client/generated/operations_pb.js';
import type { CallArguments } from '../../src/adapters/eventstoredb/client-internals.ts';

/** Methods that the types of the client do not declare. */
type Internals = Readonly<{
  getGRPCClient(type: typeof OperationsClient, name: string): Promise<OperationsClient>;
  callArguments(options: Readonly<{ deadline: number }>): CallArguments;
}>;

const START_MS = 10_000;

/** Scavenges the node of a real server, and resolves when that is done. The user in the connection string must be of `$ops` or `$admins`. */
export async function scavengeServer(url: string): Promise<void> {
  const client = EventStoreDBClient.connectionString(url);
  try {
    const id = await start(client);
    // The server reports the end of a scavenge in a stream.
    for await (const { event } of client.subscribeToStream(`$scavenges-${id}`)) {
      if (event?.type === '$scavengeCompleted') return;
    }
  } finally {
    await client.dispose();
  }
}

/** Starts a scavenge, or finds the one in progress. Resolves with its id. */
async function start(client: EventStoreDBClient): Promise<string> {
  // See `client-internals.ts`.
  const internals = client as unknown as Internals;
  const service = await internals.getGRPCClient(OperationsClient, 'startScavenge');
  const options = new operations.StartScavengeReq.Options();
  options.setThreadCount(1);
  const request = new operations.StartScavengeReq();
  request.setOptions(options);
  const [metadata, settings] = internals.callArguments({ deadline: START_MS });
  return new Promise((resolve, reject) => {
    service.startScavenge(request, metadata, settings, (error, response) => {
      if (error === null) resolve(response.getScavengeId());
      else reject(error);
    });
  });
}
