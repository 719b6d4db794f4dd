import { setTimeout as pause } from 'node:timers/promises';
import type { Position } from '../../kernel/position.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import { CHECKPOINTS, type Checkpoint, checkpointId, readCheckpoint } from './checkpoint.ts';
import { changePointer, readPointers, withBuilding } from './generations.ts';
import type { Projection } from '../models/projection.ts';

/** Pace at which progress is looked at, in ms. */
const LOOK_EVERY_MS = 50;

export type RebuildProgress = Readonly<{
  generation: number;
  /** Events handled so far, of the types that the projection handles. */
  events: number;
  /** Events that the generation before has handled: about as many as there will be. */
  total: number;
  position: Position | null;
  /** Events a second since this was asked for. */
  rate: number;
}>;

/** A rebuild that will not come to its end: in words for its reader. */
export class RebuildFailed extends Error {
  override readonly name = 'RebuildFailed';
}

export type RebuildOptions = Readonly<{
  documents: DocumentStore;
  projection: Projection;
  /** Told when the rebuild is asked for: the runner may be on this node. */
  asked(): void;
  onProgress?(progress: RebuildProgress): void;
  /** Ends the looking on, not the rebuild. */
  signal: AbortSignal;
}>;

/**
 * Asks for a new generation of a projection, or joins in the one that is being built, and looks on until that is the one that is read. Whichever
 * node runs the projections builds it; the generation before answers meanwhile. Throws `RebuildFailed` when it was parked by an event, given up
 * for another one, or `signal` was aborted, and what the store throws.
 */
export async function rebuild({ documents, projection, asked, onProgress, signal }: RebuildOptions): Promise<void> {
  const { name } = projection;
  const before = (await readPointers(documents, [name])).get(name);
  const stuck = before?.building
    ? ((await checkpointOf(documents, name, before.building.generation))?.parked ?? null)
    : null;
  const pointer = await changePointer(documents, name, (current) => {
    if (current === null) return null;
    const underWay = current.building?.version === projection.version;
    return underWay && (stuck === null || current.building?.generation !== before?.building?.generation)
      ? current
      : withBuilding(current, projection);
  });
  const generation = pointer?.building?.generation;
  if (generation === undefined)
    throw new RebuildFailed(`projection '${name}' has not been built for the first time yet`);
  asked();
  await lookOn({ documents, projection, asked, ...(onProgress && { onProgress }), signal }, generation);
}

async function lookOn(
  { documents, projection, onProgress, signal }: RebuildOptions,
  generation: number,
): Promise<void> {
  const { name } = projection;
  const startedAt = performance.now();
  let first: number | null = null;
  while (!signal.aborted) {
    const pointer = (await readPointers(documents, [name])).get(name);
    if (pointer === undefined) throw new RebuildFailed(`the generations of projection '${name}' are gone`);
    const checkpoint = await checkpointOf(documents, name, generation);
    const { active, building } = pointer;
    if (building?.generation !== generation && active.generation !== generation) {
      throw new RebuildFailed(`generation ${generation} of projection '${name}' was given up for another one`);
    }
    if (checkpoint?.parked) {
      const { type, position, message } = checkpoint.parked;
      throw new RebuildFailed(`projection '${name}' cannot take the event '${type}' at ${position}: ${message}`);
    }
    const events = checkpoint?.events ?? 0;
    first ??= events;
    const total =
      active.generation === generation
        ? events
        : ((await checkpointOf(documents, name, active.generation))?.events ?? 0);
    const seconds = Math.max(0.001, (performance.now() - startedAt) / 1_000);
    onProgress?.({
      generation,
      events,
      total: Math.max(total, events),
      position: checkpoint?.position ?? null,
      rate: (events - first) / seconds,
    });
    if (active.generation === generation) return;
    await pause(LOOK_EVERY_MS);
  }
  throw new RebuildFailed(`no longer looked on at the rebuild of projection '${name}'; it goes on`);
}

async function checkpointOf(documents: DocumentStore, name: string, generation: number): Promise<Checkpoint | null> {
  const id = checkpointId(name, generation);
  return readCheckpoint((await documents.getMany(CHECKPOINTS.name, [id])).get(id));
}
