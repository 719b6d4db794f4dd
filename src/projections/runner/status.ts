import { isStoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import { CHECKPOINTS, type Checkpoint, checkpointId, type Parked, readCheckpoint } from './checkpoint.ts';
import { type Generation, type Pointer, readPointers } from './generations.ts';
import type { Projection } from '../models/projection.ts';
import type { Tenure } from './runner.ts';

/**
 * - `catching-up`: this node runs it, and it has not seen the end of the log yet;
 * - `live`: this node runs it, and it follows the log;
 * - `parked`: an event that it cannot take holds it up;
 * - `waiting`: another node runs it, or none yet;
 * - `unavailable`: a store is away, and it goes on by itself when that is back.
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
  /** Events that wait; `null` when it is more than none and not known. */
  lag: number | null;
  /** Age of the last event that was taken, in ms, while others wait; 0 when none waits, `null` when not known. */
  lagMs: number | null;
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
  clock: Clock;
  projections: readonly Projection[];
  /** Resolves once the collections that all projections share are defined. */
  ready(): Promise<void>;
  /** While this node runs the projections. */
  tenure: Tenure | null;
  /** Why this node cannot go on, `null` when it can. */
  unavailable: string | null;
}>;

type Progressed = Pick<Checkpoint, 'position' | 'events' | 'parked'>;
type Stored = Readonly<{ pointers: ReadonlyMap<string, Pointer>; checkpoints: ReadonlyMap<string, Progressed> }>;

const NOTHING: Progressed = { position: null, events: 0, parked: null };

/** How each projection stands, from memory where this node runs it and from the store where another does. */
export async function projectionStatus(options: StatusOptions): Promise<readonly ProjectionStatus[]> {
  const { documents, projections, ready } = options;
  try {
    await ready();
    const stored = await readStored(documents, projections);
    return projections.map((projection) => describe(options, projection, stored));
  } catch (error) {
    if (!isStoreError(error)) throw error;
    const nothing: Stored = { pointers: new Map(), checkpoints: new Map() };
    return projections.map((projection) => describe({ ...options, unavailable: error.message }, projection, nothing));
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
  const checkpoints = new Map<string, Progressed>();
  if (ids.length === 0) return { pointers, checkpoints };
  for (const [id, document] of await documents.getMany(CHECKPOINTS.name, ids)) {
    checkpoints.set(id, readCheckpoint(document) ?? NOTHING);
  }
  return { pointers, checkpoints };
}

function describe(
  { clock, tenure, unavailable }: StatusOptions,
  { name, version }: Projection,
  { pointers, checkpoints }: Stored,
): ProjectionStatus {
  const pointer = pointers.get(name);
  const running = tenure?.running(name);
  const active: Progressed = running?.active ?? storedProgress(checkpoints, name, pointer?.active) ?? NOTHING;
  const building = running?.building ?? storedProgress(checkpoints, name, pointer?.building);
  const parked = active.parked ?? (running?.active === null ? (building?.parked ?? null) : null);
  const track = running?.active ?? running?.building;
  const live = track !== undefined && track !== null && tenure?.loop.isLive(track) === true;
  const end = tenure?.loop.end;
  const behind = end?.recordedAt === null || end === undefined ? null : clock.now() - Date.parse(end.recordedAt);
  return {
    name,
    version,
    state: stateOf(parked !== null, unavailable !== null, running !== undefined, live),
    generation: running?.active?.generation ?? pointer?.active.generation ?? null,
    activeVersion: running?.active ? version : (pointer?.active.version ?? null),
    checkpoint: active.position,
    events: active.events,
    lag: live && end?.reached === true ? 0 : null,
    lagMs: live ? (end?.reached === true ? 0 : behind) : null,
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

function stateOf(parked: boolean, unavailable: boolean, running: boolean, live: boolean): ProjectionState {
  if (parked) return 'parked';
  if (unavailable) return 'unavailable';
  if (!running) return 'waiting';
  return live ? 'live' : 'catching-up';
}
