import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { CHECKPOINTS } from '../../log/checkpoint.ts';
import type { EventLog } from '../../log/event-log.ts';
import { type FollowerStatus, LogDiverged } from '../../log/follower.ts';
import { FencedOff, type HeldPartition, Leases } from '../../log/lease.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { Random } from '../../ports/random.ts';
import type { Projection } from '../models/projection.ts';
import { POINTERS, prepareEmpty, readPointers } from './generations.ts';
import { Progress } from './progress.ts';
import { createReader, type Reader, type ReadModels } from './read-models.ts';
import { type RebuildProgress, rebuild } from './rebuild.ts';
import { Runner } from './runner.ts';
import { type ProjectionStatus, projectionStatus } from './status.ts';

/** Pause after the collections could not be defined, in ms. */
const RETRY_MS = 1_000;
/** Pause before a log that was restored is followed, in ms. */
const DIVERGED_MS = 50;

export type ProjectionsOptions = Readonly<{
  log: EventLog;
  documents: DocumentStore;
  clock: Clock;
  random: Random;
  logger: Logger;
  projections: readonly Projection[];
  /** Unique among the running nodes. Should be the same after a restart of the same node, so that it need not wait for its own lease to expire. */
  node: string;
  /** Whether this node runs the projections when no other does. Otherwise it only reads. */
  run: boolean;
}>;

/** The projections of one node. To be closed before the stores, which it does not close. */
export interface Projections {
  readonly readModels: ReadModels;
  /**
   * Makes read models readable of which the log has no event yet, so that a new installation answers at once. To be called before `start`.
   * Throws what the stores throw.
   */
  prepare(): Promise<void>;
  /** Starts to run them, or to wait for the lease. Does nothing where `run` is false, or when it is repeated. */
  start(): void;
  status(): Promise<readonly ProjectionStatus[]>;
  /** The followers that run on this node. */
  followers(): Promise<readonly FollowerStatus[]>;
  /** Rebuilds a projection beside the one that is read, on the node that runs them; see `rebuild.ts`. */
  rebuild(name: string, onProgress?: (progress: RebuildProgress) => void): Promise<void>;
  /** Finishes the step in progress, stores the checkpoints, and gives up the lease. May be called twice. */
  close(): Promise<void>;
}

export function createProjections(options: ProjectionsOptions): Projections {
  return new NodeProjections(options);
}

class NodeProjections implements Projections {
  readonly readModels: Reader;
  readonly #options: ProjectionsOptions;
  readonly #progress: Progress;
  readonly #leases: Leases;
  readonly #closing = new AbortController();
  #defining: Promise<void> | null = null;
  #runner: Runner | null = null;
  #running: Promise<void> | null = null;
  /** Why it does not run though it should. */
  #failure: string | null = null;

  constructor(options: ProjectionsOptions) {
    this.#options = options;
    const { node } = options;
    const ready = (): Promise<void> => this.#ready();
    this.#progress = new Progress({
      ...options,
      poll: (names) => this.readModels.stored(names),
      waits: () => this.#runner?.follower.hurry(),
    });
    this.readModels = createReader({ ...options, progress: this.#progress, ready });
    this.#leases = new Leases({ ...options, role: 'projections', node, partitions: 1 });
    // The positions that this node's projections have reached mean nothing in the restored log.
    options.log.onRestored(() => {
      for (const { name } of options.projections) this.#progress.release(name);
    });
  }

  async prepare(): Promise<void> {
    const { run, log, documents, projections } = this.#options;
    if (!run) return;
    await this.#ready();
    const names = projections.map(({ name }) => name);
    const pointers = await readPointers(documents, names);
    for (const projection of projections.filter(({ name }) => !pointers.has(name))) {
      const filter = { types: projection.handles };
      const { events } = await log.readAll({ direction: 'forwards', from: null, limit: 1, filter });
      if (events.length === 0) await prepareEmpty(documents, projection);
    }
  }

  start(): void {
    if (this.#options.run) this.#running ??= this.#run();
  }

  status(): Promise<readonly ProjectionStatus[]> {
    const unavailable = this.#runner?.unavailable ?? this.#leases.unavailable ?? this.#failure;
    return projectionStatus({ ...this.#options, ready: () => this.#ready(), runner: this.#runner, unavailable });
  }

  async followers(): Promise<readonly FollowerStatus[]> {
    return this.#runner?.follower.all() ?? [];
  }

  async rebuild(name: string, onProgress?: (progress: RebuildProgress) => void): Promise<void> {
    const projection = this.#options.projections.find((candidate) => candidate.name === name);
    if (projection === undefined) throw new StoreError('INVALID', `no projection '${name}'`);
    await this.#ready();
    await rebuild({
      documents: this.#options.documents,
      clock: this.#options.clock,
      projection,
      requested: () => this.#runner?.poke(),
      ...(onProgress && { onProgress }),
      signal: this.#closing.signal,
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#progress.close();
    await this.#running;
  }

  /** Defines what all projections share; again after it failed. */
  #ready(): Promise<void> {
    if (this.#defining === null) {
      this.#defining = this.#options.documents.define([CHECKPOINTS, POINTERS]);
      this.#defining.catch(() => {
        this.#defining = null;
      });
    }
    return this.#defining;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#ready();
        return await this.#leases.run(signal, (held) => this.#runUnder(held));
      } catch (error) {
        this.#report(error);
        if (isStoreError(error, 'CLOSED')) return;
      }
      await this.#options.clock.sleep(RETRY_MS, signal);
    }
  }

  async #runUnder({ fence, lost }: HeldPartition): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, lost]);
    while ((await this.#runOnce(fence, signal)) === 'diverged') await this.#options.clock.sleep(DIVERGED_MS, signal);
  }

  /** `diverged`: the log was restored from an older copy while it ran, which the next run begins with. */
  async #runOnce(fence: number, signal: AbortSignal): Promise<'diverged' | 'ended'> {
    const { node } = this.#options;
    const runner = new Runner({
      ...this.#options,
      progress: this.#progress,
      fence,
      writer: `${node}/${fence}`,
      signal,
      pointerHolds: (name, pointer) => this.readModels.pointerHolds(name, pointer),
    });
    this.#runner = runner;
    this.#failure = null;
    try {
      await runner.run();
    } catch (error) {
      // The follower has logged that.
      if (error instanceof LogDiverged && !signal.aborted) return 'diverged';
      this.#report(error);
    } finally {
      this.#runner = null;
    }
    return 'ended';
  }

  #report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const isNews = this.#failure !== message;
    this.#failure = error instanceof FencedOff ? null : message;
    const level = error instanceof FencedOff || isStoreError(error) ? 'warn' : 'error';
    if (isNews)
      this.#options.logger[level]({ err: error }, 'the projections stopped on this node and will be started again');
  }
}
