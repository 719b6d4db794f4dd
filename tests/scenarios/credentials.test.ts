import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { within } from '../../src/ports/within.ts';
import { selfSigned } from '../support/eventstoredb-server/certificate.ts';
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { freePort, type Launched, launchServer } from '../support/server.ts';

/** The log levels in the lines of a node. */
const [WARN, ERROR] = [40, 50];
/** Generous: a node that hangs at its end takes 10 s. */
const STOP_MS = 9_000;
const PATIENCE = { timeout: 60_000, interval: 50 };

let folder: string;
let member: EventStoreDbServer;
let silent: EventStoreDbServer;
let node: Launched;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-credentials-'));
  const tls = selfSigned();
  await writeFile(join(folder, 'ca.pem'), tls.certificate);
  [member, silent] = await Promise.all([startEventStoreDbServer({ tls }), startEventStoreDbServer({ tls })]);
  silent.faults.freeze();
});
afterEach(async () => {
  await node.kill();
  await Promise.all([member.close(), silent.close()]);
  await rm(folder, { recursive: true });
});

type Line = Readonly<{ level: number; msg: string; reason?: string; err?: object }>;
const lines = (): Line[] =>
  node
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

async function reasonOfEventStore(): Promise<string | undefined> {
  const response = await fetch(`${node.url}/readyz`);
  const { parts } = (await response.json()) as { parts: { name: string; reason?: string }[] };
  return parts.find(({ name }) => name === 'event-store')?.reason;
}

it('a node with a wrong password for EventStoreDB reports it once, names it in /readyz, and goes on when it is right', {
  timeout: 180_000,
}, async () => {
  member.faults.users = { parley: 'another' };
  const [port, mongoPort] = [await freePort(), await freePort()];
  const members = `localhost:${silent.port},localhost:${member.port}`;
  node = launchServer({
    PORT: String(port),
    DATA_DIR: folder,
    PARLEY_SECRET: 'a secret of at least 32 characters, for this test',
    EVENTSTORE_URL: `esdb://parley:secret@${members}?tls=true&tlsCAFile=${encodeURIComponent(join(folder, 'ca.pem'))}`,
    // Nothing listens there: the node never becomes ready.
    MONGODB_URL: `mongodb://127.0.0.1:${mongoPort}/parley?serverSelectionTimeoutMS=100`,
  });
  const message =
    "the event store rejects the credentials of user 'parley': check user and password in its connection string";
  await vi.waitFor(async () => expect(await reasonOfEventStore()).toBe(message), PATIENCE);
  // Several attempts to start, and several probes.
  const before = member.received;
  await vi.waitFor(async () => {
    expect(await reasonOfEventStore()).toBe(message);
    expect(member.received).toBeGreaterThanOrEqual(before + 10);
  }, PATIENCE);
  expect(lines().filter(({ level }) => level >= ERROR)).toMatchObject([{ msg: message }]);
  expect(
    lines()
      .filter(({ reason }) => reason === message)
      .map(({ level, msg }) => ({ level, msg })),
  ).toEqual([
    { level: WARN, msg: 'a store is unavailable; trying again' },
    { level: WARN, msg: 'not ready' },
  ]);
  expect(lines().filter(({ err }) => err !== undefined)).toEqual([]);

  member.faults.users = { parley: 'secret' };
  await vi.waitFor(async () => expect(await reasonOfEventStore()).toBeUndefined(), PATIENCE);
  // It waits for the other store now.
  await vi.waitFor(() => expect(member.log.of('parley-log')).toHaveLength(1), PATIENCE);
  expect(lines().filter(({ level }) => level >= ERROR)).toHaveLength(1);
  expect(node.output()).not.toContain('secret');

  // A TLS handshake with the silent member does not keep the process.
  expect(await within(createSystemClock(), STOP_MS, node.stop())).toBe(0);
});
