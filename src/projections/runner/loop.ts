import { setTimeout as sleep, setImmediate as yieldToOthers } from 'node:timers/promises';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached, laterPosition, type Position } from '../../kernel/position.ts';
import type { Clock } from '../../ports/clock.ts';
import type { EventStore, LogSlice, SubscriptionBatch } from '../../ports/event-store.ts';
import { whileAway } from './back-off.ts';
import { Gathering } from './batch-delay.ts';
import type { Track } from './projector.ts';

/** Events that are read at once, and those that are folded until others get a turn. */
const BATCH_MAX = 1_024;
const STEP_MAX = 512;
/** Longest time for which the stored checkpoint of a track is behind, in ms. */
const SAVE_AFTER_MS = 50;
const LATE = Symbol('late');

export type LoopOptions = Readonly<{
  events: EventStore;
  clock: Clock;
  logger: Logger;
  /** Ends the loop. */
  signal: AbortSignal;
  /** Whether somebody waits for tracks to move; see `hurry`. */
  isAwaited(): boolean;
  /** A track moved, was parked, or has caught up. What it throws is treated as if the track had thrown it. */
  moved(track: Track): Promise<void> | void;
}>;

/**
 * Hands the log to tracks. One reading serves all that are up to date; one that is behind catches up by a reading of its own and then joins.
 * Handling is sequential for each track, and a store that is away is tried again until it is back.
 * Paces are kept in real time and not by the clock: nothing is decided by them.
 */
