import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';

/** Embedded stores in a folder of their own, in this process. */
export type Stores = Readonly<{
  events: EventStore;
  /** A new, empty store each time. */
  documents: () => Promise<DocumentStore>;
  remove: () => Promise<void>;
}>;

export async function openStores(): Promise<Stores> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const clock = createSystemClock();
  const logger = silentLogger;
  const events = await openSqliteEventStore({
    path: join(folder, 'events.db'),
    registry: eventRegistry,
    clock,
    logger,
  });
  let count = 0;
  return {
    events,
    documents: () => openSqliteDocuments({ path: join(folder, `documents-${count++}.db`), clock, logger }),
    remove: async () => {
      await events.close();
      await rm(folder, { recursive: true });
    },
  };
}
