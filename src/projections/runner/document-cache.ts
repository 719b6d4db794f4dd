import { LRUCache } from 'lru-cache';
import { jsonSize } from '../../kernel/json.ts';
import type { DocumentRef } from '../models/projection.ts';
import type { DocumentVersion, PendingDocument } from './fold-batch.ts';

/** Bound of one collection, in characters of JSON (roughly), and what a document counts besides its own. */
const CHARACTERS_MAX = 16 * 1024 * 1024;
const OVERHEAD = 300;
/** Changes after which a document is measured again; until then only its growth is added. */
const MEASURE_EVERY = 10;

type Entry = Readonly<{ version: DocumentVersion; size: number; changes: number }>;

/** The documents of a projection that are touched often, as they are in the store. */
export interface DocumentCache {
  get(ref: DocumentRef): DocumentVersion | undefined;
  /** Takes over the result of a fold, once that is written. */
  settle(documents: readonly PendingDocument[]): void;
  clear(): void;
}

export function createDocumentCache(collections: readonly string[]): DocumentCache {
  const caches = new Map(
    collections.map((collection) => [
      collection,
      new LRUCache<string, Entry>({
        maxSize: CHARACTERS_MAX,
        sizeCalculation: ({ size }) => size + OVERHEAD,
      }),
    ]),
  );
  const settle = (document: PendingDocument): void => {
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
    cache.set(ref.id, { version: { position, body }, ...measure(before, document, body) });
  };
  return {
    get: (ref) => caches.get(ref.collection)?.get(ref.id)?.version,
    settle: (documents) => documents.forEach(settle),
    clear: () => {
      for (const cache of caches.values()) cache.clear();
    },
  };
}

function measure(before: Entry | undefined, document: PendingDocument, body: object): Pick<Entry, 'size' | 'changes'> {
  if (before === undefined || before.changes >= MEASURE_EVERY) return { size: jsonSize(body), changes: 0 };
  return { size: before.size + document.grown, changes: before.changes + 1 };
}
