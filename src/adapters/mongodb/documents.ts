import { type Collection, type Db, ObjectId } from 'mongodb';
import { checkFilter, checkSort } from '../../kernel/conditions.ts';
import { cursorAfter, decodeCursor } from '../../kernel/cursor.ts';
import { elementsAt, encodeBody, pathOf, scalarAt } from '../../kernel/document.ts';
import { checkBatch, checkCap, checkDefinition, checkIds, checkLimit } from '../../kernel/document-checks.ts';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { type Filter, type IndexDefinition, requirePlan, type Sort } from '../../kernel/query.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  ApplyOutcome,
  CollectionDefinition,
  DocumentStore,
  Page,
  Query,
  StoredDocument,
  Write,
  WriteBatch,
} from '../../ports/documents.ts';
import type { Random } from '../../ports/random.ts';
import { Connection } from './connection.ts';
import { ensureIndexes } from './documents-indexes.ts';
import { collectionName, documentOf, indexKey, indexName, indexOf, LIVE, type Stored } from './documents-layout.ts';
import { batchSizeFor, countFilter, findFilter, sortOf } from './documents-query.ts';
import { type Stamp, writeGuarded } from './documents-writer.ts';
import { hasCode, NAMESPACE_NOT_FOUND } from './errors.ts';

const BY_ID: Sort = { fields: [], direction: 'asc' };

export type MongoDocumentsOptions = Readonly<{
  /** A connection string with the database to use (default: `parley`). */
  url: string;
  clock: Pick<Clock, 'now'>;
  random: Random;
  logger: Logger;
}>;

/**
 * Opens a document store in MongoDB, even while it cannot be reached: calls are `UNAVAILABLE` until the connection is restored, which needs no
 * action. Uses no transactions, so a standalone server is sufficient. Throws `INVALID` for an invalid connection string.
 */
export async function openMongoDocuments(options: MongoDocumentsOptions): Promise<DocumentStore> {
  return new Store(new Connection(options.url, { logger: options.logger }), options);
}

class Store implements DocumentStore {
  readonly #connection: Connection;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #random: Random;
  /** The indexes that `define` was called with, by collection. */
  readonly #defined = new Map<string, readonly IndexDefinition[]>();

  constructor(connection: Connection, { clock, random }: Pick<MongoDocumentsOptions, 'clock' | 'random'>) {
    this.#connection = connection;
    this.#clock = clock;
    this.#random = random;
  }

  /** May be `UNAVAILABLE` while an index over many documents is built; the server continues, and the next call waits for it again. */
  async define(collections: readonly CollectionDefinition[]): Promise<void> {
    for (const { name, indexes } of collections) checkDefinition(name, indexes);
    await this.#connection.run(async (db) => {
      for (const { name, indexes } of collections) {
        const all = new Map([...(this.#defined.get(name) ?? []), ...indexes].map((index) => [indexName(index), index]));
        checkDefinition(name, [...all.values()]);
        await ensureIndexes(db, collectionName(name), [...all.values()].map(indexOf));
        this.#defined.set(name, [...all.values()]);
      }
    });
  }

  async drop(collection: string): Promise<void> {
    checkDefinition(collection, []);
    await this.#connection.run(async (db) => {
      try {
        await db.collection(collectionName(collection)).drop();
      } catch (error) {
        if (!hasCode(error, NAMESPACE_NOT_FOUND)) throw error;
      }
      this.#defined.delete(collection);
    });
  }

  async getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    checkIds(ids);
    return await this.#connection.run(async (db) => {
      const wanted = [...new Set(ids)];
      const source = this.#collection(db, collection);
      if (wanted.length === 0) return new Map();
      const filter = { _id: { $in: wanted }, ...LIVE };
      const found = await source.find(filter, { batchSize: batchSizeFor(wanted.length) }).toArray();
      return new Map(found.map((stored) => [stored._id, documentOf(stored)]));
    });
  }

  async find(collection: string, { filter, sort = BY_ID, limit, after }: Query): Promise<Page> {
    checkLimit(limit);
    checkFilter(filter);
    checkSort(sort);
    return await this.#connection.run(async (db) => {
      const source = this.#collection(db, collection);
      const plan = requirePlan(collection, this.#indexes(collection), filter, sort.fields);
      const keyset = after === undefined ? null : decodeCursor(after, filter, sort);
      const wanted = findFilter(plan, { filter, sort, keyset });
      if (wanted === null) return { items: [], next: null };
      // One more than the limit, to find out whether there is another page.
      const size = { limit: limit + 1, batchSize: batchSizeFor(limit + 1) };
      const hint = indexKey(plan.index);
      const found = await source.find(wanted, { ...size, sort: sortOf(plan, sort), hint }).toArray();
      const items = found.slice(0, limit).map(documentOf);
      const last = items.at(-1);
      return { items, next: found.length > limit && last !== undefined ? cursorAfter(last, filter, sort) : null };
    });
  }

  async count(collection: string, filter: Filter, cap: number): Promise<number> {
    checkCap(cap);
    checkFilter(filter);
    return await this.#connection.run(async (db) => {
      const source = this.#collection(db, collection);
      const plan = requirePlan(collection, this.#indexes(collection), filter, null);
      return await source.countDocuments(countFilter(filter), { limit: cap, hint: indexKey(plan.index) });
    });
  }

  async apply({ writes, last }: WriteBatch): Promise<ApplyOutcome> {
    checkBatch(writes, last);
    return await this.#connection.run(async (db) => {
      for (const write of last === undefined ? writes : [...writes, last]) this.#check(write);
      const stamp = { batch: new ObjectId(this.#random.bytes(12)), now: this.#clock.now() };
      const rejected = await this.#write(db, writes, stamp);
      if (last === undefined || rejected.length > 0) return { rejected };
      return { rejected: await writeGuarded(this.#collection(db, last.collection), [last], stamp) };
    });
  }

  /** MongoDB overwrites replaced documents when it reuses their space; its journal and oplog move on by themselves. */
  async purge(): Promise<void> {}

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Writes to several collections concurrently. Settles when all of them have, even if one failed. */
  async #write(db: Db, writes: readonly Write[], stamp: Stamp): Promise<readonly Write[]> {
    const byCollection = Map.groupBy(writes, ({ collection }) => collection);
    const outcomes = await Promise.allSettled(
      [...byCollection].map(([name, part]) => writeGuarded(this.#collection(db, name), part, stamp)),
    );
    const rejected = new Set<Write>();
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
      for (const write of outcome.value) rejected.add(write);
    }
    return writes.filter((write) => rejected.has(write));
  }

  /** Throws `INVALID` for a collection that was not defined, and for a body that cannot be stored or does not fit the indexes. */
  #check({ collection, body }: Write): void {
    const indexes = this.#indexes(collection);
    if (body === null) return;
    encodeBody(body);
    for (const { fields, array } of indexes) {
      for (const field of fields) scalarAt(body, pathOf(field));
      if (array !== undefined) elementsAt(body, pathOf(array));
    }
  }

  #indexes(name: string): readonly IndexDefinition[] {
    const indexes = this.#defined.get(name);
    if (indexes === undefined) throw new StoreError('INVALID', `the collection '${name}' is not defined`);
    return indexes;
  }

  #collection(db: Db, name: string): Collection<Stored> {
    this.#indexes(name);
    return db.collection(collectionName(name));
  }
}
