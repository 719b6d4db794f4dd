import type { IndexDescription, ObjectId } from 'mongodb';
import type { JsonObject } from '../../kernel/json.ts';
import type { IndexDefinition } from '../../kernel/query.ts';
import type { StoredDocument } from '../../ports/documents.ts';

/**
 * A document as it is kept, or, with `deletedAt` and no body, its tombstone. Both are one document in MongoDB, so that one guarded write
 * turns the one into the other.
 */
export type Stored = {
  _id: string;
  position: string;
  /** Of the call that wrote it. */
  batch: ObjectId;
  body?: JsonObject;
  deletedAt?: Date;
};

/** What all that is no tombstone meets. */
export const LIVE = { deletedAt: { $exists: false } } as const;

/** How long a deleted document is remembered. */
export const TOMBSTONE_MS = 24 * 60 * 60 * 1_000;

/** An hour for clocks that disagree: the server removes tombstones by its own. None is read that is older than `TOMBSTONE_MS`. */
const PURGE_AFTER_S = TOMBSTONE_MS / 1_000 + 3_600;

/** Removes tombstones. As each collection has it, making it makes the collection. */
export const PURGE: IndexDescription = {
  name: 'tombstones',
  key: { deletedAt: 1 },
  sparse: true,
  expireAfterSeconds: PURGE_AFTER_S,
};

/** Where a field of the body, or `_id`, is kept. */
export const placeOf = (field: string): string => (field === '_id' ? field : `body.${field}`);

const partsOf = ({ array, fields }: IndexDefinition): readonly string[] =>
  array === undefined ? fields : [array, ...fields];

/** The name of a declared index: no key is empty, so the dots tell its fields apart. That over ids is the server's own. */
export function indexName(definition: IndexDefinition): string {
  const parts = partsOf(definition);
  return parts.length === 0 ? '_id_' : parts.join('..');
}

export function indexOf(definition: IndexDefinition): IndexDescription {
  const places = [...partsOf(definition), '_id'].map(placeOf);
  return { name: indexName(definition), key: new Map(places.map((place) => [place, 1])) };
}

/**
 * The collection in MongoDB, which takes most names but not all: where it would refuse one, its dots become tildes, which the port's own
 * names do not have.
 */
export function collectionName(name: string): string {
  return /^\.|\.\.|\.$|(?:^|\.)system\./.test(name) ? name.replaceAll('.', '~') : name;
}

export function documentOf({ _id, position, body = {} }: Stored): StoredDocument {
  return { id: _id, position, body };
}
