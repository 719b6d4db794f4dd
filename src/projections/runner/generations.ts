import { StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Logger } from '../../kernel/logger.ts';
import { dropCheckpoint } from '../../log/checkpoint.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CollectionDefinition, DocumentStore, StoredDocument } from '../../ports/documents.ts';
import type { Projection } from '../models/projection.ts';

/** One build of a projection's documents, in collections of its own; `collections` are their short names. */
export type Generation = Readonly<{ generation: number; version: number; collections: readonly string[] }>;

/** Which generations of a projection there are. */
export type Pointer = Readonly<{
  /** The one that is read, once it is complete. */
  active: Generation;
  /** Whether the active generation contains the log up to where it ended when its building began. Until then it is not read. */
  isComplete: boolean;
  /**
   * Since when the active generation is known to be of a log that was restored from an older copy since, ISO 8601 UTC; `null`: it is of this log. It is
   * read until another one is built, but its position means nothing.
   */
  restoredAt: string | null;
  /** The one that is built beside it, to follow it. */
  building: Generation | null;
  /** No longer read, and dropped after a grace period for reads in progress. */
  retired: readonly Generation[];
  /** Number of the next generation; no number is used twice. */
  next: number;
}>;

/** The id of the checkpoint of one generation of a projection. */
export const checkpointId = (projection: string, generation: number): string =>
  `projections/${projection}.${generation}`;

export const POINTERS: CollectionDefinition = { name: 'projections', indexes: [] };

/** Attempts at one change: other nodes change a pointer rarely, and never for long. */
const CHANGES_MAX = 10;

/** The collection in which a generation of a projection keeps its documents. */
export const physicalCollection = (projection: string, generation: number, collection: string): string =>
  `${projection}.${generation}.${collection}`;

/** What the store must define for a generation. */
export function generationCollections(projection: Projection, generation: number): readonly CollectionDefinition[] {
  return projection.collections.map(({ name, indexes }) => ({
    name: physicalCollection(projection.name, generation, name),
    indexes,
  }));
}

const generationOf = ({ version, collections }: Projection, generation: number): Generation => ({
  generation,
  version,
  collections: collections.map(({ name }) => name),
});

/** `isComplete`: the log has no event for it yet. */
export const firstPointer = (projection: Projection, isComplete: boolean): Pointer => ({
  active: generationOf(projection, 1),
  isComplete,
  restoredAt: null,
  building: null,
  retired: [],
  next: 2,
});

/** A new generation beside the active one; one that was being built is retired. */
export function withBuilding(pointer: Pointer, projection: Projection): Pointer {
  const building = generationOf(projection, pointer.next);
  return { ...withoutBuilding(pointer), building, next: pointer.next + 1 };
}

/** The log was restored from an older copy: a new generation is built in place of the active one. */
export function withRestored(pointer: Pointer, projection: Projection, at: string): Pointer {
  return { ...withBuilding(pointer, projection), restoredAt: pointer.restoredAt ?? at };
}

export function withoutBuilding(pointer: Pointer): Pointer {
  if (pointer.building === null) return pointer;
  return { ...pointer, building: null, retired: [...pointer.retired, pointer.building] };
}

/** The generation that was built is read from now on. No change when it is not the one being built (any more). */
export function withSwap(pointer: Pointer, generation: number): Pointer {
  if (pointer.building?.generation !== generation) return pointer;
  const retired = [...pointer.retired, pointer.active];
  return { ...pointer, active: pointer.building, isComplete: true, restoredAt: null, building: null, retired };
}

/** The active generation is read from now on. No change when another one is active. */
export function withComplete(pointer: Pointer, generation: number): Pointer {
  return pointer.active.generation !== generation || pointer.isComplete ? pointer : { ...pointer, isComplete: true };
}

export function withoutRetired(pointer: Pointer, generation: number): Pointer {
  if (!pointer.retired.some((retired) => retired.generation === generation)) return pointer;
  return { ...pointer, retired: pointer.retired.filter((retired) => retired.generation !== generation) };
}

export async function readPointers(
  documents: DocumentStore,
  names: readonly string[],
): Promise<ReadonlyMap<string, Pointer>> {
  const found = await documents.getMany(POINTERS.name, names);
  return new Map([...found].map(([name, document]) => [name, toPointer(document)]));
}

/**
 * Changes a pointer, also while other nodes change it; returns the one that then holds. `change` returns the same object to change nothing.
 * Throws what the store throws, and `UNAVAILABLE` when other nodes keep changing it.
 */
export async function changePointer<Result extends Pointer | null>(
  documents: DocumentStore,
  name: string,
  change: (pointer: Pointer | null) => Result,
): Promise<Result> {
  for (let attempt = 0; attempt < CHANGES_MAX; attempt++) {
    const document = (await documents.getMany(POINTERS.name, [name])).get(name);
    const before = document === undefined ? null : toPointer(document);
    const after = change(before);
    if (after === before || after === null) return after;
    const position = String(Number(document?.position ?? 0) + 1).padStart(12, '0');
    const guard = document?.position ?? null;
    const body: JsonObject = after;
    const { rejected } = await documents.apply({
      writes: [{ collection: POINTERS.name, id: name, position, guard, body }],
    });
    if (rejected.length === 0) return after;
  }
  throw new StoreError('UNAVAILABLE', `the pointer of projection '${name}' is being changed by other nodes`);
}

