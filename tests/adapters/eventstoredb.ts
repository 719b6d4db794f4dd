import { openEventStoreDb, type Timeouts } from '../../src/adapters/eventstoredb/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { testRegistry } from '../contracts/events.ts';
import type { Proposed } from '../support/eventstoredb-server/log.ts';
import {
  type EventStoreDbServer,
  type ServerOptions,
  startEventStoreDbServer,
} from '../support/eventstoredb-server/server.ts';

/** Settings of a store under test; the rest is as in production. */
export type OpenOptions = Readonly<{ clock?: Clock; timeouts?: Partial<Timeouts> }>;

export const open = (
  url: string,
  { clock = createSystemClock(), timeouts = {} }: OpenOptions = {},
): Promise<EventStore> => openEventStoreDb({ url, registry: testRegistry, clock, logger: silentLogger, timeouts });

export type OnServer = Readonly<{ server: EventStoreDbServer; store: EventStore; dispose(): Promise<void> }>;

/** A store on a server of its own. */
export async function openOnServer(options: OpenOptions & ServerOptions = {}): Promise<OnServer> {
  const server = await startEventStoreDbServer(options);
  const store = await open(server.url, options);
  return {
    server,
    store,
    async dispose() {
      await store.close();
      await server.close();
    },
  };
}

/** An event as another program might write it. */
export function foreign(type: string, data: string, metadata = '', isJson = true): Proposed {
  return { id: crypto.randomUUID(), type, isJson, data: Buffer.from(data), metadata: Buffer.from(metadata) };
}
