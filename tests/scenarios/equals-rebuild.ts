import { expect } from 'vitest';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { DocumentStore, StoredDocument } from '../../src/ports/documents.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections, type Projections } from '../../src/projections/runner/projections.ts';
import type { Cluster } from '../support/cluster.ts';
import { openMemoryStores, system } from '../support/stores.ts';

const names = catalogue.map(({ name }) => name);

/** Projects the log of a cluster into an embedded store, and expects the same documents as in the store of the nodes. */
export async function expectEqualsRebuild(cluster: Pick<Cluster, 'env' | 'openLog'>, position: string): Promise<void> {
  const log = await cluster.openLog();
  const nodes = await openMongoDocuments({ ...system, url: cluster.env.MONGODB_URL ?? '' });
  const fresh = await openMemoryStores();
  const shown = projectionsOf(log, nodes, false);
  const rebuilt = projectionsOf(log, fresh.documents, true);
  rebuilt.start();
  expect(await rebuilt.readModels.waitFor(names, position, 30_000)).toBe(true);
  expect(await shown.readModels.waitFor(names, position, 30_000)).toBe(true);
  for (const { name, collections } of catalogue) {
    for (const collection of collections) {
      const path = `${name}/${collection.name}`;
      const own = await readAll(shown, path);
      expect(own.length).toBeGreaterThan(0);
      expect(own).toEqual(await readAll(rebuilt, path));
    }
  }
  await rebuilt.close();
  await shown.close();
  await Promise.all([log.close(), nodes.close(), fresh.close()]);
}

function projectionsOf(log: EventLog, documents: DocumentStore, run: boolean): Projections {
  return createProjections({ ...system, log, documents, projections: catalogue, node: 'test', run });
}

async function readAll(projections: Projections, collection: string): Promise<readonly StoredDocument[]> {
  const found: StoredDocument[] = [];
  let page = await projections.readModels.find(collection, { filter: {}, limit: 1_000 });
  for (;;) {
    found.push(...page.items);
    if (page.next === null) return found;
    page = await projections.readModels.find(collection, { filter: {}, limit: 1_000, after: page.next });
  }
}
