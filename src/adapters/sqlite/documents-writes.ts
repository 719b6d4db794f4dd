import type { CollectionDefinition, Guard } from '../../ports/documents.ts';
import type { FilledIndexes } from './documents-catalog.ts';
import { DocumentConnection } from './documents-connection.ts';
import type { Content } from './documents-table.ts';
import { DocumentWriter, type Prepared } from './documents-writer.ts';

/** Memory for cached pages, in KiB. Large, because writes to indexes over random ids touch many pages. */
const CACHE_KIB = 16_384;
/** Size of the write-ahead log, in pages of 4 KiB, at which a commit copies it into the database file. */
const WAL_PAGES = 8_192;

/** A collection that a batch writes to, with the layout for which its rows were encoded: a collection only ever gains indexes. */
export type Target = Readonly<{ name: string; collection: number; indexes: number }>;

/** A write as it is handed to another thread: copying arrays is cheaper than copying objects. `content` is `null` for a deletion. */
export type EncodedWrite = readonly [
  target: number,
  id: string,
  position: string,
  guard: Guard,
  content: readonly [json: string, columns: Content['columns'], arrays: Content['arrays']] | null,
];

/** A batch for `WriteSide.apply`. `now`: ms since the epoch. */
export type EncodedBatch = Readonly<{
  now: number;
  targets: readonly Target[];
  writes: readonly EncodedWrite[];
  last: EncodedWrite | null;
}>;

/** Indexes into the batch's writes whose guard did not hold (`writes.length` for `last`), or `stale`: encode the batch again, an index was added. */
export type Applied = readonly number[] | 'stale';

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

  async apply({ now, targets, writes, last }: EncodedBatch): Promise<Applied> {
    return this.#connection.transact(() => {
      const tables = targets.map(({ name }) => this.#connection.collection(name).table);
      const isStale = targets.some(({ collection, indexes }, i) => {
        const layout = tables[i]?.layout;
        return layout?.collection !== collection || layout.indexes.length !== indexes;
      });
      if (isStale) return 'stale';
      const isRejected = ([target, id, position, guard, content]: EncodedWrite): boolean => {
        const table = tables[target];
        if (table === undefined) throw new Error(`a write names target ${target} of ${tables.length}`);
        const prepared: Prepared = { write: { id, position, guard }, table, content: contentOf(position, content) };
        return !this.#writer.write(prepared, now);
      };
      const rejected = writes.flatMap((write, i) => (isRejected(write) ? [i] : []));
      if (rejected.length === 0 && last !== null && isRejected(last)) rejected.push(writes.length);
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

function contentOf(position: string, content: EncodedWrite[4]): Content | null {
  if (content === null) return null;
  const [json, columns, arrays] = content;
  return { position, json, columns, arrays };
}
