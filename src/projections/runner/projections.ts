import { randomUUID } from 'node:crypto';
import { isStoreError, StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { EventStore } from '../../ports/event-store.ts';
import { CHECKPOINTS } from './checkpoint.ts';
import { FencedOff } from './fenced-off.ts';
import { POINTERS } from './generations.ts';
import { createLease, type HeldLease, type Lease } from '../../log/lease.ts';
import { Progress } from './progress.ts';
import type { Projection } from '../models/projection.ts';
import { createReader, type Reader, type ReadModels } from './read-models.ts';
import { type RebuildProgress, rebuild } from './rebuild.ts';
import { type ProjectionStatus, projectionStatus } from './status.ts';
import { Tenure } from './runner.ts';

/** Pause before the lease is asked for again by who had to give up running, in ms. */
const STAND_BACK_MS = 1_000;

export type ProjectionsOptions = Readonly<{
  events: EventStore;
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  projections: readonly Projection[];
  /** Unique among the living nodes. Should be the same after a restart of the same node, so that it need not wait for its own lease to run out. */
  owner: string;
  /** Whether this node runs the projections when no other does. Otherwise it only reads. */
  run: boolean;
}>;

/** The projections of one node. Neither store is closed with it; it is closed before them. */
export interface Projections {
  readonly readModels: ReadModels;
  /** Begins to run them, or to wait for the chance. Does nothing where `run` is false. Once. */
  start(): void;
  status(): Promise<readonly ProjectionStatus[]>;
  /** Builds a projection anew beside the one that answers, on whichever node runs them; see `rebuild.ts`. */
  rebuild(name: string, onProgress?: (progress: RebuildProgress) => void): Promise<void>;
  /** Finishes the step that is under way, stores the checkpoints, and gives up the lease. May be called twice. */
  close(): Promise<void>;
}

export function createProjections(options: ProjectionsOptions): Projections {
  return new Node(options);
}

class Node implements Projections {
  readonly readModels: Reader;
  readonly #options: ProjectionsOptions;
  readonly #progress: Progress;
  readonly #lease: Lease;
  readonly #closing = new AbortController();
  #defining: Promise<void> | null = null;
  #tenure: Tenure | null = null;
  #running: Promise<void> | null = null;
  /** Why it does not run though it should, in words. */
  #failure: string | null = null;

  constructor(options: ProjectionsOptions) {
    this.#options = options;
    const { documents, owner } = options;
    const ready = (): Promise<void> => this.#ready();
    this.#progress = new Progress({
      ...options,
      poll: (names) => this.readModels.stored(names),
      waits: () => this.#tenure?.loop.hurry(),
    });
    this.readModels = createReader({ ...options, progress: this.#progress, ready });
    this.#lease = createLease({ ...options, documents, name: 'projections', owner });
  }

  start(): void {
    if (this.#options.run) this.#running ??= this.#run();
  }

  status(): Promise<readonly ProjectionStatus[]> {
    const unavailable = this.#tenure?.unavailable ?? this.#lease.unavailable ?? this.#failure;
    return projectionStatus({ ...this.#options, ready: () => this.#ready(), tenure: this.#tenure, unavailable });
  }

  async rebuild(name: string, onProgress?: (progress: RebuildProgress) => void): Promise<void> {
    const projection = this.#options.projections.find((candidate) => candidate.name === name);
    if (projection === undefined) throw new StoreError('INVALID', `no projection '${name}'`);
    await this.#ready();
    await rebuild({
      documents: this.#options.documents,
      projection,
      asked: () => this.#tenure?.poke(),
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
        const lease = await this.#lease.acquire(signal);
        if (lease === null) return;
        this.#failure = null;
        await this.#runUnder(lease);
      } catch (error) {
        this.#report(error);
        if (isStoreError(error, 'CLOSED')) return;
      }
      await this.#options.clock.sleep(STAND_BACK_MS, signal);
    }
  }

  async #runUnder(lease: HeldLease): Promise<void> {
    const { logger, owner } = this.#options;
    const tenure = new Tenure({
      ...this.#options,
      progress: this.#progress,
      fence: lease.fence,
      writer: `${owner}/${randomUUID()}`,
      signal: AbortSignal.any([this.#closing.signal, lease.lost]),
      pointerHolds: (name, pointer) => this.readModels.pointerHolds(name, pointer),
    });
    this.#tenure = tenure;
    logger.info({ owner, fence: lease.fence }, 'this node runs the projections');
    try {
      await tenure.run();
    } finally {
      this.#tenure = null;
      await lease.release();
      logger.info({ owner, fence: lease.fence }, 'this node runs the projections no more');
    }
  }

  #report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#failure = error instanceof FencedOff ? null : message;
    const level = error instanceof FencedOff || isStoreError(error) ? 'warn' : 'error';
    this.#options.logger[level]({ err: error }, 'projections gave up running for now');
  }
}
