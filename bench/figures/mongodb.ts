import { type AnyBulkWriteOperation, type Document, MongoClient } from 'mongodb';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { system } from '../../tests/support/stores.ts';
import { newTalk, writeTalk } from '../support/history.ts';
import { project } from '../support/projecting.ts';
import { compareRates, type Row, type Sample } from '../support/rounds.ts';
import { mongoDatabase } from '../support/services.ts';
import { openStores } from '../support/stores.ts';

const TALKS = 500;
const MESSAGES = 40;
const BATCH = 500;

/** Projecting into MongoDB, in documents per second, against a plain `bulkWrite` of the same documents. */
export async function mongoFigures(): Promise<readonly Row[]> {
  const name = `parley-bench-${system.random.uuid(system.clock.now()).slice(0, 18)}`;
  const url = mongoDatabase(name);
  if (url === null) {
    console.error('mongodb skipped: neither MONGODB_URL nor PARLEY_TEST_MONGODB_URL is set');
    return [];
  }
  const stores = await openStores();
  const client = new MongoClient(url);
  let round = 0;

  /** All documents of the read models, by collection. */
  async function readModels(database: string): Promise<Map<string, Document[]>> {
    const found = new Map<string, Document[]>();
    for (const { name: collection } of await client.db(database).listCollections().toArray()) {
      if (catalogue.some((projection) => collection.startsWith(`${projection.name}.`))) {
        found.set(collection, await client.db(database).collection(collection).find().toArray());
      }
    }
    return found;
  }

  /** Writes them in batches of the same size as the projections. */
  async function writeBare(): Promise<Sample> {
    const documents = await readModels(`${name}-0`);
    const target = client.db(`${name}-bare${round++}`);
    const started = performance.now();
    let written = 0;
    for (const [collection, all] of documents) {
      for (let from = 0; from < all.length; from += BATCH) {
        const writes = all.slice(from, from + BATCH).map(
          (replacement): AnyBulkWriteOperation<Document> => ({
            replaceOne: { filter: { _id: replacement._id }, replacement, upsert: true },
          }),
        );
        await target.collection(collection).bulkWrite(writes, { ordered: false, writeConcern: { w: 'majority' } });
        written += writes.length;
      }
    }
    const rate = (written / (performance.now() - started)) * 1_000;
    await target.dropDatabase();
    return { rate, cpuMicros: null };
  }

  async function projectInto(database: string): Promise<Sample> {
    const own = new URL(url ?? '');
    own.pathname = `/${database}`;
    const documents = await openMongoDocuments({ ...system, url: String(own) });
    const ms = await project(stores.openLog(), documents, async (work) => {
      const started = performance.now();
      await work();
      return performance.now() - started;
    });
    await documents.close();
    const written = [...(await readModels(database)).values()].reduce((sum, all) => sum + all.length, 0);
    return { rate: (written / ms) * 1_000, cpuMicros: null };
  }

  try {
    for (let i = 0; i < TALKS; i++) await writeTalk(stores.log, newTalk(), MESSAGES);
    await projectInto(`${name}-0`);
    const row = await compareRates({
      name: 'projecting into MongoDB, all projections',
      unit: 'documents/s',
      bar: 0.5,
      baseline: { name: 'a plain bulkWrite of the same documents', run: writeBare },
      run: async () => {
        const database = `${name}-${++round}`;
        const sample = await projectInto(database);
        await client.db(database).dropDatabase();
        return sample;
      },
    });
    return [row];
  } finally {
    await client.db(`${name}-0`).dropDatabase();
    await client.close();
    await stores.remove();
  }
}
