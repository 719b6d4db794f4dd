import { type AnyBulkWriteOperation, type Document, MongoClient } from 'mongodb';
import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createdEvent, messageEvent, newTalk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { mongoDatabase } from '../support/services.ts';
import { openStores } from '../support/stores.ts';

const TALKS = 500;
const MESSAGES = 40;
const BATCH = 500;

/** Projecting into MongoDB, in documents a second, against a bare `bulkWrite` of the very documents that came of it. */
export async function mongoFigures(): Promise<readonly Row[]> {
  const name = `parley-bench-${uuidv7(Date.now()).slice(0, 18)}`;
  const url = mongoDatabase(name);
  if (url === null) {
    console.error('left out: neither MONGODB_URL nor PARLEY_TEST_MONGODB_URL is set');
    return [];
  }
  const stores = await openStores();
  const client = new MongoClient(url);
  let round = 0;

  /** Every document of the read models, by its collection. */
  async function result(database: string): Promise<Map<string, Document[]>> {
    const found = new Map<string, Document[]>();
    for (const { name: collection } of await client.db(database).listCollections().toArray()) {
      if (catalogue.some((projection) => collection.startsWith(`${projection.name}.`))) {
        found.set(collection, await client.db(database).collection(collection).find().toArray());
      }
    }
    return found;
  }

  /** Writes them in batches as large as the runner's. */
  async function bare(): Promise<number> {
    const documents = await result(`${name}-0`);
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
    return rate;
  }

  async function project(database: string): Promise<number> {
    const clock = createSystemClock();
    const own = new URL(url ?? '');
    own.pathname = `/${database}`;
    const documents = await openMongoDocuments({ url: String(own), clock, logger: silentLogger });
    const head = await stores.events.head();
    const options = { events: stores.events, documents, clock, logger: silentLogger, owner: 'bench', run: true };
    const projections = createProjections({ ...options, projections: catalogue });
    const started = performance.now();
    projections.start();
    const names = catalogue.map((projection) => projection.name);
    if (head === null || !(await projections.readModels.waitFor(names, head, 600_000)))
      throw new Error('never got there');
    const took = performance.now() - started;
    await projections.close();
    await documents.close();
    const made = [...(await result(database)).values()].reduce((sum, all) => sum + all.length, 0);
    return (made / took) * 1_000;
  }

  try {
    const talks = Array.from({ length: TALKS }, newTalk);
    for (const talk of talks) {
      const messages = Array.from({ length: MESSAGES }, (_, i) => messageEvent(talk, i + 1));
      await stores.events.append(`conversation-${talk.conversationId}`, [createdEvent(talk), ...messages], {
        expect: 'none',
      });
    }
    await project(`${name}-0`);
    const row = await compareRates({
      name: 'projecting into MongoDB, all projections',
      unit: 'documents/s',
      bar: 0.5,
      baseline: { name: 'a bare bulkWrite of the same documents', run: bare },
      run: async () => {
        const database = `${name}-${++round}`;
        const rate = await project(database);
        await client.db(database).dropDatabase();
        return rate;
      },
    });
    return [row];
  } finally {
    await client.db(`${name}-0`).dropDatabase();
    await client.close();
    await stores.remove();
  }
}