export class Loop {
  readonly #options: LoopOptions;
  readonly #gathering: Gathering;
  readonly #failed = new AbortController();
  readonly #stop: AbortSignal;
  readonly #tasks = new Set<Promise<void>>();
  readonly #members = new Set<Track>();
  readonly #removed = new WeakSet<Track>();
  /** End of the part of the log that was last handed to the members. */
  #dispatched: Position | null = null;
  #caughtUp = false;
  /** Whether the last batch was the end of the log, and otherwise when its last event was recorded. */
  #atEnd = false;
  #recordedAt: string | null = null;
  #unavailable: string | null = null;
  /** When the checkpoints were stored last. */
  #savedAt = 0;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#gathering = new Gathering({ isAwaited: () => options.isAwaited(), sleep: inRealTime });
    this.#stop = AbortSignal.any([options.signal, this.#failed.signal]);
  }

  /** Whether the track is served by the common reading, and that has seen the end of the log. */
  isLive(track: Track): boolean {
    return this.#caughtUp && this.#members.has(track);
  }

  /** Whether there was nothing behind the last batch; otherwise the time of its last event. */
  get end(): Readonly<{ reached: boolean; recordedAt: string | null }> {
    return { reached: this.#atEnd, recordedAt: this.#recordedAt };
  }

  /** Why it waits for a store, `null` when it does not. */
  get unavailable(): string | null {
    return this.#unavailable;
  }

  /** Somebody waits for tracks to move from now on. */
  hurry(): void {
    this.#gathering.hurry();
  }

  /** Runs until the signal. Throws `FencedOff` when another runner is at it, and `CLOSED` when a store was closed. */
  async run(tracks: readonly Track[]): Promise<void> {
    this.#dispatched = tracks.reduce<Position | null>((last, { taken }) => laterPosition(last, taken), null);
    for (const track of tracks) this.add(track);
    this.spawn(() => this.#follow());
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    if (this.#failed.signal.aborted) throw this.#failed.signal.reason;
  }

  /** Serves one more track, from where it is. Only while the loop runs. */
  add(track: Track): void {
    if (this.#hasCaughtUp(track)) this.#members.add(track);
    else this.spawn(() => this.#catchUp(track));
  }

  /** Serves a track no more, once the step it is in is done. */
  remove(track: Track): void {
    this.#removed.add(track);
    this.#members.delete(track);
  }

  /** Runs something beside; the loop ends with it when it fails, and waits for it when it ends. The task ends with the signal. */
  spawn(task: (signal: AbortSignal) => Promise<void>): void {
    const owned: Promise<void> = task(this.#stop)
      .catch((error: unknown) => this.#failed.abort(error))
      .finally(() => this.#tasks.delete(owned));
    this.#tasks.add(owned);
  }

  #hasCaughtUp(track: Track): boolean {
    return this.#dispatched === null || hasReached(track.taken, this.#dispatched);
  }

  /** The common reading. */
  async #follow(): Promise<void> {
    await this.#retrying(async (goesWell) => {
      const { events } = this.#options;
      const subscription = events.subscribe({ after: this.#dispatched, batchSize: BATCH_MAX, signal: this.#stop });
      const batches = subscription[Symbol.asyncIterator]();
      try {
        await this.#consume(batches, goesWell);
      } finally {
        await batches.return?.();
      }
    });
  }

  async #consume(batches: AsyncIterator<SubscriptionBatch>, goesWell: () => void): Promise<void> {
    while (!this.#stop.aborted) {
      const { done, value } = await this.#savingUntil(batches.next());
      if (done === true) break;
      const startedAt = performance.now();
      await this.#dispatch(value);
      goesWell();
      if (performance.now() - this.#savedAt >= SAVE_AFTER_MS) await this.#save();
      if (value.caughtUp) await this.#gathering.pause(performance.now() - startedAt, this.#stop);
      else await yieldToOthers();
    }
    if (!this.#stop.aborted) throw new StoreError('UNAVAILABLE', 'the subscription ended by itself');
  }

  /** Waits for the next batch, and stores the checkpoints that are behind should it keep us waiting. */
  async #savingUntil<Next>(next: Promise<Next>): Promise<Next> {
    if ([...this.#members].some(({ unsaved }) => unsaved)) {
      const left = Math.max(0, SAVE_AFTER_MS - (performance.now() - this.#savedAt));
      if ((await Promise.race([sleep(left, LATE), next])) === LATE) await this.#save();
    }
    return next;
  }

  async #save(): Promise<void> {
    await together([...this.#members].map((track) => this.#retrying(() => track.save())));
    this.#savedAt = performance.now();
  }

  async #dispatch({ events, position, caughtUp }: SubscriptionBatch): Promise<void> {
    for (let from = 0; from + STEP_MAX < events.length; from += STEP_MAX) {
      const step = events.slice(from, from + STEP_MAX);
      await this.#dispatchStep({ events: step, position: step.at(-1)?.position ?? null, caughtUp: false });
      await yieldToOthers();
    }
    await this.#dispatchStep({ events: events.slice(lastStep(events.length)), position, caughtUp });
    if (!caughtUp || this.#caughtUp) return;
    this.#caughtUp = true;
    for (const track of this.#members) await this.#retrying(() => this.#options.moved(track));
  }

  async #dispatchStep(step: SubscriptionBatch): Promise<void> {
    this.#dispatched = laterPosition(this.#dispatched, step.position);
    await together([...this.#members].map((track) => this.#feed(track, step)));
    this.#atEnd = step.caughtUp;
    this.#recordedAt = step.events.at(-1)?.recordedAt ?? this.#recordedAt;
  }

  async #feed(track: Track, { events, position, caughtUp }: SubscriptionBatch): Promise<void> {
    await this.#retrying(() => track.take(events, position, caughtUp));
    if (track.parked !== null) this.#members.delete(track);
    await this.#retrying(() => this.#options.moved(track));
  }

  /** The reading of one track that is behind; it joins the common one in the moment in which it has all that was handed out there. */
  async #catchUp(track: Track): Promise<void> {
    await this.#retrying(async (goesWell) => {
      let ahead = this.#readOn(track, track.taken);
      while (!this.#stop.aborted && !this.#removed.has(track)) {
        const slice = await ahead;
        if (!slice.end) ahead = this.#readOn(track, slice.next);
        await track.take(slice.events, slice.next, slice.end);
        if (this.#hasCaughtUp(track)) await track.flush();
        if (track.unsaved) await track.save();
        const done = track.parked !== null || this.#hasCaughtUp(track);
        if (track.parked === null && done && !this.#removed.has(track)) this.#members.add(track);
        await this.#options.moved(track);
        goesWell();
        if (done) return;
        if (slice.end) ahead = this.#readOn(track, slice.next);
        await yieldToOthers();
      }
    });
  }

  #readOn(track: Track, from: Position | null): Promise<LogSlice> {
    const filter = { types: track.projection.handles };
    const slice = this.#options.events.readAll({ direction: 'forwards', from, limit: BATCH_MAX, filter });
    // It is awaited when what came before is handled; failing earlier is no failure of nobody.
    slice.catch(() => {});
    return slice;
  }

  /** Repeats a step for as long as a store is away. */
  #retrying(step: (goesWell: () => void) => Promise<void> | void): Promise<void> {
    return whileAway({ ...this.#options, signal: this.#stop, away: (error) => this.#away(error) }, step);
  }

  #away(error: StoreError | null): void {
    if (error !== null && this.#unavailable === null) {
      this.#options.logger.warn({ err: error }, 'projections wait for a store');
    }
    this.#unavailable = error?.message ?? null;
  }
}

/** Where the last step of so many events begins. */
const lastStep = (events: number): number => Math.max(0, Math.ceil(events / STEP_MAX) - 1) * STEP_MAX;

/** Resolves after `ms`, or when the signal is aborted. */
async function inRealTime(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { ...(signal && { signal }) }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error;
  });
}

/** Waits for all of them, also when one fails: nothing is under way any more when that is told. */
async function together(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