// Only `changePointer` writes this collection.
const toPointer = (document: StoredDocument): Pointer => document.body as Pointer;

/** Creates the pointer of a projection of which the log has no event, so that its empty read model can be read at once. */
export async function prepareEmpty(documents: DocumentStore, projection: Projection): Promise<void> {
  await changePointer(documents, projection.name, (before) => before ?? firstPointer(projection, true));
}

/** Reads in progress may still use a retired generation for this long, in ms: longer than readers keep a pointer and a read takes. */
const GRACE_MS = 30_000;

/** Numbers of the generations that are not of the log any more. */
export type NotOfThisLog = Readonly<{ active: number | null; building: number | null }>;

export type GenerationManagerOptions = Readonly<{
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  /** Called with each pointer as it now holds. */
  pointerHolds(projection: string, pointer: Pointer): void;
}>;

/** Changes which generations there are, for the node that runs the projections. A crash in between is harmless: all of it can be repeated. */
export class GenerationManager {
  readonly #options: GenerationManagerOptions;
  /** When each retired generation, by its checkpoint's id, was first seen to be so. */
  readonly #retiredAt = new Map<string, number>();

  constructor(options: GenerationManagerOptions) {
    this.#options = options;
  }

  /**
   * The pointer that this version of the code needs. Generations after the first one are built beside, also when the active one is of another version.
   * A generation that another version had begun to build is retired. `isEmpty`: the log has no events.
   */
  async prepare(projection: Projection, isEmpty: boolean): Promise<Pointer> {
    const { documents } = this.#options;
    const { name, version } = projection;
    const pointer = await changePointer(documents, name, (before) => {
      if (before === null) return firstPointer(projection, isEmpty);
      if (before.building?.version === version) return before;
      const isKept = before.active.version === version && before.restoredAt === null;
      return isKept ? withoutBuilding(before) : withBuilding(before, projection);
    });
    return this.#prepared(projection, pointer);
  }

  /** Builds a new generation in place of those that are not of this log any more. */
  async replace(projection: Projection, { active, building }: NotOfThisLog): Promise<Pointer> {
    const { documents, clock } = this.#options;
    const at = new Date(clock.now()).toISOString();
    const pointer = await changePointer(documents, projection.name, (before) => {
      if (before === null) throw new Error(`the pointer of projection '${projection.name}' is gone`);
      if (active === before.active.generation) return withRestored(before, projection, at);
      return before.building?.generation === building ? withBuilding(before, projection) : before;
    });
    return this.#prepared(projection, pointer);
  }

  async #prepared(projection: Projection, pointer: Pointer): Promise<Pointer> {
    const { version } = projection;
    if (pointer.active.version === version) await this.#define(projection, pointer.active);
    if (pointer.building !== null) await this.#define(projection, pointer.building);
    return this.#noted(projection, pointer);
  }

  /** The active generation is read from now on. */
  async complete(projection: Projection, generation: number): Promise<Pointer> {
    const pointer = await changePointer(this.#options.documents, projection.name, (before) => {
      if (before === null) throw new Error(`the pointer of projection '${projection.name}' is gone`);
      return withComplete(before, generation);
    });
    return this.#noted(projection, pointer);
  }

  /** Makes the generation that was built the active one; when another node was faster, another pointer holds. */
  async swap(projection: Projection, generation: number): Promise<Pointer> {
    const pointer = await changePointer(this.#options.documents, projection.name, (before) => {
      if (before === null) throw new Error(`the pointer of projection '${projection.name}' is gone`);
      return withSwap(before, generation);
    });
    return this.#noted(projection, pointer);
  }

  /** Reads the pointer, defines what is to be built, and drops what was retired long enough ago. */
  async tend(projection: Projection): Promise<Pointer | null> {
    const pointer = (await readPointers(this.#options.documents, [projection.name])).get(projection.name);
    if (pointer === undefined) return null;
    this.#noted(projection, pointer);
    if (pointer.building?.version === projection.version) await this.#define(projection, pointer.building);
    for (const retired of pointer.retired) await this.#dropInTime(projection, retired);
    return pointer;
  }

  async #dropInTime(projection: Projection, retired: Generation): Promise<void> {
    const { documents, clock, logger } = this.#options;
    const id = checkpointId(projection.name, retired.generation);
    const now = clock.monotonic();
    const since = this.#retiredAt.get(id) ?? now;
    this.#retiredAt.set(id, since);
    if (now - since < GRACE_MS) return;
    // Readers of this version may have defined its collections for that generation too.
    const names = new Set([...retired.collections, ...projection.collections.map(({ name }) => name)]);
    for (const name of names) await documents.drop(physicalCollection(projection.name, retired.generation, name));
    await dropCheckpoint(documents, id);
    const pointer = await changePointer(documents, projection.name, (before) =>
      before === null ? null : withoutRetired(before, retired.generation),
    );
    if (pointer !== null) this.#noted(projection, pointer);
    this.#retiredAt.delete(id);
    logger.info({ projection: id }, 'a retired generation of a projection was dropped');
  }

  #define(projection: Projection, { generation }: Generation): Promise<void> {
    return this.#options.documents.define(generationCollections(projection, generation));
  }

  #noted(projection: Projection, pointer: Pointer): Pointer {
    this.#options.pointerHolds(projection.name, pointer);
    return pointer;
  }
}
