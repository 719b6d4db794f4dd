import type { Collection, Db, IndexDescription, IndexDescriptionInfo } from 'mongodb';
import { CONFIRM_MS } from './connection.ts';
import { type NamedIndex, PURGE, type Stored } from './documents-layout.ts';
import {
  hasCode,
  INDEX_KEY_SPECS_CONFLICT,
  INDEX_NOT_FOUND,
  INDEX_OPTIONS_CONFLICT,
  NAMESPACE_NOT_FOUND,
} from './errors.ts';

/** Other nodes may change the indexes between two attempts, but each of them only once. */
const MAX_ATTEMPTS = 5;

/**
 * Creates a collection with `PURGE` and these indexes, as far as they do not exist, and waits for those that are being built.
 *
 * An index of the same key is used under the name it has. MongoDB can neither rename it nor have two of the same key, so giving it another name would
 * leave queries without an index in between. Queries name an index by its key, and are not affected. `PURGE` gets the expiry of this version.
 */
export async function ensureIndexes(db: Db, name: string, declared: readonly NamedIndex[]): Promise<void> {
  const collection = db.collection<Stored>(name);
  const wanted = [PURGE, ...declared];
  let indexes: readonly NamedIndex[] = wanted;
  for (let attempt = 1; ; attempt++) {
    try {
      await collection.createIndexes([...indexes]);
      return;
    } catch (error) {
      const isConflict = hasCode(error, INDEX_OPTIONS_CONFLICT, INDEX_KEY_SPECS_CONFLICT);
      if (!isConflict || attempt === MAX_ATTEMPTS) throw error;
    }
    const existing = await existingIndexes(collection);
    indexes = named(wanted, existing);
    await setExpiry(db, name, existing);
  }
}

async function existingIndexes(collection: Collection<Stored>): Promise<readonly IndexDescriptionInfo[]> {
  try {
    return await collection.listIndexes().toArray();
  } catch (error) {
    // The collection was dropped in the meantime.
    if (!hasCode(error, NAMESPACE_NOT_FOUND)) throw error;
    return [];
  }
}

/** The indexes with the names of existing ones of the same key; others with names that no existing index has. */
function named(wanted: readonly NamedIndex[], existing: readonly IndexDescriptionInfo[]): readonly NamedIndex[] {
  const names = new Set(existing.map((index) => index.name));
  return wanted.map((index) => {
    const same = existing.find((each) => isSameKey(each.key, index.key));
    if (same?.name !== undefined) return { ...index, name: same.name };
    let name = index.name;
    while (names.has(name)) name += "'";
    return { ...index, name };
  });
}

/** Changes the expiry of an existing `PURGE` index that another version has created. */
async function setExpiry(db: Db, name: string, existing: readonly IndexDescriptionInfo[]): Promise<void> {
  const { key: keyPattern, expireAfterSeconds } = PURGE;
  const purge = existing.find(({ key }) => isSameKey(key, keyPattern));
  if (purge === undefined || purge.expireAfterSeconds === expireAfterSeconds) return;
  try {
    // Unlike methods of collections, `command` does not add the write concern of the database.
    const writeConcern = { w: 'majority', wtimeout: CONFIRM_MS };
    await db.command({ collMod: name, index: { keyPattern, expireAfterSeconds }, writeConcern });
  } catch (error) {
    // It was dropped in the meantime, and is created by the next attempt.
    if (!hasCode(error, NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND)) throw error;
  }
}

/** Whether two keys have the same fields in the same order. */
function isSameKey(a: IndexDescription['key'], b: IndexDescription['key']): boolean {
  const entriesOf = (key: IndexDescription['key']) => (key instanceof Map ? [...key] : Object.entries(key));
  return JSON.stringify(entriesOf(a)) === JSON.stringify(entriesOf(b));
}
