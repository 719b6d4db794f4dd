import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AllStreamSubscription,
  EventStoreDBClient,
  eventTypeFilter,
  jsonEvent,
  type Position,
} from '@eventstore/db-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newStream } from '../contracts/events.ts';
import type { Product } from '../support/eventstoredb-server/positions.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';

/** Scavenging and unknown positions, as seen through the functions of the official client. What the real servers do is in docs/decisions/0022. */
let server: EventStoreDbServer;
let client: EventStoreDBClient;

async function start(product: Product): Promise<void> {
  server = await startEventStoreDbServer({ product });
  client = EventStoreDBClient.connectionString(server.url);
}

async function stop(): Promise<void> {
  await client.dispose();
  await server.close();
}

const made = (n: number) => jsonEvent({ type: 'Made', data: { n } });
const append = async (stream: string, ...numbers: number[]): Promise<Position> =>
  (await client.appendToStream(stream, numbers.map(made))).position as Position;
const at = (position: Position, offset: number): Position => ({
  commit: position.commit + BigInt(offset),
  prepare: position.prepare + BigInt(offset),
});
const END = 1_000_000;

type Item = Readonly<{ event?: Readonly<{ type: string; data: unknown }> }>;

/** The number of an event, nothing for other events. */
const numberOf = (item: unknown): readonly number[] => {
  const { event } = item as Item;
  return event?.type === 'Made' ? [(event.data as { n: number }).n] : [];
};

/** The numbers of a read. */
async function numbers(read: AsyncIterable<unknown>): Promise<number[]> {
  const found: number[] = [];
  for await (const item of read) found.push(...numberOf(item));
  return found;
}

/** The first numbers that a subscription delivers. */
async function first(count: number, subscription: AllStreamSubscription): Promise<number[]> {
  const found: number[] = [];
  for await (const item of subscription) {
    found.push(...numberOf(item));
    if (found.length === count) break;
  }
  return found;
}

describe.each(['EventStoreDB', 'KurrentDB'] as const)('the test server as %s', (product) => {
  beforeEach(() => start(product));
  afterEach(stop);

  it('removes what the metadata hides when it is scavenged, but not the last event of a stream', async () => {
    const [truncated, counted, gone, kept] = [newStream(), newStream(), newStream(), newStream()];
    for (const stream of [truncated, counted, gone, kept]) await append(stream, 0, 1, 2);
    await client.setStreamMetadata(truncated, { truncateBefore: 1 });
    await client.setStreamMetadata(counted, { maxCount: 2 });
    await client.setStreamMetadata(counted, { maxCount: 1 });
    await client.setStreamMetadata(gone, { truncateBefore: 3 });
    const before = server.log.records.filter(({ type }) => type === 'Made');
    expect(server.log.scavenge()).toBe(1 + 2 + 2 + 1);
    expect([truncated, counted, gone, kept].map((stream) => server.log.of(stream).map((r) => r.revision))).toEqual([
      [1, 2],
      [2],
      [2],
      [0, 1, 2],
    ]);
    expect(server.log.of(`$$${counted}`)).toHaveLength(1);
    expect(await numbers(client.readAll())).toEqual([1, 2, 2, 2, 0, 1, 2]);
    expect(await numbers(client.readAll({ direction: 'backwards', fromPosition: 'end' }))).toEqual([
      2, 1, 0, 2, 2, 2, 1,
    ]);
    const left = server.log.records.filter(({ type }) => type === 'Made');
    expect(left).toEqual(before.filter((record) => left.includes(record)));
    expect(await append(gone, 3)).toBeDefined();
    expect(server.log.of(gone).at(-1)).toMatchObject({ revision: 3 });
    expect(server.log.scavenge()).toBe(1);
  });

  it(`starts a subscription after a position whose event was scavenged ${
    product === 'EventStoreDB' ? 'one event too late' : 'at the next event'
  }`, async () => {
    const [a, b] = [newStream(), newStream()];
    await append(a, 0);
    const fromPosition = await append(a, 1);
    await append(b, 2, 3);
    await append(a, 4);
    await client.setStreamMetadata(a, { truncateBefore: 2 });
    expect(await first(2, client.subscribeToAll({ fromPosition }))).toEqual([2, 3]);
    server.log.scavenge();
    const expected = product === 'EventStoreDB' ? [3, 4] : [2, 3];
    expect(await first(2, client.subscribeToAll({ fromPosition }))).toEqual(expected);
    expect(await numbers(client.readAll({ fromPosition }))).toEqual([2, 3, 4]);
    expect(await numbers(client.readAll({ fromPosition: at(fromPosition, 1) }))).toEqual([2, 3, 4]);
    expect(await numbers(client.readAll({ fromPosition, direction: 'backwards' }))).toEqual([]);
  });

  it('rejects a position between two events', async () => {
    const stream = newStream();
    const between = at(await append(stream, 0), 1);
    await append(stream, 1);
    const result = product === 'EventStoreDB' ? 'Error' : 'InvalidPosition';
    for (const direction of ['forwards', 'backwards'] as const) {
      await expect(numbers(client.readAll({ fromPosition: between, direction }))).rejects.toThrow(
        `2 UNKNOWN: Unexpected ReadAllResult: ${result}`,
      );
    }
    const filter = eventTypeFilter({ prefixes: ['Made'] });
    const error = product === 'EventStoreDB' ? /2 UNKNOWN: Exception was thrown/ : /3 INVALID_ARGUMENT: .* invalid pos/;
    for (const options of [{}, { filter }]) {
      await expect(first(1, client.subscribeToAll({ fromPosition: between, ...options }))).rejects.toThrow(error);
    }
  });

  it('says nothing about a position after the end, except to a read backwards', async () => {
    const stream = newStream();
    const fromPosition = at(await append(stream, 0), END);
    expect(await numbers(client.readAll({ fromPosition }))).toEqual([]);
    await expect(numbers(client.readAll({ fromPosition, direction: 'backwards' }))).rejects.toThrow(
      '2 UNKNOWN: Unexpected ReadAllResult: Error',
    );
    const subscription = client.subscribeToAll({ fromPosition });
    const caughtUp = new Promise((resolve) => {
      subscription.once('caughtUp', () => resolve('caught up'));
    });
    const following = first(1, subscription);
    expect(await caughtUp).toBe('caught up');
    await append(stream, 1);
    const large = jsonEvent({ type: 'Large', data: { text: 'x'.repeat(END) } });
    await client.appendToStream(stream, large);
    await append(stream, 2);
    expect(await following).toEqual([product === 'EventStoreDB' ? 1 : 2]);
  });
});

it('the test server has scavenged what it had scavenged before a restart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-eventstoredb-'));
  const options = { path: join(folder, 'log') };
  server = await startEventStoreDbServer(options);
  client = EventStoreDBClient.connectionString(server.url);
  const stream = newStream();
  await append(stream, 0, 1, 2);
  await client.setStreamMetadata(stream, { maxCount: 1 });
  expect(server.log.scavenge()).toBe(2);
  await append(stream, 3);
  const placesOf = () => server.log.records.map(({ id, commit, prepare, revision }) => [id, commit, prepare, revision]);
  const [places, end] = [placesOf(), server.log.end];
  await stop();
  server = await startEventStoreDbServer(options);
  client = EventStoreDBClient.connectionString(server.url);
  expect(placesOf()).toEqual(places);
  expect(server.log.end).toBe(end);
  expect(server.log.isRewritten(1)).toBe(true);
  expect(server.log.isRewritten(end - 1)).toBe(false);
  await stop();
  await rm(folder, { recursive: true });
});
