import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Event } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { AggregateCache, LoadedState } from './aggregate-cache.ts';
import { appendUntilKnown, isDoubtful } from './append.ts';
import { type Batch, decideBatch } from './decide-batch.ts';
import { Found } from './earlier-outcome.ts';
import type { Job } from './job.ts';
import type { Pace, Paces } from './pace.ts';
import { asRefusal } from './refusals.ts';
import type { StreamSearches } from './stream-searches.ts';

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

/** Revision and position of a stream's last event, `null` when it has none. */
type StreamEnd = Readonly<{ revision: bigint | null; position: Position | null }>;

/** What a turn works with. `paces`: `null` where no other node writes to this log. */
export type TurnDeps = Readonly<{
  log: EventLog;
  cache: AggregateCache;
  clock: Clock;
  random: Random;
  searches: StreamSearches;
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
  /** The jobs of the turn that is running. */
  #taken: readonly Job<C>[] = [];
  /** Jobs that wait for a personal key or a search outside the queue, so that the others go on. */
  readonly #deferred = new Map<Job<C>, Promise<void>>();
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

  /** Resolves when the turn that is running has ended, or otherwise when the commands that wait for something else are back in the queue. */
  get idle(): Promise<unknown> {
    return this.#running ?? Promise.all(this.#deferred.values());
  }

  /** Every job that is added is settled. */
  add(job: Job<C>): void {
    this.#waiting.push(job);
    this.#running ??= this.#run();
  }

  /** Gives up the jobs whose deadline has passed or whose client has left. `now`: `clock.monotonic()`. */
  sweep(now: number): void {
    this.#waiting = this.#waiting.filter((job) => !job.giveUp(now));
    for (const job of this.#taken) job.giveUp(now);
    for (const job of this.#deferred.keys()) job.giveUp(now);
  }

  /** Takes turns until nothing waits. Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#pace?.beforeTurn();
      const jobs = this.#waiting.splice(0, TURN_MAX);
      this.#taken = jobs;
      try {
        const left = await this.#turn(jobs);
        this.#waiting = left.concat(this.#waiting);
      } catch (error) {
        // A turn may stop half-way: those that were settled already ignore a second outcome.
        for (const job of jobs) job.reject(asRefusal(error));
      }
    }
    this.#taken = [];
    this.#running = null;
    if (this.#deferred.size === 0) this.#onIdle();
  }

  /** One append at most; returns the jobs that had no room in it. */
  async #turn(jobs: readonly Job<C>[]): Promise<Job<C>[]> {
    const { cache, clock, log, random, searches } = this.#deps;
    const decideDeps = { aggregate: this.#aggregate, stream: this.#stream, log, searches };
    const deadline = clock.monotonic() + CONFLICTS_MS;
    let open = this.#wanted(jobs);
    if (open.length === 0) return [];
    let { loaded, fresh } = await cache.load(this.#aggregate, this.#stream);
    open = await this.#settleRepeated(open, loaded);

    for (let attempt = 0; ; attempt++) {
      open = this.#wanted(open);
      if (open.length === 0) return [];
      const queued = open.map(({ command, options }) => ({ command, expected: options.expected }));
      const batch = decideBatch(decideDeps, loaded, queued);
      if (!fresh && batch.decisions.some(({ events, deferred }) => events.length === 0 && deferred === null)) {
        // Another node may have appended what changes this refusal, or this "nothing to change".
        ({ loaded, open } = await this.#readOn(loaded, open));
        fresh = true;
        continue;
      }
      try {
        const startedAt = clock.monotonic();
        for (const [i, { events }] of batch.decisions.entries()) {
          const job = open[i];
          if (job !== undefined) job.isAppending = events.length > 0;
        }
        const appended = await this.#append(batch, loaded);
        this.#pace?.appended(startedAt, attempt);
        this.#settle(open, batch, appended);
        return open.slice(batch.decisions.length);
      } catch (error) {
        if (!isStoreError(error, 'VERSION_CONFLICT')) {
          this.#settleFailed(open, batch, error);
          return open.slice(batch.decisions.length);
        }
        if (attempt > 0) await clock.sleep(random.fraction() * RETRY_MS);
        ({ loaded, open } = await this.#readOnAfter(error, loaded, open));
        for (const job of open) job.isAppending = false;
        fresh = true;
        if (clock.monotonic() >= deadline)
          throw new StoreError('UNAVAILABLE', 'too many nodes write to this stream at once', { cause: error });
      }
    }
  }

  /** Gives up the jobs whose deadline has passed or whose client has left, and returns the others. */
  #wanted(jobs: readonly Job<C>[]): readonly Job<C>[] {
    const now = this.#deps.clock.monotonic();
    return jobs.filter((job) => !job.giveUp(now));
  }

  /** Revision and position of the last event afterwards. */
  async #append(batch: Batch<State, E>, loaded: LoadedState<State>): Promise<StreamEnd> {
    const last = batch.events.at(-1);
    if (last === undefined) return loaded;
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
    return { revision, position };
  }

  #settle(open: readonly Job<C>[], batch: Batch<State, E>, end: StreamEnd): void {
    for (const [i, { refusal, deferred, events, revision }] of batch.decisions.entries()) {
      const job = open[i];
      if (job === undefined) continue;
      if (deferred !== null) this.#defer(job, deferred);
      else if (refusal !== null) job.reject(asRefusal(refusal));
      else {
        job.sharesAppend = revision !== end.revision;
        job.resolve({ events, revision, position: end.position });
      }
    }
  }

  /** Only what did not depend on the append that failed keeps its outcome. */
  #settleFailed(open: readonly Job<C>[], batch: Batch<State, E>, error: unknown): void {
    if (isStoreError(error, 'UNKNOWN')) this.#deps.cache.forget(this.#stream);
    for (const [i, { refusal, deferred, dependsOnAppend }] of batch.decisions.entries()) {
      const job = open[i];
      if (job === undefined) continue;
      if (deferred !== null) this.#defer(job, deferred);
      else job.reject(asRefusal(refusal !== null && !dependsOnAppend ? refusal : error));
    }
  }

  /** Puts a job back into the queue once its personal key was read, or the stream was searched for it. */
  #defer(job: Job<C>, deferred: Promise<Error | null>): void {
    const settle = (error: unknown): void => {
      this.#deferred.delete(job);
      if (error !== null) job.reject(asRefusal(error));
      else if (!job.settled) this.add(job);
      if (this.#deferred.size === 0 && this.#running === null) this.#onIdle();
    };
    this.#deferred.set(job, deferred.then(settle, settle));
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

  /**
   * Settles those whose events are in the stream since it was last searched for them, before their turn. The rest of the stream, up to what they are
   * decided on, is read here only when it may hold them.
   */
  async #settleRepeated(jobs: readonly Job<C>[], loaded: LoadedState<State>): Promise<readonly Job<C>[]> {
    const [readTo, end] = [loaded.readTo ?? -1n, loaded.revision ?? -1n];
    const after = jobs.flatMap(({ search }) =>
      search !== null && (search.own ? end : readTo) > search.after ? [search.after] : [],
    );
    const [first] = after;
    if (first === undefined) return jobs;
    const found = new Found(jobs);
    let from = after.reduce((least, each) => (each < least ? each : least), first) + 1n;
    for (let isEnd = false; !isEnd; ) {
      const slice = await this.#deps.log.readStream(this.#stream, { from, limit: PAGE, personal: 'omit' });
      for (const event of slice.events) found.see(event);
      from = (slice.events.at(-1)?.revision ?? from) + 1n;
      isEnd = slice.end;
    }
    return found.settle();
  }
}
