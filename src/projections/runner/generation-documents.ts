import { together } from '../../kernel/together.ts';
import type { DocumentStore, Page, Write } from '../../ports/documents.ts';
import type { DocumentQuery, DocumentRef } from '../models/projection.ts';
import type { DocumentCache } from './document-cache.ts';
import type { DocumentSource, PendingDocument } from './fold-batch.ts';
import { physicalCollection } from './generations.ts';

/** Writes in one call to the store: other work runs in between. */
const WRITES_MAX = 256;
/** Calls in progress at once: the store writes one batch while the next is encoded. With one at a time, projecting is a third slower. */
const IN_PROGRESS_MAX = 3;
/** Documents that are found at once. */
const PAGE = 512;
/** Ids that the documents port takes in one call. */
const IDS_MAX = 4_096;

/** The stored documents of one generation. */
export class GenerationDocuments {
  readonly #documents: DocumentStore;
  readonly #physical: (collection: string) => string;

  constructor(documents: DocumentStore, projection: string, generation: number) {
    this.#documents = documents;
    this.#physical = (collection) => physicalCollection(projection, generation, collection);
  }

  /** Where a fold finds documents: with a cache, or only in the store, where it reads each of them. */
  source(cache?: DocumentCache): DocumentSource {
    return {
      trustFresh: cache !== undefined,
      known: (ref) => cache?.get(ref),
      load: (collection, ids) => this.#load(this.#physical(collection), ids),
    };
  }

  /**
   * Writes what was changed, each guarded by the version it was loaded as, or by `absent`, and then `last` if nothing was rejected. Returns what was
   * rejected.
   */
  async write(changed: readonly PendingDocument[], absent: null | 'older', last?: Write): Promise<readonly Write[]> {
    const writes = changed.map((document) => this.#write(document, absent));
    // Sorted, the same pages of an index change in one transaction, and not in one after the other.
    if (writes.length > WRITES_MAX) writes.sort(byId);
    const parts: (readonly Write[])[] = [];
    for (let from = 0; from < writes.length; from += WRITES_MAX) parts.push(writes.slice(from, from + WRITES_MAX));
    const rest = last === undefined ? undefined : parts.pop();
    const rejected = await this.#applyAll(parts);
    if (rest === undefined || last === undefined) return rejected;
    const batch = rejected.length > 0 ? { writes: rest } : { writes: rest, last };
    return [...rejected, ...(await this.#documents.apply(batch)).rejected];
  }

  /** Applies batches that have no document in common, in any order. Returns what was rejected. */
  async #applyAll(parts: readonly (readonly Write[])[]): Promise<readonly Write[]> {
    const rejected: Write[] = [];
    const rest = parts.values();
    const applyNext = async (): Promise<void> => {
      for (const writes of rest) rejected.push(...(await this.#documents.apply({ writes })).rejected);
    };
    await together(Array.from({ length: IN_PROGRESS_MAX }, applyNext));
    return rejected;
  }

  #write({ ref, loaded, body, position }: PendingDocument, absent: null | 'older'): Write {
    if (position === null) throw new Error(`document '${ref.id}' was changed by no event`);
    const collection = this.#physical(ref.collection);
    return { collection, id: ref.id, position, guard: loaded?.position ?? absent, body: body ?? null };
  }

  /** The documents that match a query, page by page. */
  async *find({ collection, filter, sort }: DocumentQuery): AsyncGenerator<readonly DocumentRef[], void> {
    let after: string | null = null;
    do {
      const query = { filter, limit: PAGE, ...(sort !== undefined && { sort }), ...(after !== null && { after }) };
      const page: Page = await this.#documents.find(this.#physical(collection), query);
      yield page.items.map(({ id }) => ({ collection, id }));
      after = page.next;
    } while (after !== null);
  }

  async #load(collection: string, ids: readonly string[]): ReturnType<DocumentSource['load']> {
    if (ids.length <= IDS_MAX) return this.#documents.getMany(collection, ids);
    const head = await this.#documents.getMany(collection, ids.slice(0, IDS_MAX));
    return new Map([...head, ...(await this.#load(collection, ids.slice(IDS_MAX)))]);
  }
}

const byId = (a: Write, b: Write): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
