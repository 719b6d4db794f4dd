import { isStoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import { type Parked, readCheckpoints, type StoredCheckpoint } from '../../log/checkpoint.ts';
import type { FollowerStatus } from '../../log/follower.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { Projection } from '../models/projection.ts';
import { checkpointId, type Generation, type Pointer, readPointers } from './generations.ts';
import type { Runner } from './runner.ts';

/**
 * - `catching-up`: this node runs it, and it has not seen the end of the log yet;
 * - `live`: this node runs it, and it has seen the end of the log;
 * - `parked`: it stopped at an event that it cannot fold;
 * - `waiting`: another node runs it, or none yet;
 * - `unavailable`: a store is unavailable, and it continues by itself when that is back.
 */
export type ProjectionState = 'catching-up' | 'live' | 'parked' | 'waiting' | 'unavailable';

export type ProjectionStatus = Readonly<{
  name: string;
  /** Of this node's code. */
  version: number;
  state: ProjectionState;
  /** The generation that is read, and the version of the code that makes it; `null` before there is one. */
  generation: number | null;
  activeVersion: number | null;
  /** Everything up to here can be read. */
  checkpoint: Position | null;
  /** Events it has handled since the generation began. */
  events: number;
  /** Events that wait, at most; `null` when it is not known. */
  lag: number | null;
  /** Age of the last event that was handled, in ms, while others wait; 0 when none waits, `null` when not known. */
  lagMs: number | null;
  /** Since when the generation that is read is known to be of a log that was restored from an older copy; another one is built. */
  restoredAt: string | null;
  /** Why it is parked, and at which event. */
  parked: Parked | null;
  /** Why it is unavailable. */
  unavailable: string | null;
  /** The generation that is built beside. */
  building: BuildingStatus | null;
}>;

export type BuildingStatus = Readonly<{
  generation: number;
  version: number;
  checkpoint: Position | null;
  events: number;
  parked: Parked | null;
}>;

export type StatusOptions = Readonly<{
  documents: DocumentStore;
  projections: readonly Projection[];
  /** Resolves once the collections that all projections share are defined. */
  ready(): Promise<void>;
  /** While this node runs the projections. */
  runner: Runner | null;
  /** Why this node cannot run them, `null` when it can. */
  unavailable: string | null;
}>;

type Progressed = Pick<StoredCheckpoint, 'position' | 'events' | 'parked'>;
type Stored = Readonly<{ pointers: ReadonlyMap<string, Pointer>; checkpoints: ReadonlyMap<string, Progressed> }>;

const NOTHING: Progressed = { position: null, events: 0, parked: null };

/** The state of each projection, from memory where this node runs it and from the store where another does. */
export async function projectionStatus(options: StatusOptions): Promise<readonly ProjectionStatus[]> {
  const { documents, projections, ready } = options;
  try {
    await ready();
    const stored = await readStored(documents, projections);
    return await Promise.all(projections.map((projection) => describe(options, projection, stored)));
  } catch (error) {
    if (!isStoreError(error)) throw error;
    const nothing: Stored = { pointers: new Map(), checkpoints: new Map() };
    const unavailable = { ...options, unavailable: error.message };
    return Promise.all(projections.map((projection) => describe(unavailable, projection, nothing)));
  }
}

async function readStored(documents: DocumentStore, projections: readonly Projection[]): Promise<Stored> {
  const pointers = await readPointers(
    documents,
    projections.map(({ name }) => name),
  );
  const ids = [...pointers].flatMap(([name, { active, building }]) =>
    [active, building]
      .filter((generation) => generation !== null)
      .map(({ generation }) => checkpointId(name, generation)),
  );
  const found = await readCheckpoints(documents, ids);
  return { pointers, checkpoints: new Map([...found].map(([id, checkpoint]) => [id, checkpoint ?? NOTHING])) };
}

async function describe(
  { runner, unavailable }: StatusOptions,
  { name, version }: Projection,
  { pointers, checkpoints }: Stored,
): Promise<ProjectionStatus> {
  const pointer = pointers.get(name);
  const running = runner?.running(name);
  const restoredAt = pointer?.restoredAt ?? null;
  const readable = restoredAt === null ? pointer?.active : null;
  const active: Progressed = running?.active ?? storedProgress(checkpoints, name, readable) ?? NOTHING;
  const building = running?.building ?? storedProgress(checkpoints, name, pointer?.building);
  const parked = active.parked ?? (running?.active === null ? (building?.parked ?? null) : null);
  const projector = running?.active ?? running?.building ?? null;
  const isLive = projector !== null && runner?.follower.isLive(projector) === true;
  const follower: FollowerStatus | null =
    projector === null || runner === null ? null : await runner.follower.status(projector);
  return {
    name,
    version,
    state: stateOf(parked !== null, unavailable !== null, running !== undefined, isLive),
    generation: running?.active?.generation ?? pointer?.active.generation ?? null,
    activeVersion: running?.active ? version : (pointer?.active.version ?? null),
    checkpoint: active.position,
    events: active.events,
    lag: follower?.lagEvents ?? null,
    lagMs: follower?.lagMs ?? null,
    restoredAt,
    parked,
    unavailable,
    building:
      pointer?.building && building
        ? {
            generation: pointer.building.generation,
            version: pointer.building.version,
            checkpoint: building.position,
            events: building.events,
            parked: building.parked,
          }
        : null,
  };
}

function storedProgress(
  checkpoints: Stored['checkpoints'],
  name: string,
  generation: Generation | null | undefined,
): Progressed | null {
  if (generation === null || generation === undefined) return null;
  return checkpoints.get(checkpointId(name, generation.generation)) ?? NOTHING;
}

function stateOf(parked: boolean, unavailable: boolean, running: boolean, isLive: boolean): ProjectionState {
  if (parked) return 'parked';
  if (unavailable) return 'unavailable';
  if (!running) return 'waiting';
  return isLive ? 'live' : 'catching-up';
}
