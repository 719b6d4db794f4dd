import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import type { Random } from '../../src/ports/random.ts';

export const SERVER_SECRET = 'a secret of the server, long enough';

/** Time, chance and logging as in production, but without a line in the log. */
export const system = { clock: createSystemClock(), random: createSystemRandom(), logger: silentLogger };

/** The embedded stores, and the event log over them. */
export type MemoryStores = Readonly<{
  store: EventStore;
  documents: DocumentStore;
  keys: KeyStore;
  personalKeys: PersonalKeys;
  log: EventLog;
  close(): Promise<void>;
}>;

/** Opens all of them: in memory, or on files in a folder. */
export async function openMemoryStores(
  options: Readonly<{ clock?: Clock; random?: Random; folder?: string }> = {},
): Promise<MemoryStores> {
  const { clock, random, logger } = { ...system, ...options };
  const path = (file: string): string => (options.folder === undefined ? ':memory:' : `${options.folder}/${file}`);
  const store = await openSqliteEventStore({ path: path('events.db'), clock, random, logger });
  const documents = await openSqliteDocuments({ path: path('documents.db'), clock, logger });
  const keys = await openSqliteKeys({ path: path('keys.db'), secret: Buffer.from(SERVER_SECRET), random });
  const personalKeys = new PersonalKeys({ keys, random });
  const log = createEventLog({ store, registry: eventRegistry, keys: personalKeys, random });
  return {
    store,
    documents,
    keys,
    personalKeys,
    log,
    close: async () => {
      await Promise.all([log.close(), documents.close(), keys.close()]);
    },
  };
}
