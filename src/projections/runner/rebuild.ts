import type { Position } from '../../kernel/position.ts';
import { readCheckpoints, type StoredCheckpoint } from '../../log/checkpoint.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { Projection } from '../models/projection.ts';
import { changePointer, checkpointId, readPointers, withBuilding } from './generations.ts';

/** Pace of reading the progress, in ms. */
const LOOK_EVERY_MS = 50;

export type RebuildProgress = Readonly<{
  generation: number;
  /** Events handled so far, of the types that the projection handles. */
  events: number;
  /** Events that the generation before has handled: about as many as there will be. */
  total: number;
  position: Position | null;
  /** Events per second since the rebuild was requested. */
  rate: number;
}>;

/** A rebuild that will not be completed, with the reason. */
export class RebuildFailed extends Error {
  override readonly name = 'RebuildFailed';
}

export type RebuildOptions = Readonly<{
  documents: DocumentStore;
  clock: Clock;
  projection: Projection;
  /** Called when the rebuild was requested: the runner may be on this node. */
  requested(): void;
  onProgress?(progress: RebuildProgress): void;
  /** Ends the watching, not the rebuild. */
  signal: AbortSignal;
}>;

/**
 * Requests a new generation of a projection, or joins the one that is being built, and watches until that is the one that is read. The node that runs
 * the projections builds it; the generation before is read meanwhile. Throws `RebuildFailed` when it was parked by an event, replaced by another
 * one, or `signal` was aborted, and what the store throws.
 */
export async function rebuild(options: RebuildOptions): Promise<void> {
  const { documents, projection, requested } = options;
  const { name } = projection;
  const before = (await readPointers(documents, [name])).get(name);
  const stuck = before?.building
    ? ((await checkpointOf(documents, name, before.building.generation))?.parked ?? null)
    : null;
  const pointer = await changePointer(documents, name, (current) => {
    if (current === null) return null;
    const isBuilding = current.building?.version === projection.version;
    return isBuilding && (stuck === null || current.building?.generation !== before?.building?.generation)
      ? current
      : withBuilding(current, projection);
  });
  const generation = pointer?.building?.generation;
  if (generation === undefined)
    throw new RebuildFailed(`projection '${name}' has not been built for the first time yet`);
  requested();
  await watch(options, generation);
}

async function watch(
  { documents, clock, projection, onProgress, signal }: RebuildOptions,
  generation: number,
): Promise<void> {
  const { name } = projection;
  const startedAt = clock.monotonic();
  let first: number | null = null;
  while (!signal.aborted) {
    const pointer = (await readPointers(documents, [name])).get(name);
    if (pointer === undefined) throw new RebuildFailed(`the generations of projection '${name}' are gone`);
    const checkpoint = await checkpointOf(documents, name, generation);
    const { active, building } = pointer;
    if (building?.generation !== generation && active.generation !== generation) {
      throw new RebuildFailed(`generation ${generation} of projection '${name}' was replaced by another one`);
    }
    if (checkpoint?.parked) {
      const { type, position, message } = checkpoint.parked;
      throw new RebuildFailed(`projection '${name}' cannot fold the event '${type}' at ${position}: ${message}`);
    }
    const events = checkpoint?.events ?? 0;
    first ??= events;
    const total =
      active.generation === generation
        ? events
        : ((await checkpointOf(documents, name, active.generation))?.events ?? 0);
    const seconds = Math.max(0.001, (clock.monotonic() - startedAt) / 1_000);
    onProgress?.({
      generation,
      events,
      total: Math.max(total, events),
      position: checkpoint?.position ?? null,
      rate: (events - first) / seconds,
    });
    if (active.generation === generation) return;
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
  throw new RebuildFailed(`the rebuild of projection '${name}' is no longer watched; it continues`);
}

async function checkpointOf(
  documents: DocumentStore,
  name: string,
  generation: number,
): Promise<StoredCheckpoint | null> {
  const id = checkpointId(name, generation);
  return (await readCheckpoints(documents, [id])).get(id) ?? null;
}
