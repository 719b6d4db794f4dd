import type { JsonObject } from '../kernel/json.ts';
import type { Position } from '../kernel/position.ts';
import type { Filter, IndexDefinition, Sort } from '../kernel/query.ts';

/**
 * Read models, snapshots, leases and checkpoints: JSON documents in collections, each with the position it was last written for.
 * Everything in it can be thrown away and rebuilt from the event log.
 * The adapters are held to `tests/contracts/documents.ts`, which has no option per adapter.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`, and `INVALID` for a call that is wrong in itself.
 * A call that writes and ends with `UNAVAILABLE` may have been done, wholly or in part, and may still be: its answer was lost. Guards make it
 * harmless to load again and write again what is missing.
 */
export interface DocumentStore {
  /**
   * Creates what is missing of the collections and their indexes. Harmless when repeated, and when nodes do it at once.
   * A collection must have been defined at this store before any other call for it, which is `INVALID` otherwise.
   * Documents that are there already must fit an index that is new.
   */
  define(collections: readonly CollectionDefinition[]): Promise<void>;

  /** Removes a collection with its documents and tombstones. One that does not exist is no error. */
  drop(collection: string): Promise<void>;

  /** The documents of these ids (at most 4,096), without those that do not exist. */
  getMany(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>>;

  /**
   * The documents that fit, in order, page by page. A query that no declared index of the collection serves
   * (see `kernel/query.ts`) is refused with `INVALID`.
   */
  find(collection: string, query: Query): Promise<Page>;

  /** How many fit, counted up to `cap` (1 to 100,000) and no further. The same rule on indexes. */
  count(collection: string, filter: Filter, cap: number): Promise<number>;

  /**
   * Writes documents, each only if its guard holds, and then `last` if all of them were written.
   * Not a transaction: with a rejected write, the others of the batch stand. What was written is durable enough to survive
   * the death of the process, and `last` is never there without the rest. At most 4,096 writes, no document twice.
   * `INVALID`, and nothing is written, when any id, position or body is not as `Write` says.
   */
  apply(batch: WriteBatch): Promise<ApplyOutcome>;

  /** Frees what is held. May be called twice. */
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
  /** Documents at most, 1 to 4,096. */
  limit: number;
  /** The `next` of the page before, of the same filter and sort. One that was not made so is `INVALID`. */
  after?: string;
}>;

/** `next` is `null` on the last page. */
export type Page<Body extends JsonObject = JsonObject> = Readonly<{
  items: readonly StoredDocument<Body>[];
  next: string | null;
}>;

/**
 * When a write may be done:
 * - a position: the document exists and was written for just that position;
 * - `null`: it does not exist, and was not deleted at or behind this write's position in the last 24 h (its tombstone);
 * - `'older'`: it does not exist, or was written or deleted for an earlier position than this write's.
 */
export type Guard = Position | null | 'older';

export type Write = Readonly<{
  collection: string;
  /** 1 to 512 characters, well-formed and without NUL. */
  id: string;
  /** The position that the document now stands for. */
  position: Position;
  guard: Guard;
  /**
   * `null` deletes, and leaves a tombstone for 24 h, also of what did not exist.
   *
   * A body is plain JSON that every engine keeps as it is: at most 64 levels and 2,097,152 characters of JSON, strings without lone
   * surrogates. Its keys are not empty, do not start with `$`, and hold no dot and no NUL: what a user may choose (an emoji, say) is a good key, an
   * address is not. What a scalar index is over holds a string, number, boolean, `null` or nothing; what an array index is over holds strings and
   * numbers, is `null`, or is missing; no path of theirs leads through an array.
   */
  body: JsonObject | null;
}>;

export type WriteBatch = Readonly<{ writes: readonly Write[]; last?: Write }>;

/**
 * `rejected`: the writes whose guard did not hold, in their order; `last` was then not written. It is the only one when it was its own
 * guard that did not hold. Empty: everything stands.
 */
export type ApplyOutcome = Readonly<{ rejected: readonly Write[] }>;
