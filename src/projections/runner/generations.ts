import { StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { CollectionDefinition, DocumentStore, StoredDocument } from '../../ports/documents.ts';
import type { Projection } from '../models/projection.ts';

/** One build of a projection's documents, in collections of its own; `collections` are their short names. */
export type Generation = Readonly<{ generation: number; version: number; collections: readonly string[] }>;

/** Which generations of a projection there are. */
export type Pointer = Readonly<{
  /** The one that is read. */
  active: Generation;
  /** The one that is built beside it, to follow it. */
  building: Generation | null;
  /** Read no more, and dropped after a grace for readers in flight. */
  retired: readonly Generation[];
  /** Number of the next generation; none is ever used twice. */
  next: number;
}>;

export const POINTERS: CollectionDefinition = { name: 'projections', indexes: [] };

/** Attempts at one change: others change a pointer rarely, and never for long. */
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

/** The first generation is read at once, as far as it is. */
export const firstPointer = (projection: Projection): Pointer => ({
  active: generationOf(projection, 1),
  building: null,
  retired: [],
  next: 2,
});

/** A new generation beside the active one; one that was being built is given up. */
export function withBuilding(pointer: Pointer, projection: Projection): Pointer {
  const building = generationOf(projection, pointer.next);
  return { ...withoutBuilding(pointer), building, next: pointer.next + 1 };
}

export function withoutBuilding(pointer: Pointer): Pointer {
  if (pointer.building === null) return pointer;
  return { ...pointer, building: null, retired: [...pointer.retired, pointer.building] };
}

/** The generation that was built is read from now on. No change when it is not the one being built (any more). */
export function withSwap(pointer: Pointer, generation: number): Pointer {
  if (pointer.building?.generation !== generation) return pointer;
  return { ...pointer, active: pointer.building, building: null, retired: [...pointer.retired, pointer.active] };
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
 * Changes a pointer, whoever else may be at it; gives what then holds. `change` gives back the same object for "as it is".
 * Throws what the store throws, and `UNAVAILABLE` when others never let it.
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
  throw new StoreError('UNAVAILABLE', `the pointer of projection '${name}' is changed by others all the time`);
}

// Only `changePointer` writes this collection.
const toPointer = (document: StoredDocument): Pointer => document.body as Pointer;
