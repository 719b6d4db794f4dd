import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { newStream, note } from '../contracts/events.ts';
import { follow, until } from '../contracts/following.ts';
import { selfSigned } from '../support/eventstoredb-server/certificate.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
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

/** Appends, reads and follows. */
async function works(url: string): Promise<void> {
  const store = await open(url);
  const stream = newStream();
  await store.append(stream, [note('a')], { expect: 'none' });
  expect((await store.readStream(stream)).events).toHaveLength(1);
  const { events } = await follow(store, { after: null }, until(1));
  expect(events[0]?.type).toBe('NoteTaken');
  await store.close();
}

const password = encodeURIComponent('p@ss:wörd');

describe('a connection string', () => {
  it('with TLS, a certificate authority and credentials', async () => {
    await works(`esdb://ada:${password}@localhost:${secure.port}?tls=true&tlsCAFile=${encodeURIComponent(caFile)}`);
  });

  it('with a wrong password, or none: unavailable, for reads and appends', async () => {
    for (const user of ['ada:wrong@', '']) {
      const store = await open(`esdb://${user}localhost:${secure.port}?tlsCAFile=${encodeURIComponent(caFile)}`);
      const append = store.append(newStream(), [note('a')], { expect: 'none' });
      await expect(append).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await store.close();
    }
  });

  it('whose server has a certificate that nobody vouches for: unavailable', async () => {
    const store = await open(`esdb://ada:${password}@localhost:${secure.port}?tls=true`);
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.close();
  });

  it('of a cluster, of which not every node is there', async () => {
    const away = await startEventStoreDbServer();
    await away.close();
    await works(`esdb://127.0.0.1:${away.port},127.0.0.1:${plain.port}?tls=false&nodePreference=leader`);
  });

  it('of a cluster that is found by asking', async () => {
    await works(`esdb+discover://127.0.0.1:${plain.port}?tls=false`);
  });

  it('of a cluster whose leader changes: the new one is found', async () => {
    const [old, next] = await Promise.all([startEventStoreDbServer(), startEventStoreDbServer()]);
    const store = await open(`esdb+discover://127.0.0.1:${old.port}?tls=false`);
    await store.append('a-1', [note('to the old one')], { expect: 'none' });
    old.leader = next.port;
    old.faults.reads.push('unavailable');
    await expect(store.readStream('a-1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.append('a-1', [note('to the new one')], { expect: 'none' });
    expect([old, next].map(({ log }) => log.of('a-1').length)).toEqual([1, 1]);
    await store.close();
    await Promise.all([old.close(), next.close()]);
  });

  it('of a cluster that is away: unavailable, and found once it is there', async () => {
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

  it('in the form of KurrentDB, with keep-alive', async () => {
    await works(`kurrentdb://127.0.0.1:${plain.port}?tls=false&keepAliveInterval=20000&keepAliveTimeout=5000`);
  });

  it('with credentials where there is no TLS: they are not sent', async () => {
    await works(`esdb://ada:secret@127.0.0.1:${plain.port}?tls=false`);
  });

  it.each([
    'http://ada:secret@localhost:2113',
    'esdb://ada:secret@localhost:port',
    'esdb://ada:secret@localhost:2113?tls=maybe',
    'esdb://ada:secret@localhost:2113?tlsCAFile=/no/such/file',
    'esdb://ada:secret@localhost:2113?throw',
    'esdb://ada:sec%ret@localhost:2113',
    '',
  ])('that cannot be used is invalid, and its password is not told: %s', async (url) => {
    const error = await open(url).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'StoreError', code: 'INVALID' });
    expect(String(error)).not.toContain('secret');
  });

  it('with an option that nobody knows: a warning, without the password', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    await works(`esdb://ada:secret@127.0.0.1:${plain.port}?tls=false&colour=blue`);
    expect(warn).toHaveBeenCalled();
    expect(String(warn.mock.calls)).not.toContain('secret');
  });
});
