import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import { CHECKPOINTS, checkpointId } from './checkpoint.ts';
import {
  changePointer,
  firstPointer,
  type Generation,
  generationCollections,
  type Pointer,
  physicalCollection,
  readPointers,
  withBuilding,
  withoutBuilding,
  withoutRetired,
  withSwap,
} from './generations.ts';
import type { Projection } from '../models/projection.ts';

/** Readers in flight may still use a retired generation for this long, in ms: longer than they keep a pointer and take for a read. */
const GRACE_MS = 30_000;

export type GenerationKeeperOptions = Readonly<{
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  /** Told of every pointer as it now holds. */
  pointerHolds(projection: string, pointer: Pointer): void;
}>;

/** Changes which generations there are, for the node that runs the projections. Crashing in between is harmless: all of it can be repeated. */
export class GenerationKeeper {
  readonly #options: GenerationKeeperOptions;
  /** When each retired generation, by its checkpoint's id, was first seen to be so. */
  readonly #retiredAt = new Map<string, number>();

  constructor(options: GenerationKeeperOptions) {
    this.#options = options;
  }

  /**
   * The pointer as this version of the code wants it. The first generation is read at once; later ones are built beside, also when the
   * active one is of another version. What another version had begun to build is given up.
   */
  async prepare(projection: Projection): Promise<Pointer> {
    const { documents } = this.#options;
    const { name, version } = projection;
    const pointer = await changePointer(documents, name, (before) => {
      if (before === null) return firstPointer(projection);
      if (before.building?.version === version) return before;
      return before.active.version === version ? withoutBuilding(before) : withBuilding(before, projection);
    });
    if (pointer.active.version === version) await this.#define(projection, pointer.active);
    if (pointer.building !== null) await this.#define(projection, pointer.building);
    return this.#told(projection, pointer);
  }

  /** Makes the generation that was built the active one; what then holds may be something else, if somebody else was faster. */
  async swap(projection: Projection, generation: number): Promise<Pointer> {
    const pointer = await changePointer(this.#options.documents, projection.name, (before) => {
      if (before === null) throw new Error(`the pointer of projection '${projection.name}' is gone`);
      return withSwap(before, generation);
    });
    return this.#told(projection, pointer);
  }

  /** Looks at the pointer, makes ready what is to be built, and drops what was retired long enough ago. */
  async tend(projection: Projection): Promise<Pointer | null> {
    const pointer = (await readPointers(this.#options.documents, [projection.name])).get(projection.name);
    if (pointer === undefined) return null;
    this.#told(projection, pointer);
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
    // Readers of this version may have defined its collections for it, too.
    const names = new Set([...retired.collections, ...projection.collections.map(({ name }) => name)]);
    for (const name of names) await documents.drop(physicalCollection(projection.name, retired.generation, name));
    const checkpoint = (await documents.getMany(CHECKPOINTS.name, [id])).get(id);
    if (checkpoint !== undefined) {
      const { position } = checkpoint;
      await documents.apply({ writes: [{ collection: CHECKPOINTS.name, id, position, guard: position, body: null }] });
    }
    const pointer = await changePointer(documents, projection.name, (before) =>
      before === null ? null : withoutRetired(before, retired.generation),
    );
    if (pointer !== null) this.#told(projection, pointer);
    this.#retiredAt.delete(id);
    logger.info({ projection: id }, 'an old generation of a projection was dropped');
  }

  #define(projection: Projection, { generation }: Generation): Promise<void> {
    return this.#options.documents.define(generationCollections(projection, generation));
  }

  #told(projection: Projection, pointer: Pointer): Pointer {
    this.#options.pointerHolds(projection.name, pointer);
    return pointer;
  }
}
