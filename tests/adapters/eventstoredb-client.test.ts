import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CLIENT_VERSION, internalsOf } from '../../src/adapters/eventstoredb/client-internals.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { note } from '../contracts/events.ts';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { manualClock } from '../support/manual-clock.ts';
import { open, openOnServer } from './eventstoredb.ts';

const CHILD = fileURLToPath(new URL('eventstoredb-client.child.ts', import.meta.url));
const clock = createSystemClock();
const event = jsonEvent({ type: 'note', data: { text: 'a' } });
const NONE = { expect: 'none' } as const;

/** Runs a scenario of `eventstoredb-client.child.ts` to its end. */
async function run(scenario: string): Promise<{ code: number | null; lines: string[]; errors: string }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, scenario], {
    timeout: 25_000,
  });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  await once(child, 'close');
  return { code: child.exitCode, lines: output.trim().split('\n'), errors };
}

const isPending = async (promise: Promise<unknown>): Promise<boolean> =>
  (await Promise.race([promise.then(() => null), Promise.resolve('pending')])) === 'pending';

/**
 * Why the adapter does not use the client's methods (docs/decisions/0019): each fault of theirs, and the same situation with the adapter. If one of
 * these tests fails with a new version of the client, that fault has been fixed.
 */
describe('one table of pending appends for all connections of the process', () => {
  it("client: a lost connection rejects another connection's append, which is written, and its response ends the process", {
    timeout: 30_000,
  }, async () => {
    const { code, lines, errors } = await run('two-clients');
    expect(lines).toEqual(['rejected, 1 written', '2 written']);
    expect(errors).toContain('TypeError: undefined is not iterable');
    expect(code).toBe(1);
  });

  it('adapter: the append of the other store is not affected', async () => {
    const [first, second] = [await openOnServer(), await openOnServer()];
    await first.store.append('a', [note('a')], NONE);
    await second.store.append('b', [note('a')], NONE);
    const release = second.server.faults.holdAppends();
    const held = second.store.append('b', [note('b')], { expect: 0n });
    await vi.waitFor(() => expect(second.server.heldAppends).toBe(1));
    const lost = first.store.append('a', [note('b')], { expect: 0n });
    first.server.cut();
    await Promise.allSettled([lost]);
    release();
    expect(await held).toMatchObject({ revision: 1n });
    await Promise.all([first.dispose(), second.dispose()]);
  });
});

describe('no limit for the response to an append', () => {
  it('client: the append stays pending after its deadline', async () => {
    const server = await startEventStoreDbServer();
    const client = EventStoreDBClient.connectionString(server.url);
    await client.appendToStream('b', event);
    server.faults.appends.push({ kind: 'silence', written: true });
    const started = clock.monotonic();
    const outcome = Promise.allSettled([client.appendToStream('a', event, { deadline: 20 })]);
    await vi.waitFor(() => expect(server.log.of('a')).toHaveLength(1));
    // The call goes on: later appends on it are answered, long after the deadline of the first one.
    while (clock.monotonic() < started + 200) await client.appendToStream('b', event);
    expect(server.log.of('a')).toHaveLength(1);
    expect(await isPending(outcome)).toBe(true);
    await client.dispose();
    expect(await outcome).toMatchObject([{ status: 'rejected' }]);
    await server.close();
  });

  it('adapter: its outcome is unknown after the time limit', async () => {
    const manual = manualClock();
    const { server, store, dispose } = await openOnServer({ clock: manual, timeouts: { appendMs: 5_000 } });
    await store.append('a', [note('a')], NONE);
    server.faults.appends.push({ kind: 'silence', written: true });
    const outcome = Promise.allSettled([store.append('a', [note('b')], { expect: 0n })]);
    await vi.waitFor(() => expect(server.log.of('a')).toHaveLength(2));
    await manual.advance(5_000);
    expect(await outcome).toMatchObject([{ status: 'rejected', reason: { code: 'UNKNOWN' } }]);
    await dispose();
  });
});

