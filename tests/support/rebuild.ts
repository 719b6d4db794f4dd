import { expect } from 'vitest';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, StoredDocument } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections, type Projections } from '../../src/projections/runner/projections.ts';
import type { Cluster } from './cluster.ts';

const names = catalogue.map(({ name }) => name);

/** The log that the nodes of a cluster share, opened beside them. */
export function openLog({ env }: Pick<Cluster, 'env'>): Promise<EventStore> {
  const clock = createSystemClock();
  return openEventStoreDb({ url: env.EVENTSTORE_URL ?? '', registry: eventRegistry, clock, logger: silentLogger });
}

/** Folds the log anew into an embedded store, and compares every document with the nodes' own. */
export async function equalsRebuild({ env }: Pick<Cluster, 'env'>, position: string): Promise<void> {
  const clock = createSystemClock();
  const logger = silentLogger;
  const events = await openLog({ env });
  const nodes = await openMongoDocuments({ url: env.MONGODB_URL ?? '', clock, logger });
  const fresh = await openSqliteDocuments({ path: ':memory:', clock, logger });
  const shown = projectionsOf(events, nodes, false);
  const rebuilt = projectionsOf(events, fresh, true);
  rebuilt.start();
  expect(await rebuilt.readModels.waitFor(names, position, 30_000)).toBe(true);
  expect(await shown.readModels.waitFor(names, position, 30_000)).toBe(true);
  for (const { name, collections } of catalogue) {
    for (const collection of collections) {
      const path = `${name}/${collection.name}`;
      const [own, anew] = [await everything(shown, path), await everything(rebuilt, path)];
      expect(own.length).toBeGreaterThan(0);
      expect(own).toEqual(anew);
    }
  }
  await rebuilt.close();
  await shown.close();
  await Promise.all([events.close(), nodes.close(), fresh.close()]);
}

function projectionsOf(events: EventStore, documents: DocumentStore, run: boolean): Projections {
  const clock = createSystemClock();
  return createProjections({
    events,
    documents,
    clock,
    logger: silentLogger,
    projections: catalogue,
    owner: 'test',
    run,
  });
}

async function everything(projections: Projections, collection: string) {
  const found: StoredDocument[] = [];
  let page = await projections.readModels.find(collection, { filter: {}, limit: 1_000 });
  for (;;) {
    found.push(...page.items);
    if (page.next === null) return found;
    page = await projections.readModels.find(collection, { filter: {}, limit: 1_000, after: page.next });
  }
}
