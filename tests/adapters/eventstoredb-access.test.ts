import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note } from '../contracts/events.ts';
import { follow, readStream, until } from '../contracts/following.ts';
import { selfSigned } from '../support/eventstoredb-server/certificate.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { manualClock } from '../support/manual-clock.ts';
import { open } from './eventstoredb.ts';

type Line = Readonly<{ level: string; fields: object; message: string }>;

let folder: string;
let server: EventStoreDbServer;
let store: EventStore;
let lines: Line[];

const lineOf =
  (level: string) =>
  (fields: object, message: string): void => {
    lines.push({ level, fields, message });
  };
const logger = { debug: () => {}, info: lineOf('info'), warn: lineOf('warn'), error: lineOf('error') };
const clock = manualClock();

/** The connection string with the password `secret` of a user. */
const urlOf = (user: string): string =>
  `esdb://${user}:secret@localhost:${server.port}?tlsCAFile=${encodeURIComponent(join(folder, 'ca.pem'))}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-access-'));
  const tls = selfSigned();
  await writeFile(join(folder, 'ca.pem'), tls.certificate);
  server = await startEventStoreDbServer({ tls });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  lines = [];
  server.faults.users = { parley: 'secret' };
  server.faults.readersOfAll = ['parley'];
  server.faults.writers = null;
});
afterEach(() => store.close());

const openStore = async (user: string): Promise<void> => {
  store = await open(urlOf(user), { logger, clock });
};
const append = () => store.append(newStream('notes'), [note('a')], { expect: 'none' });
const rejection = (message: string) => ({ name: 'StoreError', code: 'UNAVAILABLE', message });
const linesOf = (...levels: string[]) => lines.filter(({ level }) => levels.includes(level));
const connected = { level: 'info', fields: { node: expect.any(String) }, message: 'connected to the event store' };

it('a user without other rights than to read $all can append, read, subscribe and set retentions', async () => {
  server.faults.users = { plain: 'secret' };
  server.faults.readersOfAll = ['plain'];
  await openStore('plain');
  const stream = newStream();
  await store.append(stream, [note('a')], { expect: 'none' });
  await store.setRetention(stream, { maxCount: 5 });
  expect((await readStream(store, stream)).records).toHaveLength(1);
  expect(await store.head()).not.toBeNull();
  expect((await follow(store, {}, until(1))).records).not.toEqual([]);
  expect(await store.epoch()).not.toBe('');
});

it('the members of a cluster are asked with the credentials where they do not respond to anonymous callers', async () => {
  server.faults.anonymousGossip = false;
  store = await open(urlOf('parley').replace('esdb:', 'esdb+discover:'), { logger, clock });
  await append();
  server.faults.anonymousGossip = true;
});

describe('a wrong password', () => {
  const message =
    "the event store rejects the credentials of user 'parley': check user and password in its connection string";

  it('is one line in words at level error, however many calls it rejects, until it changes', async () => {
    server.faults.users = { parley: 'another' };
    await openStore('parley');
    const stop = new AbortController();
    const subscribed = follow(store, { signal: stop.signal }, until(1)).catch(() => 'stopped');
    for (let n = 0; n < 5; n++) {
      await expect(store.head()).rejects.toMatchObject(rejection(message));
      await expect(append()).rejects.toMatchObject(rejection(message));
      await expect(store.epoch()).rejects.toMatchObject(rejection(message));
      // The subscription tries again, too.
      const before = server.received;
      await vi.waitFor(async () => {
        await clock.advance(5_000);
        expect(server.received).toBeGreaterThan(before);
      });
    }
    const rejected = { level: 'error', fields: {}, message };
    expect(lines).toEqual([connected, rejected]);

    server.faults.users = { parley: 'secret' };
    await append();
    const accepted = { level: 'info', fields: {}, message: expect.stringMatching(/permits user 'parley' to .* again/) };
    expect(linesOf('info', 'error')).toEqual([connected, rejected, accepted]);
    expect((await readStream(store, 'no-1')).records).toEqual([]);

    server.faults.users = { parley: 'another' };
    for (let n = 0; n < 3; n++) await expect(store.head()).rejects.toMatchObject(rejection(message));
    expect(linesOf('error')).toEqual([rejected, rejected]);
    expect(lines.map(({ message: text }) => text).join()).not.toContain('secret');
    stop.abort();
    await subscribed;
  });
});

describe('a missing permission', () => {
  it('to read $all is one line, although streams can be read and appended to', async () => {
    server.faults.readersOfAll = ['admin'];
    await openStore('parley');
    const message = "the event store denies user 'parley' permission to read $all";
    for (let n = 0; n < 3; n++) {
      await expect(store.head()).rejects.toMatchObject(rejection(message));
      await append();
      await readStream(store, newStream());
    }
    expect(linesOf('warn', 'error')).toEqual([{ level: 'error', fields: {}, message }]);
    server.faults.readersOfAll = null;
    await store.head();
    expect(linesOf('info').at(-1)?.message).toBe("the event store permits user 'parley' to read $all again");
  });

  it('to append is one line for all streams of a kind', async () => {
    server.faults.writers = ['admin'];
    await openStore('parley');
    const message = "the event store denies user 'parley' permission to append to streams 'notes-…'";
    for (let n = 0; n < 3; n++) await expect(append()).rejects.toMatchObject(rejection(message));
    expect(linesOf('warn', 'error')).toEqual([{ level: 'error', fields: {}, message }]);
    server.faults.writers = null;
    await append();
    expect(linesOf('info').at(-1)?.message).toBe(
      "the event store permits user 'parley' to append to streams 'notes-…' again",
    );
  });
});
