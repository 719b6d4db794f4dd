import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';

/**
 * Scenarios in which the methods of the client end the process: `node eventstoredb-client.child.ts <scenario>`. Each prints one line a step. The last
 * is `survived`, after which the process exits with code 0.
 */
const scenarios: Readonly<Record<string, () => Promise<void>>> = { 'two-clients': twoClients, discovery };

const event = (text: string) => jsonEvent({ type: 'note', data: { text } });

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setImmediate();
}

/** The connection of one client is lost while an append of another one, to another server, waits for its response. */
async function twoClients(): Promise<void> {
  const [first, second] = [await startEventStoreDbServer(), await startEventStoreDbServer()];
  const [one, two] = [first, second].map(({ url }) => EventStoreDBClient.connectionString(url));
  await one?.appendToStream('a', event('1'));
  await two?.appendToStream('b', event('1'));
  const open = second.faults.holdAppends();
  const held = Promise.allSettled([two?.appendToStream('b', event('2'))]);
  await until(() => second.heldAppends === 1);
  first.cut();
  const [outcome] = await held;
  console.log(`${outcome?.status}, ${second.log.of('b').length} written`);
  open();
  await until(() => second.log.of('b').length === 2);
  console.log('2 written');
  await two?.appendToStream('b', event('3'));
}

/** A connection is lost while the client searches the cluster for a node again. */
async function discovery(): Promise<void> {
  const node = await startEventStoreDbServer();
  // The other member accepts connections, and sends nothing.
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const hosts = `127.0.0.1:${node.port},127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const client = EventStoreDBClient.connectionString(
    `esdb://${hosts}?tls=false&gossipTimeout=1&maxDiscoverAttempts=1&discoveryInterval=1`,
  );
  await client.appendToStream('a', event('1'));
  const subscription = client.subscribeToAll();
  const interrupted = once(subscription, 'error').catch((error: unknown) => error);
  await once(subscription, 'data');
  node.faults.reads.push('unavailable');
  await read(client).catch((error: Error) => console.log(error.name));
  await node.stop();
  // The next call starts the search; the subscription on the old connection ends in the meantime.
  const searching = read(client).catch((error: Error) => console.log(error.message));
  await Promise.all([interrupted, searching]);
  await setImmediate();
}

async function read(client: EventStoreDBClient): Promise<void> {
  for await (const _ of client.readStream('a')) break;
}

await scenarios[process.argv[2] ?? '']?.();
console.log('survived');
process.exit(0);
