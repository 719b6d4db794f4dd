import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { InstallationError, requireSameInstallation } from '../../src/compose/installation.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import { readSigningKeys } from '../../src/identity/signing-keys.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { foreign, openOnServer } from '../adapters/eventstoredb.ts';
import { note } from '../contracts/events.ts';
import { faulty } from '../support/faulty-event-log.ts';
import { system } from '../support/stores.ts';

const SECRET = 'the secret of this installation, long enough';
const OTHER = 'the secret of another installation, long enough';

const openKeys = (secret = SECRET, path = ':memory:'): Promise<KeyStore> =>
  openSqliteKeys({ path, secret: Buffer.from(secret), random: system.random });

const logOver = (store: EventStore, keys: KeyStore) =>
  createEventLog({
    store,
    registry: eventRegistry,
    keys: new PersonalKeys({ keys, random: system.random }),
    random: system.random,
  });

const check = (store: EventStore, keys: KeyStore, secret = SECRET): Promise<void> =>
  requireSameInstallation({ ...system, log: logOver(store, keys), keys, secrets: deriveSecrets(secret) });

const eventsIn = async (store: EventStore) =>
  (await store.readAll({ direction: 'forwards', from: null, limit: 10 })).records;

const engines = {
  'the embedded event store': async () => {
    const store = await openSqliteEventStore({ ...system, path: ':memory:' });
    return { store, dispose: () => store.close() };
  },
  EventStoreDB: () => openOnServer(),
};

describe('an installation in a database that other programs use', () => {
  const elsewhere = (count: number) => Array.from({ length: count }, () => foreign('Else', '{}'));

  it('is recorded after any number of their records', async () => {
    const { server, store, dispose } = await openOnServer();
    server.log.append('other-1', 'any', elsewhere(200));
    const keys = await openKeys();
    await check(store, keys);
    expect((await eventsIn(store)).map(({ type }) => type)).toEqual(['InstallationCreated']);
    await dispose();
  });

  it('is not recorded when events before their records belong to other keys', async () => {
    const { server, store, dispose } = await openOnServer();
    await store.append('user-1', [note('of another installation')], { expect: 'none' });
    server.log.append('other-1', 'any', elsewhere(200));
    await expect(check(store, await openKeys())).rejects.toThrow(InstallationError);
    await dispose();
  });
});

describe.each(Object.entries(engines))('an installation on %s', (_name, open) => {
  /** The stores of one test. */
  async function use(work: (store: EventStore) => Promise<void>): Promise<void> {
    const { store, dispose } = await open();
    await work(store).finally(dispose);
  }

  it('is recorded at the first start, and recognized afterwards', () =>
    use(async (store) => {
      const keys = await openKeys();
      await check(store, keys);
      await check(store, keys);
      const records = await eventsIn(store);
      expect(records).toMatchObject([{ type: 'InstallationCreated', stream: 'installation-parley' }]);
      expect(records[0]?.data).not.toContain(SECRET);
    }));

  it('is the same for nodes that start at the same time', () =>
    use(async (store) => {
      const keys = await openKeys();
      await Promise.all(Array.from({ length: 8 }, () => check(store, keys)));
      expect(await eventsIn(store)).toHaveLength(1);
    }));

  it('rejects another secret', () =>
    use(async (store) => {
      await check(store, await openKeys());
      await expect(check(store, await openKeys(OTHER), OTHER)).rejects.toThrow(InstallationError);
      await expect(check(store, await openKeys(OTHER), OTHER)).rejects.toThrow('the secret does not fit the event log');
      expect(await eventsIn(store)).toHaveLength(1);
    }));

  it('rejects an empty key store, and leaves it empty', () =>
    use(async (store) => {
      await check(store, await openKeys());
      const empty = await openKeys();
      await expect(check(store, empty)).rejects.toThrow(InstallationError);
      await expect(check(store, empty)).rejects.toThrow('the key store does not fit the event log');
      expect(await empty.list('')).toEqual([]);
    }));

  it('rejects the key store of another installation under the same secret', () =>
    use(async (store) => {
      await check(store, await openKeys());
      const other = await openKeys();
      await use((another) => check(another, other));
      await expect(check(store, other)).rejects.toThrow('the key store does not fit the event log');
    }));

  it('rejects keys that were sealed under another secret', () =>
    use(async (store) => {
      const folder = await mkdtemp(join(tmpdir(), 'parley-installation-'));
      const path = join(folder, 'keys.db');
      const others = await openKeys(OTHER, path);
      await readSigningKeys(others);
      await others.close();
      const keys = await openKeys(SECRET, path);
      await expect(check(store, keys)).rejects.toThrow('the secret does not fit the key store');
      await expect(check(store, keys)).rejects.toThrow(InstallationError);
      expect(await eventsIn(store)).toEqual([]);
      await keys.close();
      await rm(folder, { recursive: true });
    }));

  it('that began without the record gets one, when its keys are there and can be opened', () =>
    use(async (store) => {
      const keys = await openKeys();
      await readSigningKeys(keys);
      const [data, type] = ['{}', 'Earlier'];
      const metadata = { actor: null, correlationId: 'a', causationId: null, commandId: 'a' };
      const id = system.random.uuid(system.clock.now());
      await store.append('earlier-1', [{ id, type, schemaVersion: 1, data, metadata }], { expect: 'none' });
      await expect(check(store, await openKeys())).rejects.toThrow('the key store does not fit the event log');
      await check(store, keys);
      expect((await eventsIn(store)).map((record) => record.type)).toEqual(['Earlier', 'InstallationCreated']);
    }));

  it.each(['unknown-before-write', 'unknown-after-write'] as const)(
    'is recorded once after an append that was %s',
    (fault) =>
      use(async (store) => {
        const keys = await openKeys();
        const log = faulty(logOver(store, keys));
        log.faults.push(fault);
        const attempt = () => requireSameInstallation({ ...system, log, keys, secrets: deriveSecrets(SECRET) });
        const outcome = await attempt().then(
          () => 'started',
          (error: { code: string }) => error.code,
        );
        expect(outcome).toBe(fault === 'unknown-after-write' ? 'started' : 'UNAVAILABLE');
        await attempt();
        expect(await eventsIn(store)).toHaveLength(1);
      }),
  );
});
