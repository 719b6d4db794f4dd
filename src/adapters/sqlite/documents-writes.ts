import type { SQLInputValue } from 'node:sqlite';
import type { CollectionDefinition, Guard } from '../../ports/documents.ts';
import type { FilledIndexes } from './documents-catalog.ts';
import { DocumentConnection } from './documents-connection.ts';
import type { Content } from './documents-table.ts';
import { DocumentWriter, type Prepared } from './documents-writer.ts';

/** Memory for cached pages, in KiB. Large, because writes to indexes over random ids touch many pages. */
const CACHE_KIB = 8_192;
/** Size of the write-ahead log, in pages of 4 KiB, at which a commit copies it into the database file. */
const WAL_PAGES = 8_192;

/** A collection that a batch writes to, with the layout for which its rows were encoded: a collection only ever gains indexes. */
export type Target = Readonly<{ name: string; collection: number; indexes: number; columns: number; arrays: number }>;

/**
 * A batch for `WriteSide.apply`. `now`: ms since the epoch. `values`: for each write its target, id, position, guard and JSON (`null` for a deletion),
 * and then the values of its columns and arrays: one flat array is the cheapest to copy to another thread. `hasLast`: the last of the `size` writes
 * is done only if all others were.
 */
export type EncodedBatch = Readonly<{
  now: number;
  targets: readonly Target[];
  values: readonly SQLInputValue[];
  size: number;
  hasLast: boolean;
}>;

/** Indexes of the writes whose guard did not hold, or `stale`: encode the batch again, an index was added. */
export type Applied = readonly number[] | 'stale';

/** Values of a write before those of its columns. */
const HEAD = 5;

/** The half of the store that writes: on the caller's thread, or on another one (`documents-thread.ts`). Throws `StoreError`. */
export interface WriteSide {
  define(collections: readonly CollectionDefinition[]): Promise<readonly FilledIndexes[]>;
  drop(collection: string): Promise<void>;
  apply(batch: EncodedBatch): Promise<Applied>;
  vacuum(): Promise<void>;
  /** See `DocumentConnection`. */
  emptyWriteAheadLog(): Promise<boolean>;
  close(): Promise<void>;
}

/** Writes on the thread that calls it. */
export class DirectWrites implements WriteSide {
  readonly #connection: DocumentConnection;
  readonly #writer: DocumentWriter;
  readonly #isOwner: boolean;

  /** Over a connection that its owner closes. */
  static over(connection: DocumentConnection): DirectWrites {
    return new DirectWrites(connection, false);
  }

  /** Over a connection of its own. Throws as `openSqliteDocuments`. */
  static open(path: string): DirectWrites {
    return new DirectWrites(new DocumentConnection(path, { cacheKib: CACHE_KIB, walPages: WAL_PAGES }), true);
  }

  private constructor(connection: DocumentConnection, isOwner: boolean) {
    this.#connection = connection;
    this.#writer = new DocumentWriter(connection.statements);
    this.#isOwner = isOwner;
  }

  async define(collections: readonly CollectionDefinition[]): Promise<readonly FilledIndexes[]> {
    return this.#connection.define(collections);
  }

  async drop(collection: string): Promise<void> {
    this.#connection.drop(collection);
  }

  async apply({ now, targets, values, size, hasLast }: EncodedBatch): Promise<Applied> {
    return this.#connection.transact(() => {
      const tables = targets.map(({ name }) => this.#connection.collection(name).table);
      const isStale = targets.some(({ collection, indexes }, i) => {
        const layout = tables[i]?.layout;
        return layout?.collection !== collection || layout.indexes.length !== indexes;
      });
      if (isStale) return 'stale';
      const rejected: number[] = [];
      let at = 0;
      for (let i = 0; i < size; i++) {
        if (hasLast && i === size - 1 && rejected.length > 0) break;
        const number = Number(values[at]);
        const [target, table] = [targets[number], tables[number]];
        if (target === undefined || table === undefined)
          throw new Error(`a write names target ${number} of ${tables.length}`);
        const [id, position, guard, json] = values.slice(at + 1, at + HEAD) as [string, string, Guard, string | null];
        const arraysAt = at + HEAD + target.columns;
        const next = arraysAt + target.arrays;
        const columns = values.slice(at + HEAD, arraysAt);
        const arrays = values.slice(arraysAt, next).map(String);
        const content: Content | null = json === null ? null : { position, json, columns, arrays };
        const prepared: Prepared = { write: { id, position, guard }, table, content };
        if (!this.#writer.write(prepared, now)) rejected.push(i);
        at = json === null ? at + HEAD : next;
      }
      this.#writer.purge(now);
      return rejected;
    });
  }

  async vacuum(): Promise<void> {
    this.#connection.vacuum();
  }

  async emptyWriteAheadLog(): Promise<boolean> {
    return this.#connection.emptyWriteAheadLog();
  }

  async close(): Promise<void> {
    if (this.#isOwner) this.#connection.close();
  }
}
