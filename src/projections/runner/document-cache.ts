import { LRUCache } from 'lru-cache';
import type { FoldedDocument, Standing } from './fold-batch.ts';
import type { DocumentRef } from '../models/projection.ts';
import { weigh } from './weigh.ts';

/** Bounds of one collection: documents, and characters of JSON (roughly). */
const DOCUMENTS_MAX = 50_000;
const CHARACTERS_MAX = 32 * 1024 * 1024;
/** Changes after which a document is weighed anew; until then it only counts as grown. */
const WEIGH_EVERY = 10;

type Entry = Readonly<{ standing: Standing; weight: number; changes: number }>;

/** The documents of a projection that are touched often, as they stand in the store. */
export interface DocumentCache {
  get(ref: DocumentRef): Standing | undefined;
  /** Takes over what a fold left, once that is written. */
  settle(documents: readonly FoldedDocument[]): void;
  clear(): void;
}

export function createDocumentCache(collections: readonly string[]): DocumentCache {
  const caches = new Map(
    collections.map((collection) => [
      collection,
      new LRUCache<string, Entry>({
        max: DOCUMENTS_MAX,
        maxSize: CHARACTERS_MAX,
        sizeCalculation: ({ weight }) => weight,
      }),
    ]),
  );
  const settle = (document: FoldedDocument): void => {
    const { ref, body, position } = document;
    const cache = caches.get(ref.collection);
    if (cache === undefined) return;
    if (body === undefined || position === null) {
      cache.delete(ref.id);
      return;
    }
    const before = cache.peek(ref.id);
    if (before === undefined && !document.wanted) return;
    if (before !== undefined && !document.changed) return;
    cache.set(ref.id, { standing: { position, body }, ...weight(before, document, body) });
  };
  return {
    get: (ref) => caches.get(ref.collection)?.get(ref.id)?.standing,
    settle: (documents) => documents.forEach(settle),
    clear: () => {
      for (const cache of caches.values()) cache.clear();
    },
  };
}

function weight(before: Entry | undefined, document: FoldedDocument, body: object): Pick<Entry, 'weight' | 'changes'> {
  if (before === undefined || before.changes >= WEIGH_EVERY) return { weight: weigh(body), changes: 0 };
  return { weight: before.weight + document.grown, changes: before.changes + 1 };
}
