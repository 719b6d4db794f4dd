import { backOffMs, STORE_BACK_OFF } from '../../kernel/back-off.ts';
import { isStoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached, type Position } from '../../kernel/position.ts';
import { compareWithLog } from '../../log/anchor.ts';
import { readCheckpoints } from '../../log/checkpoint.ts';
import type { EventLog } from '../../log/event-log.ts';
import { LogDiverged } from '../../log/follower.ts';
import { FencedOff } from '../../log/lease.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { Random } from '../../ports/random.ts';
import type { Projection } from '../models/projection.ts';
import { checkpointId, type Generation, GenerationManager, type Pointer } from './generations.ts';
import type { Progress } from './progress.ts';
import { Projector } from './projector.ts';
import { SharedFollower } from './shared-follower.ts';

/** Pace of looking for rebuilds that other nodes request, and for generations to drop, in ms. */
const LOOK_EVERY_MS = 3_000;

export type RunnerOptions = Readonly<{
  log: EventLog;
  documents: DocumentStore;
  clock: Clock;
  random: Random;
  logger: Logger;
  projections: readonly Projection[];
  progress: Progress;
  /** Of the lease. */
  fence: number;
  /** Unique name of this run. */
  writer: string;
  /** Ends it: the node stops, or the lease is lost. */
  signal: AbortSignal;
  /** Called with each pointer as it now holds. */
  pointerHolds(projection: string, pointer: Pointer): void;
}>;

/**
 * What this node runs of one projection. `active` is `null` while the generation that is read is of another version of the code, or of a log that was
 * restored from an older copy since.
 */
export type Running = Readonly<{ projection: Projection; active: Projector | null; building: Projector | null }>;

