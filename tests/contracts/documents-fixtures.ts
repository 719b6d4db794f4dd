import { randomUUID } from 'node:crypto';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { IndexDefinition } from '../../src/kernel/query.ts';
import type { DocumentStore, Guard, Query, StoredDocument, Write } from '../../src/ports/documents.ts';

/** Defines collections with unique names at all of the stores. */
export function createCollections(stores: readonly DocumentStore[]) {
  return async (...indexes: readonly IndexDefinition[]): Promise<string> => {
    const name = `test.${randomUUID()}`;
    for (const store of stores) await store.define([{ name, indexes }]);
    return name;
  };
}

/** A write; by default of a document that must not exist. */
export function put(
  collection: string,
  id: string,
  body: JsonObject,
  { position = '01', guard = null }: { position?: string; guard?: Guard } = {},
): Write {
  return { collection, id, position, guard, body };
}

/** A deletion at a position; by default of anything older. */
export function remove(collection: string, id: string, position: string, guard: Guard = 'older'): Write {
  return { collection, id, position, guard, body: null };
}

/** Writes new documents, given as bodies by id. */
export async function fill(
  store: DocumentStore,
  collection: string,
  bodies: Readonly<Record<string, JsonObject>>,
): Promise<void> {
  const writes = Object.entries(bodies).map(([id, body]) => put(collection, id, body));
  const { rejected } = await store.apply({ writes });
  if (rejected.length > 0) throw new Error('the documents of a test exist already');
}

export async function read(store: DocumentStore, collection: string, id: string): Promise<StoredDocument | undefined> {
  return (await store.getMany(collection, [id])).get(id);
}

/** The ids of all pages of a query; all pages except the last must be full. */
export async function idsOf(
  store: DocumentStore,
  collection: string,
  query: Omit<Query, 'limit' | 'after'>,
  limit = 100,
) {
  const ids: string[] = [];
  for (let after: string | null = null; ; ) {
    const page = await store.find(collection, { ...query, limit, ...(after === null ? {} : { after }) });
    ids.push(...page.items.map(({ id }) => id));
    if (page.next === null) return ids;
    if (page.items.length !== limit) throw new Error('a page that is not the last is not full');
    after = page.next;
  }
}

/** The error of an invalid call. */
export const INVALID = { name: 'StoreError', code: 'INVALID' };
