import type { IndexDescription, ObjectId } from 'mongodb';
import type { JsonObject } from '../../kernel/json.ts';
import type { IndexDefinition } from '../../kernel/query.ts';
import type { StoredDocument } from '../../ports/documents.ts';

/**
 * A stored document or, with `deletedAt` and no body, its tombstone. Both are the same document in MongoDB, so that a single guarded write
 * turns one into the other.
 */
export type Stored = {
  _id: string;
  position: string;
  /** Identifies the call that wrote it. */
  batch: ObjectId;
  body?: JsonObject;
  deletedAt?: Date;
};

/** Matches everything but tombstones. */
export const LIVE = { deletedAt: { $exists: false } } as const;

/** How long tombstones are effective. */
export const TOMBSTONE_MS = 24 * 60 * 60 * 1_000;

/** The server purges tombstones by its own clock, so an hour is added for clock skew. Tombstones older than `TOMBSTONE_MS` are ignored. */
const PURGE_AFTER_S = TOMBSTONE_MS / 1_000 + 3_600;

/** An index to create. */
export type NamedIndex = IndexDescription & Readonly<{ name: string }>;

/** Purges tombstones. Every collection has this index, so creating it also creates the collection. */
export const PURGE = {
  name: 'tombstones',
  key: { deletedAt: 1 },
  sparse: true,
  expireAfterSeconds: PURGE_AFTER_S,
} as const satisfies NamedIndex;

/** The path at which a field of the body, or `_id`, is stored. */
export const storedPathOf = (field: string): string => (field === '_id' ? field : `body.${field}`);

const partsOf = ({ array, fields }: IndexDefinition): readonly string[] =>
  array === undefined ? fields : [array, ...fields];

/**
 * Identifies a declared index among those of its collection, and names it in MongoDB unless an index with this key has another name. No reserved
 * name begins like this (`_id_`, `*`, that of `PURGE`), so a field may have any of them. Keys are never empty, so two dots separate fields.
 */
export function indexName({ fields, array }: IndexDefinition): string {
  return array === undefined ? `by:${fields.join('..')}` : `each:${[array, ...fields].join('..')}`;
}

/** The key of an index in MongoDB: its paths, all ascending. That of the index over ids is built in. */
export function indexKey(definition: IndexDefinition): Readonly<Record<string, 1>> {
  return Object.fromEntries([...partsOf(definition), '_id'].map((field) => [storedPathOf(field), 1]));
}

export function indexOf(definition: IndexDefinition): NamedIndex {
  return { name: indexName(definition), key: indexKey(definition) };
}

/**
 * The name of a collection in MongoDB. Where MongoDB would reject a name that the port allows, its dots are replaced by tildes, which the
 * port does not allow.
 */
export function collectionName(name: string): string {
  return /^\.|\.\.|\.$|(?:^|\.)system\./.test(name) ? name.replaceAll('.', '~') : name;
}

export function documentOf({ _id, position, body = {} }: Stored): StoredDocument {
  return { id: _id, position, body };
}