/**
 * Runs the projections under one lease: takes over the checkpoints, builds generations that are to be built, and swaps when one has caught up.
 */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #generations: GenerationManager;
  readonly #follower: SharedFollower;
  readonly #running = new Map<string, Running>();
  /** Active generations that are not complete: where the log ended when this node began to build them. */
  readonly #incomplete = new Map<Projector, Position>();
  #unavailable: string | null = null;
  #poke = new AbortController();

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#generations = new GenerationManager(options);
    this.#follower = new SharedFollower({
      ...options,
      isAwaited: () => options.progress.isAwaited,
      moved: (projector) => this.#moved(projector),
    });
  }

  get follower(): SharedFollower {
    return this.#follower;
  }

  /** Why it waits for a store, `null` when it does not. */
  get unavailable(): string | null {
    return this.#unavailable ?? this.#follower.unavailable;
  }

  /** `undefined` before it has taken over. */
  running(projection: string): Running | undefined {
    return this.#running.get(projection);
  }

  /** Reads the pointers now: a rebuild was requested. */
  poke(): void {
    this.#poke.abort();
  }

  /** Runs until the signal. Throws `FencedOff` when another node runs them too, `LogDiverged`, and `CLOSED` when a store was closed. */
  async run(): Promise<void> {
    const { projections, progress, signal } = this.#options;
    try {
      for (const projection of projections) await this.#takeOverWhenAvailable(projection);
      if (signal.aborted) return;
      this.#follower.spawn((stop) => this.#watch(stop));
      await this.#follower.run(this.#projectors());
      await this.#save();
    } catch (error) {
      // What was written for a lost part of the log must be recognised as such at the next start.
      if (error instanceof LogDiverged) await this.#save();
      throw error;
    } finally {
      for (const { name } of projections) progress.release(name);
    }
  }

  async #save(): Promise<void> {
    for (const projector of this.#projectors()) await projector.save();
  }

  #projectors(): readonly Projector[] {
    return [...this.#running.values()]
      .flatMap(({ active, building }) => [active, building])
      .filter((projector) => projector !== null);
  }

  async #takeOverWhenAvailable(projection: Projection): Promise<void> {
    const { clock, random, signal } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#takeOver(projection);
        this.#unavailable = null;
        return;
      } catch (error) {
        if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
        this.#unavailable = error.message;
        await clock.sleep(backOffMs(STORE_BACK_OFF, attempt, random.fraction()), signal);
      }
    }
  }

  async #takeOver(projection: Projection): Promise<void> {
    const head = await this.#options.log.head();
    const prepared = await this.#generations.prepare(projection, head === null);
    const pointer = await this.#ofThisLog(projection, prepared);
    const isOwn = pointer.active.version === projection.version && pointer.restoredAt === null;
    const active = isOwn ? await this.#open(projection, pointer.active) : null;
    const building = pointer.building === null ? null : await this.#open(projection, pointer.building);
    this.#running.set(projection.name, { projection, active, building });
    if (active === null) return;
    if (pointer.isComplete || head === null) this.#options.progress.advance(projection.name, active.position, false);
    else this.#incomplete.set(active, head);
  }

  /** The pointer, after a new generation was begun where one is not of this log: a log that was restored from an older copy. */
  async #ofThisLog(projection: Projection, pointer: Pointer): Promise<Pointer> {
    const { active, building, restoredAt } = pointer;
    const [isActive, isBuilding] = [
      restoredAt !== null || (await this.#isOfThisLog(projection, active)),
      building === null || (await this.#isOfThisLog(projection, building)),
    ];
    if (isActive && isBuilding) return pointer;
    return this.#generations.replace(projection, {
      active: isActive ? null : active.generation,
      building: isBuilding ? null : (building?.generation ?? null),
    });
  }

  async #isOfThisLog({ name }: Projection, { generation }: Generation): Promise<boolean> {
    const { log, documents, clock, logger } = this.#options;
    const id = checkpointId(name, generation);
    const checkpoint = (await readCheckpoints(documents, [id])).get(id) ?? null;
    if (checkpoint === null) return true;
    const { isSame, shared } = await compareWithLog(log, checkpoint, clock.now());
    if (isSame) return true;
    log.restored();
    const { anchor } = checkpoint;
    logger.error(
      { projection: id, anchor, shared },
      'a read model has events that the event log does not have: it was restored from an older copy; the read model is built again',
    );
    return false;
  }

  #open(projection: Projection, { generation }: Generation): Promise<Projector> {
    return Projector.open({ ...this.#options, projection, generation });
  }

  async #moved(projector: Projector): Promise<void> {
    const { name } = projector.projection;
    const running = this.#running.get(name);
    if (running?.active === projector) {
      await this.#completeIfBuilt(projector);
      const isParked = projector.parked !== null;
      // Requests wait for positions of a generation that can be read.
      const isReadable = !this.#incomplete.has(projector);
      if (isReadable || isParked) {
        this.#options.progress.advance(name, isReadable ? projector.position : null, isParked);
      }
    }
    if (running?.building === projector && this.#follower.isLive(projector)) await this.#swap(running, projector);
  }

  /** Once the active generation contains what the log had when its building began, it can be read. */
  async #completeIfBuilt(projector: Projector): Promise<void> {
    const head = this.#incomplete.get(projector);
    const isBuilt = head === undefined || hasReached(projector.position, head) || this.#follower.isLive(projector);
    if (head === undefined || !isBuilt) return;
    await this.#generations.complete(projector.projection, projector.generation);
    this.#incomplete.delete(projector);
    this.#options.logger.info({ projection: projector.id }, 'the first generation of a projection is complete');
  }

  /** The generation that was built is read from now on, unless the one before has come further: then a little later. */
  async #swap({ projection, active }: Running, projector: Projector): Promise<void> {
    const reached = active?.position ?? null;
    if (active?.parked === null && reached !== null && !hasReached(projector.position, reached)) return;
    const pointer = await this.#generations.swap(projection, projector.generation);
    if (pointer.active.generation !== projector.generation) return;
    this.#running.set(projection.name, { projection, active: projector, building: null });
    if (active !== null) {
      this.#incomplete.delete(active);
      this.#follower.remove(active);
    }
    this.#options.progress.advance(projection.name, projector.position, false);
    this.#options.logger.info({ projection: projector.id }, 'a new generation of a projection is read from now on');
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOK_EVERY_MS, AbortSignal.any([signal, this.#poke.signal]));
      if (signal.aborted) return;
      this.#poke = new AbortController();
      try {
        for (const running of [...this.#running.values()]) await this.#look(running);
      } catch (error) {
        if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
        this.#options.logger.warn({ err: error }, 'the generations of projections could not be read this time');
      }
    }
  }

  async #look({ projection, active, building }: Running): Promise<void> {
    const pointer = await this.#generations.tend(projection);
    const current = this.#running.get(projection.name);
    // They were swapped meanwhile.
    if (pointer === null || current?.active !== active || current.building !== building) return;
    if (active !== null && pointer.active.generation !== active.generation) {
      throw new FencedOff(`another node changed the generations of '${projection.name}'`);
    }
    const wanted = pointer.building?.version === projection.version ? pointer.building : null;
    if (wanted?.generation === building?.generation) return;
    if (building !== null) this.#follower.remove(building);
    const projector = wanted === null ? null : await this.#open(projection, wanted);
    this.#running.set(projection.name, { projection, active, building: projector });
    if (projector !== null) this.#follower.add(projector);
  }
}
