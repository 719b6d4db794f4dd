import type { JsonObject } from '../kernel/json.ts';
import type { Position } from '../kernel/position.ts';
import type { Filter, IndexDefinition, Sort } from '../kernel/query.ts';

/**
 * Read models, snapshots, leases and checkpoints: JSON documents in collections, each with the position it was last written for.
 * All of it can be deleted and rebuilt from the event log.
 * The adapters are tested by `tests/contracts/documents.ts`, which has no options per adapter.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`, and `INVALID` for an invalid call.
 * A write that fails with `UNAVAILABLE` may have been done, completely or in part, or may still be: its response was lost. Guards make it
 * safe to load the documents again and repeat what is missing.
 */
export interface DocumentStore {
  /**
   * Creates the collections and indexes that do not exist. May be repeated, and called by several nodes at the same time.
   * A collection must have been defined at this store before any other call for it, which is `INVALID` otherwise.
   * Existing documents must fit a new index.
   */
  define(collections: readonly CollectionDefinition[]): Promise<void>;

  /** Removes a collection with its documents and tombstones. Does nothing when it does not exist. */
  drop(collection: string): Promise<void>;

  /** The documents of these ids (at most 4,096), without those that do not exist. */
  getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>>;

  /**
   * One page of the documents that match, in order. A query that no declared index of the collection serves
   * (see `kernel/query.ts`) is `INVALID`.
   */
  find(collection: string, query: Query): Promise<Page>;

  /** The number of documents that match, counted up to `cap` (1 to 100,000). Needs an index as `find` does. */
  count(collection: string, filter: Filter, cap: number): Promise<number>;

  /**
   * Writes documents, each only if its guard holds, and then `last` if all of them were written.
   * Not a transaction: a rejected write does not undo the others of the batch. Writes survive a crash of the process,
   * and `last` never exists without the rest. At most 4,096 writes, no document twice.
   * `INVALID`, and nothing is written, when any id, position or body is not as described at `Write`.
   */
  apply(batch: WriteBatch): Promise<ApplyOutcome>;

  /**
   * Overwrites what deleted and replaced documents have left in the files of the store, as far as it can: after the erasure of a person. What a store
   * keeps elsewhere (journals, replication logs) has to expire by itself. Throws `UNAVAILABLE` when it has to be repeated.
   */
  purge(): Promise<void>;

  /** Releases all resources. May be called twice. */
  close(): Promise<void>;
}

export type CollectionDefinition = Readonly<{
  /** Letters, digits, `.`, `_`, `-`, `@`; at most 80. */
  name: string;
  indexes: readonly IndexDefinition[];
}>;

export type StoredDocument<Body extends JsonObject = JsonObject> = Readonly<{
  id: string;
  position: Position;
  body: Body;
}>;

export type Query = Readonly<{
  filter: Filter;
  /** Default: by id, ascending. */
  sort?: Sort;
  /** Maximum number of documents, 1 to 4,096. */
  limit: number;
  /** The `next` of the previous page, of the same filter and sort. Any other text is `INVALID`. */
  after?: string;
}>;

/** `next` is `null` on the last page. */
export type Page<Body extends JsonObject = JsonObject> = Readonly<{
  items: readonly StoredDocument<Body>[];
  next: string | null;
}>;

/**
 * The condition under which a write is done:
 * - a position: the document exists and was last written for exactly that position;
 * - `null`: it does not exist, and was not deleted at or after this write's position in the last 24 h (its tombstone);
 * - `'older'`: it does not exist, or was written or deleted for a position before this write's.
 */
export type Guard = Position | null | 'older';

export type Write = Readonly<{
  collection: string;
  /** 1 to 512 characters, well-formed and without NUL. */
  id: string;
  /** The position up to which the document now includes events. */
  position: Position;
  guard: Guard;
  /**
   * `null` deletes, and leaves a tombstone for 24 h, even if the document did not exist.
   *
   * A body is plain JSON that every engine stores unchanged: at most 64 levels and 2,097,152 characters of JSON, strings without lone
   * surrogates. Its keys are not empty, do not start with `$`, and contain no dot and no NUL: an emoji is a valid key, an e-mail address is not.
   * The field of a scalar index is a string, number, boolean, `null` or missing; the field of an array index is an array of strings and
   * numbers, `null` or missing. No path of an indexed field leads through an array.
   */
  body: JsonObject | null;
}>;

export type WriteBatch = Readonly<{ writes: readonly Write[]; last?: Write }>;

/**
 * `rejected`: the writes whose guard did not hold, in their order; `last` was then not written. When only the guard of `last` did not hold,
 * it is the only element. Empty: everything was written.
 */
export type ApplyOutcome = Readonly<{ rejected: readonly Write[] }>;
