import type { DocumentStore, Write } from '../../ports/documents.ts';
import type { DocumentCache } from './document-cache.ts';
import type { DocumentSource, FoldedDocument } from './fold-batch.ts';
import { physicalCollection } from './generations.ts';

/** Writes handed to the store at once: others get their turn in between. */
const WRITES_MAX = 256;
/** Ids that the documents port takes in one call. */
const IDS_MAX = 4_096;

/** The documents of one generation in the store. */
export class GenerationDocuments {
  readonly #documents: DocumentStore;
  readonly #physical: (collection: string) => string;

  constructor(documents: DocumentStore, projection: string, generation: number) {
    this.#documents = documents;
    this.#physical = (collection) => physicalCollection(projection, generation, collection);
  }

  /** Where a fold finds documents: with a cache, or only in the store and looking for everything. */
  source(cache?: DocumentCache): DocumentSource {
    return {
      trustFresh: cache !== undefined,
      known: (ref) => cache?.get(ref),
      load: (collection, ids) => this.#load(this.#physical(collection), ids),
    };
  }

  /**
   * Writes what was changed, each guarded by what it was loaded as, or by `absent`, and then `last` if nothing was rejected. Gives what was rejected.
   */
  async write(changed: readonly FoldedDocument[], absent: null | 'older', last?: Write): Promise<readonly Write[]> {
    const writes = changed.map((document) => this.#write(document, absent));
    // Neighbours are written together: the same pages of an index then change once, and not in one transaction after the other.
    if (writes.length > WRITES_MAX) writes.sort(byId);
    const rejected: Write[] = [];
    for (let from = 0; from < writes.length; from += WRITES_MAX) {
      const part = writes.slice(from, from + WRITES_MAX);
      const isLast = from + WRITES_MAX >= writes.length && rejected.length === 0;
      const batch = isLast && last !== undefined ? { writes: part, last } : { writes: part };
      rejected.push(...(await this.#documents.apply(batch)).rejected);
    }
    return rejected;
  }

  #write({ ref, loaded, body, position }: FoldedDocument, absent: null | 'older'): Write {
    if (position === null) throw new Error(`document '${ref.id}' was changed by no event`);
    const collection = this.#physical(ref.collection);
    return { collection, id: ref.id, position, guard: loaded?.position ?? absent, body: body ?? null };
  }

  async #load(collection: string, ids: readonly string[]): ReturnType<DocumentSource['load']> {
    if (ids.length <= IDS_MAX) return this.#documents.getMany(collection, ids);
    const head = await this.#documents.getMany(collection, ids.slice(0, IDS_MAX));
    return new Map([...head, ...(await this.#load(collection, ids.slice(IDS_MAX)))]);
  }
}

const byId = (a: Write, b: Write): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
