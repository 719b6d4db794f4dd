import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  type AppendExpectedRevision,
  type AppendToStreamOptions,
  type EventData,
  EventStoreDBClient,
  jsonEvent,
  type Position,
  streamNameFilter,
} from '@eventstore/db-client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newStream, note, textsOf } from '../contracts/events.ts';
import { follow, until } from '../contracts/following.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { open } from './eventstoredb.ts';

/** The test server behaves as an EventStoreDB when used through the functions of the official client. */
let server: EventStoreDbServer;
let client: EventStoreDBClient;

beforeAll(async () => {
  server = await startEventStoreDbServer();
  client = EventStoreDBClient.connectionString(server.url);
});
afterAll(async () => {
  await client.dispose();
  await server.close();
});

const made = (n: number): EventData => jsonEvent({ type: 'Made', data: { n }, metadata: { by: 'test' } });
const several = (count: number): EventData[] => Array.from({ length: count }, (_, n) => made(n));

/** All items of a read. */
async function all<Item>(stream: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe.each([
  // The client does not batch calls that have credentials of their own.
  ['one call each', { credentials: { username: 'admin', password: 'changeit' } }],
  ['batched', {}],
])('appends of the client, %s', (_name, options: AppendToStreamOptions) => {
  const append = (stream: string, events: EventData[], expectedRevision: AppendExpectedRevision) =>
    client.appendToStream(stream, events, { ...options, expectedRevision });

  it('return the revision and position of the last event', async () => {
    const stream = newStream();
    expect((await append(stream, several(3), 'no_stream')).nextExpectedRevision).toBe(2n);
    const { nextExpectedRevision, position } = await append(stream, several(2), 2n);
    expect(nextExpectedRevision).toBe(4n);
    const [last] = await all(client.readStream(stream, { direction: 'backwards', fromRevision: 'end', maxCount: 1 }));
    expect(last?.event).toMatchObject({ revision: 4n, position, data: { n: 1 }, metadata: { by: 'test' } });
  });

  it('conflict in the form of the real server', async () => {
    const stream = newStream();
    await append(stream, several(2), 'any');
    const wrong = { type: 'wrong-expected-version' };
    await expect(append(stream, several(1), 'no_stream')).rejects.toMatchObject({
      ...wrong,
      expectedVersion: 'no_stream',
      actualVersion: 1n,
    });
    await expect(append(stream, several(1), 7n)).rejects.toMatchObject({
      ...wrong,
      expectedVersion: 7n,
      actualVersion: 1n,
    });
    await expect(append(newStream(), several(1), 'stream_exists')).rejects.toMatchObject({
      ...wrong,
      expectedVersion: 'stream_exists',
      actualVersion: 'no_stream',
    });
  });

  it('treat a known event id as a repetition, except at the current revision', async () => {
    const stream = newStream();
    const events = several(2);
    const first = await append(stream, events, 'no_stream');
    for (const expected of ['no_stream', 'any'] as const) expect(await append(stream, events, expected)).toEqual(first);
    expect((await append(stream, events, 1n)).nextExpectedRevision).toBe(3n);
    expect(await all(client.readStream(stream))).toHaveLength(4);
  });

  it('are rejected when they exceed the limit of the server', async () => {
    const large = jsonEvent({ type: 'Made', data: { text: 'x'.repeat(1_048_576) } });
    await expect(append(newStream(), [large], 'any')).rejects.toMatchObject({ type: 'maximum-append-size-exceeded' });
  });
});

describe('reads of the client', () => {
  it('of a stream start at a revision, in both directions', async () => {
    const stream = newStream();
    await client.appendToStream(stream, several(5));
    const read = async (options: Parameters<typeof client.readStream>[1]) =>
      (await all(client.readStream(stream, options))).map(({ event }) => Number(event?.revision));
    expect(await read({})).toEqual([0, 1, 2, 3, 4]);
    expect(await read({ fromRevision: 3n })).toEqual([3, 4]);
    expect(await read({ fromRevision: 9n })).toEqual([]);
    expect(await read({ direction: 'backwards', fromRevision: 3n, maxCount: 2 })).toEqual([3, 2]);
    expect(await read({ direction: 'backwards', fromRevision: 'end', maxCount: 1 })).toEqual([4]);
  });

  it('fail for a stream that does not exist', async () => {
    await expect(all(client.readStream(newStream()))).rejects.toMatchObject({ type: 'stream-not-found' });
  });

  it('of the whole log include the event at the position forwards, but not backwards', async () => {
    const stream = newStream();
    await client.appendToStream(stream, several(3));
    const [, second] = await all(client.readStream(stream));
    const fromPosition = second?.event?.position as Position;
    const forwards = await all(client.readAll({ fromPosition }));
    expect(forwards.map(({ event }) => event?.revision)).toEqual([1n, 2n]);
    const backwards = await all(client.readAll({ fromPosition, direction: 'backwards', maxCount: 1 }));
    expect(backwards.map(({ event }) => event?.revision)).toEqual([0n]);
  });

  it('of the whole log return the events of the server itself', async () => {
    const [first] = await all(client.readAll({ maxCount: 1 }));
    expect(first?.event?.type).toMatch(/^\$/);
  });

  it('from a position made by arithmetic are rejected with the name of an internal result', async () => {
    const { position } = await client.appendToStream(newStream(), several(1));
    await client.appendToStream(newStream(), several(1));
    const { commit, prepare } = position as Position;
    const computed = { commit: commit + 1n, prepare: prepare + 1n };
    await expect(all(client.readAll({ fromPosition: computed }))).rejects.toThrow(
      /2 UNKNOWN: Unexpected ReadAllResult: Error$/,
    );
  });

  it('apply the retention in the metadata of a stream', async () => {
    const stream = newStream();
    await client.appendToStream(stream, several(10));
    await client.setStreamMetadata(stream, { maxCount: 4, truncateBefore: 3 });
    expect(await all(client.readStream(stream))).toHaveLength(4);
    expect((await client.getStreamMetadata(stream)).metadata).toEqual({ maxCount: 4, truncateBefore: 3 });
  });

  it('fail for a deleted stream', async () => {
    const [deleted, tombstoned] = [newStream(), newStream()];
    for (const stream of [deleted, tombstoned]) await client.appendToStream(stream, several(2));
    await client.deleteStream(deleted, { expectedRevision: 1n });
    await client.tombstoneStream(tombstoned);
    await expect(all(client.readStream(deleted))).rejects.toMatchObject({ type: 'stream-not-found' });
    await expect(all(client.readStream(tombstoned))).rejects.toMatchObject({ type: 'stream-deleted' });
    await expect(client.appendToStream(tombstoned, several(1))).rejects.toMatchObject({ type: 'stream-deleted' });
    await expect(client.deleteStream(newStream(), { expectedRevision: 1n })).rejects.toMatchObject({
      type: 'wrong-expected-version',
    });
  });
});

describe('subscriptions of the client', () => {
  it('to the whole log are filtered by prefixes, start after a position, and report checkpoints and catching up', async () => {
    const prefix = newStream();
    const { position } = await client.appendToStream(`${prefix}-a`, several(2));
    const checkpoints: Position[] = [];
    const filter = streamNameFilter({
      prefixes: [prefix],
      maxSearchWindow: 10,
      checkpointReached: (_subscription, at) => void checkpoints.push(at),
    });
    const subscription = client.subscribeToAll({ fromPosition: position as Position, filter });
    const caughtUp = once(subscription, 'caughtUp');
    const seen: unknown[] = [];
    subscription.on('data', ({ event }) => seen.push(event?.streamId));
    await caughtUp;
    await client.appendToStream(newStream(), several(25));
    await client.appendToStream(`${prefix}-b`, several(1));
    await vi.waitFor(() => expect(seen).toEqual([`${prefix}-b`]));
    expect(checkpoints.length).toBeGreaterThanOrEqual(2);
    await subscription.unsubscribe();
  });

  it('to a stream deliver past, then live events after a revision', async () => {
    const stream = newStream();
    await client.appendToStream(stream, several(3));
    const subscription = client.subscribeToStream(stream, { fromRevision: 0n });
    const seen: unknown[] = [];
    subscription.on('data', ({ event }) => seen.push(event?.revision));
    await vi.waitFor(() => expect(seen).toEqual([1n, 2n]));
    await client.appendToStream(stream, several(1));
    await vi.waitFor(() => expect(seen).toEqual([1n, 2n, 3n]));
    await subscription.unsubscribe();
  });
});

describe('the server as a separate process', () => {
  const MAIN = fileURLToPath(new URL('../support/eventstoredb-server/main.ts', import.meta.url));

  async function start(port: number, path: string): Promise<{ child: ChildProcess; url: string }> {
    const child = spawn(process.execPath, [MAIN, String(port), path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface(child.stdout), 'line');
    return { child, url: String(line).replace('ready ', '') };
  }

  async function freePort(): Promise<number> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const address = probe.address();
    probe.close();
    await once(probe, 'close');
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  it('still has every acknowledged append after SIGKILL, and subscriptions resume', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parley-esdb-'));
    const [port, path] = [await freePort(), join(folder, 'log')];
    const first = await start(port, path);
    const store = await open(first.url);
    const [stream, epoch] = [newStream(), await store.epoch()];
    const following = follow(store, {}, until(6));
    for (let n = 0; n < 3; n++) await store.append(stream, [note(`${n}`)], { expect: 'any' });
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await start(port, path);
    for (let n = 3; n < 6; n++) {
      await vi.waitFor(() => store.append(stream, [note(`${n}`)], { expect: BigInt(n - 1) }), { timeout: 10_000 });
    }
    const { records } = await following;
    expect(textsOf(records)).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(await store.epoch()).toBe(epoch);
    await store.close();
    second.child.stdin?.end();
    const [code] = await once(second.child, 'exit');
    expect(code).toBe(0);
    await rm(folder, { recursive: true });
  });
});