describe('a cluster that cannot be reached', () => {
  const urlOf = (port: number) =>
    `esdb://127.0.0.1:${port},127.0.0.1:${port}?tls=false&maxDiscoverAttempts=1&discoveryInterval=1`;

  it('client: a failed search leaves a rejection unhandled, which ends the process', { timeout: 30_000 }, async () => {
    const { code, lines, errors } = await run('discovery');
    expect(lines).not.toContain('survived');
    expect(errors).toContain('Error: Failed to discover after 1 attempts.');
    expect(code).toBe(1);
  });

  it('client: after a failed search, no append ever succeeds, although the cluster can be read', async () => {
    const server = await startEventStoreDbServer();
    await server.stop();
    const client = EventStoreDBClient.connectionString(urlOf(server.port));
    const failure = { message: 'Failed to discover after 1 attempts.' };
    await expect(client.appendToStream('a', event)).rejects.toMatchObject(failure);
    await server.start();
    for await (const _ of client.readAll()) break;
    for (let i = 0; i < 10; i++) await expect(client.appendToStream('a', event)).rejects.toMatchObject(failure);
    expect(server.log.of('a')).toEqual([]);
    await client.dispose();
    await server.close();
  });

  it('adapter: the next append after the failed ones searches again', async () => {
    const server = await startEventStoreDbServer();
    await server.stop();
    const store = await open(urlOf(server.port));
    await expect(store.append('a', [note('a')], NONE)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await server.start();
    await vi.waitFor(() => store.append('a', [note('a')], NONE), { timeout: 10_000, interval: 20 });
    expect(server.log.of('a')).toHaveLength(1);
    await store.close();
    await server.close();
  });
});

describe('the undeclared parts of the client', () => {
  const read = async (file: string) => JSON.parse(await readFile(new URL(`../../${file}`, import.meta.url), 'utf8'));
  afterEach(() => vi.restoreAllMocks());

  it('are those of one exact version', async () => {
    const name = '@eventstore/db-client';
    const [manifest, lock, installed] = await Promise.all([
      read('package.json'),
      read('package-lock.json'),
      read(`node_modules/${name}/package.json`),
    ]);
    expect(manifest.dependencies[name]).toBe(CLIENT_VERSION);
    expect(lock.packages[`node_modules/${name}`]).toMatchObject({
      version: CLIENT_VERSION,
      integrity: expect.stringMatching(/^sha512-/),
    });
    expect(installed.version).toBe(CLIENT_VERSION);
  });

  it('are what the adapter expects', async () => {
    const client = internalsOf(EventStoreDBClient.connectionString('esdb://127.0.0.1:1?tls=false'));
    const [metadata, options] = client.callArguments({ deadline: Number.POSITIVE_INFINITY }, { deadline: 1 });
    expect(metadata.get('connection-name')).toHaveLength(1);
    expect(options).toEqual({ deadline: 1 });
    const limited = client.callArguments({ credentials: { username: 'a', password: 'b' }, deadline: 5 }, {})[1];
    expect(limited).toMatchObject({ deadline: expect.any(Date), credentials: expect.anything() });
    const streams = await client.getGRPCClient(StreamsClient, 'streams');
    expect(streams).toBeInstanceOf(StreamsClient);
    streams.close();
  });

  it.each(['getGRPCClient', 'callArguments'])('are checked when the store is opened: %s', async (method) => {
    const real = EventStoreDBClient.connectionString.bind(EventStoreDBClient);
    vi.spyOn(EventStoreDBClient, 'connectionString').mockImplementation((...args) =>
      Object.defineProperty(real(...args), method, { value: undefined }),
    );
    const opened = open('esdb://127.0.0.1:1?tls=false');
    await expect(opened).rejects.toMatchObject({
      name: 'StoreError',
      code: 'INVALID',
      message: `@eventstore/db-client is not version ${CLIENT_VERSION}: ${method} is missing`,
    });
  });

  it.each(['read', 'batchAppend'] as const)('are checked when the store is opened: the stub of %s', async (method) => {
    const { prototype } = StreamsClient;
    const stub = prototype[method];
    Object.assign(prototype, { [method]: undefined });
    try {
      await expect(open('esdb://127.0.0.1:1?tls=false')).rejects.toMatchObject({
        code: 'INVALID',
        message: `@eventstore/db-client is not version ${CLIENT_VERSION}: StreamsClient.${method} is missing`,
      });
    } finally {
      Object.assign(prototype, { [method]: stub });
    }
  });
});
