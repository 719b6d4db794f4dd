import { openEventStoreDb, type Timeouts } from '../../src/adapters/eventstoredb/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { Proposed } from '../support/eventstoredb-server/log.ts';
import {
  type EventStoreDbServer,
  type ServerOptions,
  startEventStoreDbServer,
} from '../support/eventstoredb-server/server.ts';

const random = createSystemRandom();

/** Settings of a store under test; all others are those of production. */
export type OpenOptions = Readonly<{ clock?: Clock; logger?: Logger; timeouts?: Partial<Timeouts> }>;

export const open = (
  url: string,
  { clock = createSystemClock(), logger = silentLogger, timeouts = {} }: OpenOptions = {},
): Promise<EventStore> => openEventStoreDb({ url, clock, random, logger, timeouts });

export type OnServer = Readonly<{
  server: EventStoreDbServer;
  store: EventStore;
  scavenge(): Promise<void>;
  dispose(): Promise<void>;
}>;

/** A store on its own server. */
export async function openOnServer(options: OpenOptions & ServerOptions = {}): Promise<OnServer> {
  const server = await startEventStoreDbServer(options);
  const store = await open(server.url, options);
  return {
    server,
    store,
    async scavenge() {
      server.log.scavenge();
    },
    async dispose() {
      await store.close();
      await server.close();
    },
  };
}

/** An event as another program might write it. */
export function foreign(type: string, data: string | Uint8Array, metadata: string | Uint8Array = ''): Proposed {
  return { id: random.uuid(0), type, isJson: true, data: Buffer.from(data), metadata: Buffer.from(metadata) };
}
