import type { Logger } from '../../kernel/logger.ts';
import { hasReached, laterPosition, type Position } from '../../kernel/position.ts';
import { together } from '../../kernel/together.ts';
import { anchorOf } from '../../log/anchor.ts';
import type { Checkpoint } from '../../log/checkpoint.ts';
import type { EventBatch, EventLog } from '../../log/event-log.ts';
import { Follower, type FollowerStatus } from '../../log/follower.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { Random } from '../../ports/random.ts';
import { BatchDelay } from './batch-delay.ts';
import type { Projector } from './projector.ts';

/** Events that are read at once, and those that are folded until other work runs. */
const BATCH_MAX = 1_024;
const STEP_MAX = 128;
/** Longest time for which the stored checkpoint of a projector lags, in ms. */
const SAVE_AFTER_MS = 50;

export type SharedFollowerOptions = Readonly<{
  log: EventLog;
  documents: Pick<DocumentStore, 'purge'>;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Ends it. */
  signal: AbortSignal;
  /** Whether a request waits for projectors to move; see `hurry`. */
  isAwaited(): boolean;
  /** A projector moved, was parked, or has caught up. What it throws is treated as if the projector had thrown it. */
  moved(projector: Projector): Promise<void> | void;
}>;

/**
 * Serves the log to projectors: one follower for all that are up to date. A lagging projector has a follower of its own until it has caught up, and
 * then joins the others.
 */
