import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Connection } from '../../src/adapters/eventstoredb/connection.ts';
import { readAllRequest } from '../../src/adapters/eventstoredb/requests.ts';
import { newStream, note } from '../contracts/events.ts';
import { follow, readStream, until } from '../contracts/following.ts';
import { selfSigned } from '../support/eventstoredb-server/certificate.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { system } from '../support/stores.ts';
import { open } from './eventstoredb.ts';

let folder: string;
let caFile: string;
let secure: EventStoreDbServer;
let plain: EventStoreDbServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-esdb-'));
  caFile = join(folder, 'ca.pem');
  const tls = selfSigned();
  await writeFile(caFile, tls.certificate);
  [secure, plain] = await Promise.all([startEventStoreDbServer({ tls }), startEventStoreDbServer()]);
  secure.faults.users = { ada: 'p@ss:wörd' };
});
afterAll(async () => {
  await Promise.all([secure.close(), plain.close()]);
  await rm(folder, { recursive: true });
});
afterEach(() => vi.restoreAllMocks());

/** Checks that a store with this connection string can append, read and subscribe. */
async function expectToWork(url: string): Promise<void> {
  const store = await open(url);
  const stream = newStream();
  await store.append(stream, [note('a')], { expect: 'none' });
  expect((await readStream(store, stream)).records).toHaveLength(1);
  const { records } = await follow(store, {}, until(1));
  expect(records[0]?.type).toBe('NoteTaken');
  await store.close();
}

const password = encodeURIComponent('p@ss:wörd');

describe('connection strings', () => {
  it('connects with TLS, a certificate authority and credentials', async () => {
    await expectToWork(
      `esdb://ada:${password}@localhost:${secure.port}?tls=true&tlsCAFile=${encodeURIComponent(caFile)}`,
    );
  });

  it('throws UNAVAILABLE for reads and appends with a wrong or missing password', async () => {
    for (const user of ['ada:wrong@', '']) {
      const store = await open(`esdb://${user}localhost:${secure.port}?tlsCAFile=${encodeURIComponent(caFile)}`);
      const append = store.append(newStream(), [note('a')], { expect: 'none' });
      await expect(append).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await store.close();
    }
  });

  it('throws UNAVAILABLE when the certificate of the server is not trusted', async () => {
    const store = await open(`esdb://ada:${password}@localhost:${secure.port}?tls=true`);
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.close();
  });

  it('connects to a cluster while one of its nodes is down', async () => {
    const down = await startEventStoreDbServer();
    await down.close();
    await expectToWork(`esdb://127.0.0.1:${down.port},127.0.0.1:${plain.port}?tls=false&nodePreference=leader`);
  });

  it('discovers a cluster', async () => {
    await expectToWork(`esdb+discover://127.0.0.1:${plain.port}?tls=false`);
  });

  it('connects to the new leader when the leader of a cluster changes', async () => {
    const [old, next] = await Promise.all([startEventStoreDbServer(), startEventStoreDbServer()]);
    const store = await open(`esdb+discover://127.0.0.1:${old.port}?tls=false`);
    await store.append('a-1', [note('to the old leader')], { expect: 'none' });
    old.leader = next.port;
    old.faults.reads.push('unavailable');
    await expect(readStream(store, 'a-1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.append('a-1', [note('to the new leader')], { expect: 'none' });
    expect([old, next].map(({ log }) => log.of('a-1').length)).toEqual([1, 1]);
    await store.close();
    await Promise.all([old.close(), next.close()]);
  });

  it('throws UNAVAILABLE while a cluster is down, and connects once it is up', async () => {
    const late = await startEventStoreDbServer();
    await late.stop();
    const store = await open(
      `esdb://127.0.0.1:${late.port},127.0.0.1:${late.port}?tls=false&maxDiscoverAttempts=2&discoveryInterval=10`,
    );
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await late.start();
    await vi.waitFor(() => store.append('a-1', [note('a')], { expect: 'any' }), { timeout: 10_000, interval: 20 });
    await store.close();
    await late.close();
  });

  it('accepts the scheme of KurrentDB, and keep-alive options', async () => {
    await expectToWork(`kurrentdb://127.0.0.1:${plain.port}?tls=false&keepAliveInterval=20000&keepAliveTimeout=5000`);
  });

  it('does not send credentials without TLS', async () => {
    await expectToWork(`esdb://ada:secret@127.0.0.1:${plain.port}?tls=false`);
  });

  it.each([
    'http://ada:secret@localhost:2113',
    'esdb://ada:secret@localhost:port',
    'esdb://ada:secret@localhost:2113?tls=maybe',
    'esdb://ada:secret@localhost:2113?tlsCAFile=/no/such/file',
    'esdb://ada:secret@localhost:2113?throw',
    'esdb://ada:sec%ret@localhost:2113',
    '',
  ])('throws INVALID for an invalid one, without its password in the error: %s', async (url) => {
    const error = await open(url).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'StoreError', code: 'INVALID' });
    expect(String(error)).not.toContain('secret');
  });

  it('prints a warning without the password for an unknown option', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    await expectToWork(`esdb://ada:secret@127.0.0.1:${plain.port}?tls=false&colour=blue`);
    expect(warn).toHaveBeenCalled();
    expect(String(warn.mock.calls)).not.toContain('secret');
  });
});

it('throws UNAVAILABLE for a call on a connection that was given up meanwhile', async () => {
  const server = await startEventStoreDbServer();
  const connection = new Connection(server.url, { ...system, connectMs: 30_000 });
  const link = await connection.link();
  connection.failed(link, new Error('as the test wants it'));
  const request = readAllRequest({ from: null, direction: 'forwards', count: 1, system: true });
  expect(() => link.read(request, 1_000)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  expect(() => link.batchAppend()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  connection.close();
  await server.close();
});
