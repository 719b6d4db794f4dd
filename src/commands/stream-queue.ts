import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, Refusal, StoreError } from '../kernel/errors.ts';
import type { Event, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { AggregateCache, LoadedState } from './aggregate-cache.ts';
import { appendUntilKnown, isDoubtful } from './append.ts';
import type { Handled, HandleOptions } from './command-handler.ts';
import { type Batch, decideBatch } from './decide-batch.ts';
import type { Pace, Paces } from './pace.ts';

/** How long one turn retries after conflicts with other nodes, in ms. */
const CONFLICTS_MS = 2_000;
/** How long an append of unknown outcome is repeated, in ms. */
const OUTCOME_MS = 10_000;
/**
 * Pause after a conflict at most, in ms. Short, and not growing: other nodes leave the stream free for moments only (see `pace.ts`), and the deadline
 * ends it.
 */
const RETRY_MS = 5;
/** Commands decided in one turn at most. */
const TURN_MAX = 256;
const PAGE = 4_096;

/** A command in the queue, and who waits for its outcome. */
export type Job<C> = Readonly<{
  command: C;
  options: HandleOptions;
  resolve: (handled: Handled) => void;
  reject: (error: unknown) => void;
}>;

/** What a turn works with. `paces`: `null` where no other node writes to this log. */
export type TurnDeps = Readonly<{
  log: EventLog;
  cache: AggregateCache;
  clock: Clock;
  random: Random;
  paces: Paces | null;
}>;

/** The commands that wait for one stream. Those that wait together are decided one after the other and appended together. */
export class StreamQueue<State, C extends Command<string, unknown>, E extends Event> {
  readonly #deps: TurnDeps;
  readonly #aggregate: Aggregate<State, C, E>;
  readonly #stream: string;
  readonly #pace: Pace | null;
  readonly #onIdle: () => void;
  #waiting: Job<C>[] = [];
  /** Jobs that wait for a personal key outside the queue, so that those of other persons go on. */
  /** Commands that wait for a personal key. */
  readonly #deferred = new Set<Promise<void>>();
  #running: Promise<void> | null = null;

  /** `onIdle` is called when nothing waits any more, before anything else can be added. */
  constructor(deps: TurnDeps, aggregate: Aggregate<State, C, E>, stream: string, onIdle: () => void) {
    this.#deps = deps;
    this.#aggregate = aggregate;
    this.#stream = stream;
    this.#onIdle = onIdle;
    this.#pace = deps.paces?.of(stream) ?? null;
  }

  get length(): number {
    return this.#waiting.length + this.#deferred.size;
  }

  /** Resolves when the turn that is running has ended, or otherwise when the commands that wait for a key are back in the queue. */
  get idle(): Promise<unknown> {
    return this.#running ?? Promise.all(this.#deferred);
  }

  /** Each job is settled exactly once. */
  add(job: Job<C>): void {
    this.#waiting.push(job);
    this.#running ??= this.#run();
  }

  /** Takes turns until nothing waits. Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#pace?.beforeTurn();
      const jobs = this.#waiting.splice(0, TURN_MAX);
      try {
        const left = await this.#turn(jobs);
        this.#waiting = left.concat(this.#waiting);
      } catch (error) {
        // A turn may stop half-way: those that were settled already ignore a second outcome.
        for (const job of jobs) job.reject(this.#asRefusal(error));
      }
    }
    this.#running = null;
    if (this.#deferred.size === 0) this.#onIdle();
  }

  /** One append at most; returns the jobs that had no room in it. */
  async #turn(jobs: readonly Job<C>[]): Promise<Job<C>[]> {
    const { cache, clock, log, random } = this.#deps;
    const deadline = clock.monotonic() + CONFLICTS_MS;
    let { loaded, fresh } = await cache.load(this.#aggregate, this.#stream);
    let open = await this.#settleRepeated(jobs);

    for (let attempt = 0; open.length > 0; attempt++) {
      const queued = open.map(({ command, options }) => ({ command, expected: options.expected }));
      const batch = decideBatch({ aggregate: this.#aggregate, log }, loaded, queued);
      if (!fresh && batch.decisions.some(({ events, deferred }) => events.length === 0 && deferred === null)) {
        // Another node may have appended what changes this refusal, or this "nothing to change".
        ({ loaded, open } = await this.#readOn(loaded, open));
        fresh = true;
        continue;
      }
      try {
        const startedAt = clock.monotonic();
        const position = await this.#append(batch, loaded);
        this.#pace?.appended(startedAt, attempt);
        this.#settle(open, batch, position);
        return open.slice(batch.decisions.length);
      } catch (error) {
        if (!isStoreError(error, 'VERSION_CONFLICT')) {
          this.#settleFailed(open, batch, error);
          return open.slice(batch.decisions.length);
        }
        if (attempt > 0) await clock.sleep(random.fraction() * RETRY_MS);
        ({ loaded, open } = await this.#readOnAfter(error, loaded, open));
        fresh = true;
        if (clock.monotonic() >= deadline)
          throw new StoreError('UNAVAILABLE', 'too many nodes write to this stream at once', { cause: error });
      }
    }
    return [];
  }

  async #append(batch: Batch<State, E>, loaded: LoadedState<State>): Promise<Position | null> {
    const last = batch.events.at(-1);
    if (last === undefined) return loaded.position;
    const expect = loaded.revision ?? 'none';
    const deadline = this.#deps.clock.monotonic() + OUTCOME_MS;
    const { revision, position } = await appendUntilKnown(this.#deps, this.#stream, batch.events, { expect, deadline });
    this.#deps.cache.keep(this.#aggregate, this.#stream, {
      ...loaded,
      state: batch.state,
      revision,
      position,
      eventId: last.id,
    });
    return position;
  }

  #settle(open: readonly Job<C>[], batch: Batch<State, E>, position: Position | null): void {
    for (const [i, { refusal, deferred, events, revision }] of batch.decisions.entries()) {
      const job = open[i];
      if (job === undefined) continue;
      if (deferred !== null) this.#defer(job, deferred);
      else if (refusal !== null) job.reject(this.#asRefusal(refusal));
      else job.resolve({ events, revision, position });
    }
  }

  /** Only what did not depend on the append that failed keeps its outcome. */
  #settleFailed(open: readonly Job<C>[], batch: Batch<State, E>, error: unknown): void {
    if (isStoreError(error, 'UNKNOWN')) this.#deps.cache.forget(this.#stream);
    for (const [i, { refusal, deferred, dependsOnAppend }] of batch.decisions.entries()) {
      const job = open[i];
      if (job === undefined) continue;
      if (deferred !== null) this.#defer(job, deferred);
      else job.reject(this.#asRefusal(refusal !== null && !dependsOnAppend ? refusal : error));
    }
  }

  /** Puts a job back into the queue once its personal key was read. */
  #defer(job: Job<C>, key: Promise<StoreError | null>): void {
    const settle = (error: unknown): void => {
      this.#deferred.delete(deferred);
      if (error === null) this.add(job);
      else job.reject(this.#asRefusal(error));
      if (this.#deferred.size === 0 && this.#running === null) this.#onIdle();
    };
    const deferred: Promise<void> = key.then(settle, settle);
    this.#deferred.add(deferred);
  }

  /** Reads the stream's tail; a command whose events are there was appended by an earlier attempt, and is settled with that outcome. */
  async #readOn(
    from: LoadedState<State>,
    open: readonly Job<C>[],
  ): Promise<{ loaded: LoadedState<State>; open: readonly Job<C>[] }> {
    const found = new Found(open);
    const loaded = await this.#deps.cache.advance(this.#aggregate, this.#stream, from, (event) => found.see(event));
    return { loaded, open: found.settle() };
  }

  /** After a conflict. When it may be with an earlier attempt, and that cannot be read, the outcome stays unknown. */
  async #readOnAfter(conflict: StoreError, from: LoadedState<State>, open: readonly Job<C>[]) {
    try {
      return await this.#readOn(from, open);
    } catch (error) {
      if (!isDoubtful(conflict)) throw error;
      throw new StoreError('UNKNOWN', 'the events that an append conflicted with could not be read', { cause: error });
    }
  }

  /** Settles those of the commands that a retry repeats and whose events are in the stream. */
  async #settleRepeated(jobs: readonly Job<C>[]): Promise<readonly Job<C>[]> {
    const since = jobs.flatMap(({ options }) => (options.handledSince === undefined ? [] : [options.handledSince]));
    if (since.length === 0) return jobs;
    const found = new Found(jobs);
    let from = since[0] === undefined ? 0n : since[0] + 1n;
    for (const revision of since) if (revision < from) from = revision + 1n;
    for (let end = false; !end; ) {
      const slice = await this.#deps.log.readStream(this.#stream, { from, limit: PAGE, personal: 'omit' });
      for (const event of slice.events) found.see(event);
      from = (slice.events.at(-1)?.revision ?? from) + 1n;
      end = slice.end;
    }
    return found.settle();
  }

  #asRefusal(error: unknown): unknown {
    if (isStoreError(error, 'ERASED'))
      return new Refusal('unauthenticated', 'this account was erased', { cause: error });
    if (isStoreError(error, 'UNAVAILABLE', 'CLOSED', 'VERSION_CONFLICT')) {
      return new Refusal('unavailable', 'nothing was written; try again', { retryAfterMs: 1_000, cause: error });
    }
    if (isStoreError(error, 'UNKNOWN')) {
      const detail = 'it may have been written; repeat it with the same Idempotency-Key to find out';
      return new Refusal('outcome-unknown', detail, { retryAfterMs: 1_000, cause: error });
    }
    return error;
  }
}

/** Looks for the events of waiting commands among those of a stream. */
class Found<C extends Command<string, unknown>> {
  readonly #jobs: readonly Job<C>[];
  readonly #ids: ReadonlySet<string>;
  readonly #events = new Map<string, RecordedEvent[]>();

  constructor(jobs: readonly Job<C>[]) {
    this.#jobs = jobs;
    this.#ids = new Set(jobs.map(({ command }) => command.metadata.commandId));
  }

  see(event: RecordedEvent): void {
    const { commandId } = event.metadata;
    if (!this.#ids.has(commandId)) return;
    const events = this.#events.get(commandId);
    if (events === undefined) this.#events.set(commandId, [event]);
    else events.push(event);
  }

  /** Settles those that were found and returns the others. */
  settle(): readonly Job<C>[] {
    return this.#jobs.filter((job) => {
      const events = this.#events.get(job.command.metadata.commandId);
      const last = events?.at(-1);
      if (events === undefined || last === undefined) return true;
      job.resolve({ events, revision: last.revision, position: last.position });
      return false;
    });
  }
}