export class SharedFollower {
  readonly #options: SharedFollowerOptions;
  readonly #delay: BatchDelay;
  readonly #follower: Follower;
  readonly #catchingUp = new Map<Projector, Follower>();
  readonly #failed = new AbortController();
  readonly #stop: AbortSignal;
  readonly #tasks = new Set<Promise<void>>();
  readonly #members = new Set<Projector>();
  readonly #removed = new WeakSet<Projector>();
  /** The part of the log that all members have taken, and the end of the part that is being handed to them. */
  #taken: Checkpoint = { position: null, anchor: null };
  #dispatched: Position | null = null;
  #caughtUp = false;
  /** Since when the batch in progress is handled. */
  #handledSince = 0;
  /** When the checkpoints were last stored. */
  #savedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SharedFollowerOptions) {
    this.#options = options;
    const { clock, isAwaited } = options;
    this.#delay = new BatchDelay({ isAwaited: () => isAwaited(), clock });
    this.#stop = AbortSignal.any([options.signal, this.#failed.signal]);
    this.#follower = new Follower({
      ...options,
      name: 'projections',
      batchSize: BATCH_MAX,
      checkpoint: () => this.#taken,
      handle: (batch) => this.#handle(batch),
      between: (batch) => this.#between(batch),
      idle: () => this.#idle(),
    });
  }

  /** Whether the projector is served by the common follower, and that has seen the end of the log. */
  isLive(projector: Projector): boolean {
    return this.#caughtUp && this.#members.has(projector);
  }

  /** The state of the follower that serves a projector. */
  status(projector: Projector): Promise<FollowerStatus> {
    return (this.#catchingUp.get(projector) ?? this.#follower).status();
  }

  /** The state of the common follower and of those of lagging projectors. */
  all(): Promise<readonly FollowerStatus[]> {
    return Promise.all([this.#follower, ...this.#catchingUp.values()].map((follower) => follower.status()));
  }

  /** Why it waits for a store, `null` when it does not. */
  get unavailable(): string | null {
    const followers = [this.#follower, ...this.#catchingUp.values()];
    return followers.find(({ lastError }) => lastError !== null)?.lastError ?? null;
  }

  /** A request waits for projectors to move from now on. */
  hurry(): void {
    this.#delay.hurry();
  }

  /** Runs until the signal. Throws `FencedOff` when another node writes the same documents, and `CLOSED` when a store was closed. */
  async run(projectors: readonly Projector[]): Promise<void> {
    for (const { taken } of projectors) {
      if (laterPosition(this.#taken.position, taken.position) !== this.#taken.position) this.#taken = taken;
    }
    this.#dispatched = this.#taken.position;
    for (const projector of projectors) this.add(projector);
    this.spawn((signal) => this.#follower.run(signal));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    if (this.#failed.signal.aborted) throw this.#failed.signal.reason;
  }

  /** Serves one more projector, from where it is. Only while it runs. */
  add(projector: Projector): void {
    if (this.#hasCaughtUp(projector)) this.#members.add(projector);
    else this.spawn((signal) => this.#catchUp(projector, signal));
  }

  /** Stops serving a projector, once the step it is in is done. */
  remove(projector: Projector): void {
    this.#removed.add(projector);
    this.#members.delete(projector);
  }

  /** Runs a task beside; when it fails, everything ends with it. The task ends with the signal, and its end is awaited. */
  spawn(task: (signal: AbortSignal) => Promise<void>): void {
    const owned: Promise<void> = task(this.#stop)
      .catch((error: unknown) => this.#failed.abort(error))
      .finally(() => this.#tasks.delete(owned));
    this.#tasks.add(owned);
  }

  #hasCaughtUp({ taken }: Projector): boolean {
    return this.#dispatched === null || hasReached(taken.position, this.#dispatched);
  }

  async #handle(batch: EventBatch): Promise<undefined> {
    this.#handledSince = this.#options.clock.monotonic();
    await this.#dispatch(batch);
  }

  /** Stores the checkpoints when they lag too far, and lets other work run. */
  async #between({ caughtUp }: EventBatch): Promise<void> {
    const { clock } = this.#options;
    if (clock.monotonic() - this.#savedAt >= SAVE_AFTER_MS) await this.#save();
    if (caughtUp) await this.#delay.pause(clock.monotonic() - this.#handledSince, this.#stop);
    else await clock.nextTurn();
  }

  /** Stores lagging checkpoints when no batch comes. */
  #idle(): ReturnType<NonNullable<ConstructorParameters<typeof Follower>[0]['idle']>> {
    if (![...this.#members].some(({ unsaved }) => unsaved)) return null;
    const elapsed = this.#options.clock.monotonic() - this.#savedAt;
    return { afterMs: Math.max(0, SAVE_AFTER_MS - elapsed), run: () => this.#save() };
  }

  async #save(): Promise<void> {
    await together([...this.#members].map((projector) => projector.save()));
    this.#savedAt = this.#options.clock.monotonic();
  }

  async #dispatch({ events, position, caughtUp }: EventBatch): Promise<void> {
    for (let from = 0; from + STEP_MAX < events.length; from += STEP_MAX) {
      const step = events.slice(from, from + STEP_MAX);
      await this.#dispatchStep({ events: step, position: step.at(-1)?.position ?? null, caughtUp: false });
      await this.#options.clock.nextTurn();
    }
    await this.#dispatchStep({ events: events.slice(lastStep(events.length)), position, caughtUp });
    if (!caughtUp || this.#caughtUp) return;
    this.#caughtUp = true;
    for (const projector of this.#members) await this.#options.moved(projector);
  }

  async #dispatchStep(step: EventBatch): Promise<void> {
    this.#dispatched = laterPosition(this.#dispatched, step.position);
    const upTo = checkpointAfter(step, this.#taken);
    const members = [...this.#members];
    await together(members.map((projector) => this.#feed(projector, step, upTo)));
    const due = members.filter(({ isPurgeDue }) => isPurgeDue);
    await this.#purge(due);
    for (const projector of due) await this.#options.moved(projector);
    this.#taken = upTo;
  }

  /** Reports the projector as soon as it has moved, however long the others take; after an erasure, once the store was purged. */
  async #feed(projector: Projector, { events, caughtUp }: EventBatch, upTo: Checkpoint): Promise<void> {
    await projector.take(events, upTo, caughtUp);
    if (projector.parked !== null) this.#members.delete(projector);
    if (!projector.isPurgeDue) await this.#options.moved(projector);
  }

  /**
   * After an erasure, nothing of the text may be left in the files either: the store is purged once for all projectors that have written it, before
   * they are reported to have moved. When that fails, it is still due when the step is repeated.
   */
  async #purge(projectors: readonly Projector[]): Promise<void> {
    const due = projectors.filter(({ isPurgeDue }) => isPurgeDue);
    if (due.length === 0) return;
    await this.#options.documents.purge();
    for (const projector of due) projector.purged();
  }

  /** Serves one lagging projector; it joins the others as soon as it has taken everything that they were given. */
  async #catchUp(projector: Projector, signal: AbortSignal): Promise<void> {
    const follower = new Follower({
      ...this.#options,
      name: projector.id,
      filter: { types: projector.projection.handles },
      batchSize: BATCH_MAX,
      checkpoint: () => projector.taken,
      handle: (batch) => this.#handleOne(projector, batch),
    });
    this.#catchingUp.set(projector, follower);
    try {
      await follower.run(signal);
    } finally {
      this.#catchingUp.delete(projector);
    }
  }

  async #handleOne(projector: Projector, batch: EventBatch): Promise<'done' | undefined> {
    if (this.#removed.has(projector)) return 'done';
    // It may have joined already, and what was done then has failed: from then on only the common follower hands events to it.
    if (!this.#members.has(projector)) await this.#advance(projector, batch);
    await this.#options.moved(projector);
    if (projector.parked !== null || this.#removed.has(projector) || this.#members.has(projector)) return 'done';
    await this.#options.clock.nextTurn();
    return undefined;
  }

  async #advance(projector: Projector, batch: EventBatch): Promise<void> {
    await projector.take(batch.events, checkpointAfter(batch, projector.taken), batch.caughtUp);
    if (this.#hasCaughtUp(projector)) await projector.flush();
    await this.#purge([projector]);
    if (projector.unsaved) await projector.save();
    const joins = projector.parked === null && this.#hasCaughtUp(projector) && !this.#removed.has(projector);
    if (joins) this.#members.add(projector);
  }
}

/** Where a follower is after a batch. */
function checkpointAfter({ events, position }: EventBatch, before: Checkpoint): Checkpoint {
  const last = events.at(-1);
  const anchor = last === undefined ? before.anchor : anchorOf(last);
  return { position: laterPosition(before.position, position), anchor };
}

/** Where the last step of so many events begins. */
const lastStep = (events: number): number => Math.max(0, Math.ceil(events / STEP_MAX) - 1) * STEP_MAX;
