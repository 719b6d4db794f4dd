import { Refusal, StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Position } from '../../kernel/position.ts';
import type { Filter } from '../../kernel/query.ts';
import { compareWithLog } from '../../log/anchor.ts';
import { readCheckpoints, type StoredCheckpoint } from '../../log/checkpoint.ts';
import type { EventLog } from '../../log/event-log.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore, Page, Query, StoredDocument } from '../../ports/documents.ts';
import type { Projection } from '../models/projection.ts';
import { checkpointId, generationCollections, type Pointer, physicalCollection, readPointers } from './generations.ts';
import type { Progress } from './progress.ts';

/**
 * Reading the projections' documents, always of a generation that is complete. `collection` is `<projection>/<collection>`. The methods that read
 * documents throw the refusal `not-yet-visible` while there is no complete generation: what is being built must not pass for all there is.
 */
export interface ReadModels {
  get<Body extends JsonObject>(collection: string, id: string): Promise<StoredDocument<Body> | undefined>;
  getMany<Body extends JsonObject>(
    collection: string,
    ids: readonly string[],
  ): Promise<ReadonlyMap<string, StoredDocument<Body>>>;
  find<Body extends JsonObject>(collection: string, query: Query): Promise<Page<Body>>;
  count(collection: string, filter: Filter, cap: number): Promise<number>;
  /** The position up to which a projection has come, also one that is not complete; `null` before its first event. */
  checkpoint(projection: string): Promise<Position | null>;
  /** Whether a text from outside is spelled like a position of the log. */
  isPosition(text: string): boolean;
  /** Throws the refusal `not-yet-visible` while the projection has no complete generation. */
  requireReadable(projection: string): Promise<void>;
  /**
   * Resolves with `true` once all of these projections can be read and have reached the position on this node's view, `false` when that did not happen
   * within `timeoutMs` or before `signal` was aborted; at once when it cannot happen (one of them is parked here) or too many wait already.
   */
  waitFor(
    projections: readonly string[],
    position: Position,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<boolean>;
}

/** How long a pointer is used without reading it again, in ms. What it points to stays readable for much longer. */
const POINTER_AGE_MS = 5_000;

/** When a client should try again while the first generation is being built, in ms. */
const BUILDING_RETRY_MS = 5_000;

export type ReaderOptions = Readonly<{
  log: Pick<EventLog, 'isPosition' | 'head' | 'idAt' | 'recordBefore' | 'onRestored'>;
  documents: DocumentStore;
  clock: Clock;
  projections: readonly Projection[];
  progress: Progress;
  /** Resolves once the collections that all projections share are defined. */
  ready(): Promise<void>;
}>;

/** The read models, with what their runner reports to them. */
export interface Reader extends ReadModels {
  /** Notes a pointer that holds now. */
  pointerHolds(projection: string, pointer: Pointer): void;
  /** The stored positions of these projections, `null` for those that cannot be read yet. */
  stored(projections: readonly string[]): Promise<ReadonlyMap<string, Position | null>>;
}

/** Reads through the pointers, which it keeps for a few seconds. */
export function createReader({ log, documents, clock, projections, progress, ready }: ReaderOptions): Reader {
  const known = new Map(projections.map((projection) => [projection.name, projection]));
  const pointers = new Map<string, Pointer>();
  const defined = new Map<string, Promise<void>>();
  let refreshedAt = Number.NEGATIVE_INFINITY;
  let refreshing: Promise<void> | null = null;
  /** Checkpoints that are of this log, by id. */
  const verified = new Set<string>();
  let restores = 0;
  log.onRestored(() => {
    restores++;
    verified.clear();
  });

  /** Generations only increase, and stay complete and of a lost log: an answer that comes late does not bring an earlier state back. */
  const hold = (name: string, pointer: Pointer): void => {
    const before = pointers.get(name);
    const gained = before === undefined ? 1 : pointer.active.generation - before.active.generation;
    if (gained > 0) pointers.set(name, pointer);
    else if (gained === 0 && (pointer.isComplete || before?.isComplete === false))
      pointers.set(name, { ...pointer, restoredAt: before?.restoredAt ?? pointer.restoredAt });
  };

  const refresh = async (): Promise<void> => {
    const startedAt = clock.monotonic();
    await ready();
    for (const [name, pointer] of await readPointers(documents, [...known.keys()])) hold(name, pointer);
    refreshedAt = startedAt;
  };

  const upToDate = async (name: string): Promise<void> => {
    if (pointers.get(name)?.isComplete === true && clock.monotonic() - refreshedAt < POINTER_AGE_MS) return;
    refreshing ??= refresh().finally(() => {
      refreshing = null;
    });
    await refreshing;
  };

  /** A store knows the indexes of a collection only once this process has defined it. */
  const define = (projection: Projection, generation: number): Promise<void> => {
    const id = checkpointId(projection.name, generation);
    let done = defined.get(id);
    if (done === undefined) {
      done = documents.define(generationCollections(projection, generation));
      defined.set(id, done);
      done.catch(() => defined.delete(id));
    }
    return done;
  };

  /** The generation that is read. */
  const readable = async (name: string): Promise<number> => {
    await upToDate(name);
    const pointer = pointers.get(name);
    if (pointer?.isComplete === true) return pointer.active.generation;
    throw new Refusal('not-yet-visible', 'the read model is being built', { retryAfterMs: BUILDING_RETRY_MS });
  };

  /** The physical collection. */
  const resolve = async (path: string): Promise<string> => {
    const [name = '', collection = ''] = path.split('/');
    const projection = known.get(name);
    if (projection === undefined) throw new StoreError('INVALID', `no projection '${name}'`);
    const generation = await readable(name);
    await define(projection, generation);
    return physicalCollection(name, generation, collection);
  };

  /** Whether a checkpoint is of this log, and not of one that was restored from an older copy since. */
  const isOfThisLog = async (id: string, checkpoint: StoredCheckpoint): Promise<boolean> => {
    if (verified.has(id)) return true;
    const before = restores;
    const { isSame } = await compareWithLog(log, checkpoint, clock.now());
    if (isSame && restores === before) verified.add(id);
    return isSame;
  };

  const checkpoints = async (names: readonly string[]): Promise<ReadonlyMap<string, Position | null>> => {
    const ids = new Map<string, string>();
    for (const name of names) {
      const pointer = pointers.get(name);
      if (pointer?.restoredAt === null) ids.set(name, checkpointId(name, pointer.active.generation));
    }
    const found = await readCheckpoints(documents, [...ids.values()]);
    const positions = new Map<string, Position | null>(names.map((name) => [name, null]));
    for (const [name, id] of ids) {
      const checkpoint = found.get(id) ?? null;
      if (checkpoint !== null && (await isOfThisLog(id, checkpoint))) positions.set(name, checkpoint.position);
    }
    return positions;
  };

  const getMany: ReadModels['getMany'] = async <Body extends JsonObject>(path: string, ids: readonly string[]) => {
    const collection = await resolve(path);
    const found = ids.length === 0 ? new Map() : await documents.getMany(collection, ids);
    // A collection holds what its projection makes; the caller names the type of just that.
    return found as ReadonlyMap<string, StoredDocument<Body>>;
  };

  return {
    getMany,
    async get<Body extends JsonObject>(path: string, id: string) {
      return (await getMany<Body>(path, [id])).get(id);
    },
    async find<Body extends JsonObject>(path: string, query: Query) {
      const collection = await resolve(path);
      return (await documents.find(collection, query)) as Page<Body>;
    },
    async count(path, filter, cap) {
      return documents.count(await resolve(path), filter, cap);
    },
    async checkpoint(name) {
      const own = progress.own(name);
      if (own !== undefined) return own;
      await upToDate(name);
      return (await checkpoints([name])).get(name) ?? null;
    },
    isPosition: (text) => log.isPosition(text),
    async requireReadable(name) {
      await readable(name);
    },
    waitFor: (names, position, timeoutMs, signal) => progress.waitFor(names, position, timeoutMs, signal),
    pointerHolds: hold,
    async stored(names) {
      await refresh();
      const positions = await checkpoints(names.filter((name) => pointers.get(name)?.isComplete === true));
      return new Map(names.map((name) => [name, positions.get(name) ?? null]));
    },
  };
}
