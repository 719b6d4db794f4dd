import { isStoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { EventStore } from '../../ports/event-store.ts';
import { whileAway } from './back-off.ts';
import { FencedOff } from './fenced-off.ts';
import { GenerationKeeper } from './generation-keeper.ts';
import type { Generation, Pointer } from './generations.ts';
import { Loop } from './loop.ts';
import type { Progress } from './progress.ts';
import type { Projection } from '../models/projection.ts';
import { Track } from './projector.ts';

/** Pace at which is looked for what other nodes ask for, and for generations to drop, in ms. */
const LOOK_EVERY_MS = 3_000;

export type TenureOptions = Readonly<{
  events: EventStore;
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  projections: readonly Projection[];
  progress: Progress;
  /** Of the lease. */
  fence: number;
  /** Unique name of this tenure. */
  writer: string;
  /** Ends it: the node stops, or the lease is lost. */
  signal: AbortSignal;
  /** Told of every pointer as it now holds. */
  pointerHolds(projection: string, pointer: Pointer): void;
}>;

/** What this node runs of one projection. `active` is `null` while the generation that is read is of another version of the code. */
export type Running = Readonly<{ projection: Projection; active: Track | null; building: Track | null }>;

/**
 * The time in which this node runs the projections: takes over the checkpoints, builds generations that are to be built, and swaps when one
 * has caught up.
 */
export class Tenure {
  readonly #options: TenureOptions;
  readonly #keeper: GenerationKeeper;
  readonly #loop: Loop;
  readonly #running = new Map<string, Running>();
  #unavailable: string | null = null;
  #poke = new AbortController();

  constructor(options: TenureOptions) {
    this.#options = options;
    this.#keeper = new GenerationKeeper(options);
    this.#loop = new Loop({
      ...options,
      isAwaited: () => options.progress.isAwaited,
      moved: (track) => this.#moved(track),
    });
  }

  get loop(): Loop {
    return this.#loop;
  }

  /** Why it waits for a store, `null` when it does not. */
  get unavailable(): string | null {
    return this.#unavailable ?? this.#loop.unavailable;
  }

  /** `undefined` before it has taken over. */
  running(projection: string): Running | undefined {
    return this.#running.get(projection);
  }

  /** Looks at the pointers now: something was asked for. */
  poke(): void {
    this.#poke.abort();
  }

  /** Runs until the signal. Throws `FencedOff` when another runner is at it, and `CLOSED` when a store was closed. */
  async run(): Promise<void> {
    const { clock, projections, progress, signal } = this.#options;
    const away = (error: Error | null): void => {
      this.#unavailable = error?.message ?? null;
    };
    try {
      for (const projection of projections) {
        await whileAway({ clock, signal, away }, () => this.#takeOver(projection));
      }
      if (signal.aborted) return;
      this.#loop.spawn((stop) => this.#watch(stop));
      await this.#loop.run(this.#tracks());
      for (const track of this.#tracks()) await track.save();
    } finally {
      for (const { name } of projections) progress.release(name);
    }
  }

  #tracks(): readonly Track[] {
    return [...this.#running.values()]
      .flatMap(({ active, building }) => [active, building])
      .filter((track) => track !== null);
  }

  async #takeOver(projection: Projection): Promise<void> {
    const pointer = await this.#keeper.prepare(projection);
    const own = pointer.active.version === projection.version;
    const active = own ? await this.#open(projection, pointer.active) : null;
    const building = pointer.building === null ? null : await this.#open(projection, pointer.building);
    this.#running.set(projection.name, { projection, active, building });
    if (active !== null) this.#options.progress.advance(projection.name, active.position, false);
  }

  #open(projection: Projection, { generation }: Generation): Promise<Track> {
    return Track.open({ ...this.#options, projection, generation });
  }

  async #moved(track: Track): Promise<void> {
    const { name } = track.projection;
    const running = this.#running.get(name);
    if (running?.active === track) this.#options.progress.advance(name, track.position, track.parked !== null);
    if (running?.building === track && this.#loop.isLive(track)) await this.#swap(running, track);
  }

  /** The generation that was built answers from now on, unless the one before is ahead of it: then a little later. */
  async #swap({ projection, active }: Running, track: Track): Promise<void> {
    const ahead = active?.position ?? null;
    if (active?.parked === null && ahead !== null && !hasReached(track.position, ahead)) return;
    const pointer = await this.#keeper.swap(projection, track.generation);
    if (pointer.active.generation !== track.generation) return;
    this.#running.set(projection.name, { projection, active: track, building: null });
    if (active !== null) this.#loop.remove(active);
    this.#options.progress.advance(projection.name, track.position, false);
    this.#options.logger.info({ projection: track.id }, 'a new generation of a projection answers');
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
        this.#options.logger.warn({ err: error }, 'generations of projections not looked after this time');
      }
    }
  }

  async #look({ projection, active, building }: Running): Promise<void> {
    const pointer = await this.#keeper.tend(projection);
    const current = this.#running.get(projection.name);
    // A swap came in between.
    if (pointer === null || current?.active !== active || current.building !== building) return;
    if (active !== null && pointer.active.generation !== active.generation) {
      throw new FencedOff(`another runner changed the generations of '${projection.name}'`);
    }
    const asked = pointer.building?.version === projection.version ? pointer.building : null;
    if (asked?.generation === building?.generation) return;
    if (building !== null) this.#loop.remove(building);
    const track = asked === null ? null : await this.#open(projection, asked);
    this.#running.set(projection.name, { projection, active, building: track });
    if (track !== null) this.#loop.add(track);
  }
}
