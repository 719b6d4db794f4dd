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
import { type MemoryStores, openMemoryStores, system } from '../../tests/support/stores.ts';

/** The same events without personal fields: nothing of them is sealed. What sealing costs is measured by itself, in `figures/sealing.ts`. */
export const UNSEALED: EventRegistry = new Map(
  [...eventRegistry].map(([type, definition]) => [type, { ...definition, personal: {} }]),
);

/** The event log over stores, with nothing in memory. */
export function openLogOver(
  { store, keys }: Pick<MemoryStores, 'store' | 'keys'>,
  registry: EventRegistry = UNSEALED,
): EventLog {
  const { random } = system;
  return createEventLog({ store, registry, keys: new PersonalKeys({ keys, random }), random });
}

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
export async function openStores(registry: EventRegistry = UNSEALED): Promise<Stores> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const stores = await openMemoryStores({ folder });
  const openLog = (): EventLog => openLogOver(stores, registry);
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
