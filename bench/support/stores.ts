import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { EventRegistry } from '../../src/kernel/event-definition.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { openMemoryStores, system } from '../../tests/support/stores.ts';

/** Embedded stores in a folder of their own, in this process. */
export type Stores = Readonly<{
  log: EventLog;
  /** Another event log over the same event store, with nothing in memory, as after a restart. */
  openLog: () => EventLog;
  /** Opens a new, empty document store each time. */
  documents: () => Promise<DocumentStore>;
  remove: () => Promise<void>;
}>;

/** Opens them. Personal fields are sealed as the registry says. */
export async function openStores(registry: EventRegistry = eventRegistry): Promise<Stores> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const stores = await openMemoryStores({ folder });
  const { random } = system;
  const openLog = (): EventLog =>
    createEventLog({ store: stores.store, registry, keys: new PersonalKeys({ keys: stores.keys, random }), random });
  let count = 0;
  return {
    log: openLog(),
    openLog,
    documents: () => openSqliteDocuments({ ...system, path: join(folder, `bench-${count++}.db`) }),
    remove: async () => {
      await stores.close();
      await rm(folder, { recursive: true });
    },
  };
}
