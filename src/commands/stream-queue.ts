import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, Refusal, StoreError } from '../kernel/errors.ts';
import type { Event, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { AggregateCache, Loaded } from './aggregate-cache.ts';
import { appendUntilKnown, isDoubtful } from './append.ts';
import type { Handled, HandleOptions } from './command-handler.ts';
import { type Batch, decideBatch } from './decide-batch.ts';
import type { Pace, Paces } from './pace.ts';

/** How long one turn fights for its stream with other nodes, in ms. */
const CONFLICTS_MS = 2_000;
/** How long an append of unknown outcome is repeated, in ms. */
const OUTCOME_MS = 10_000;
/**
 * Pause behind a conflict at most, in ms. Short, and not growing: the others leave the stream free for moments only (see `pace.ts`), and the deadline
 * is the end of it.
 */
const RETRY_MS = 5;
/** Commands decided in one turn at most. */
const TURN_MAX = 256;
const PAGE = 4_096;

/** A command in the queue, and who waits for its answer. */
export type Job<C> = Readonly<{
  command: C;
  options: HandleOptions;
  resolve: (handled: Handled) => void;
  reject: (error: unknown) => void;
}>;

/** What a turn works with. `paces`: `null` where no other node writes to this log. */
export type TurnDeps = Readonly<{ events: EventStore; cache: AggregateCache; clock: Clock; paces: Paces | null }>;

/** The commands that wait for one stream. Those that wait together are decided one after the other and appended together. */
export class StreamQueue<State, C extends Command<string, unknown>, E extends Event> {
  readonly #deps: TurnDeps;
  readonly #aggregate: Aggregate<State, C, E>;
  readonly #stream: string;
  readonly #pace: Pace | null;
  #waiting: Job<C>[] = [];

  constructor(deps: TurnDeps, aggregate: Aggregate<State, C, E>, stream: string) {
    this.#deps = deps;
    this.#aggregate = aggregate;
    this.#stream = stream;
    this.#pace = deps.paces?.of(stream) ?? null;
  }

  get length(): number {
    return this.#waiting.length;
  }

  add(job: Job<C>): void {
    this.#waiting.push(job);
  }

  /**
   * Works until nothing waits, then calls `idle` before anything else can be added. Each job is answered exactly once; never throws.
   */
  async run(idle: () => void): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#pace?.beforeTurn();
      const jobs = this.#waiting.splice(0, TURN_MAX);
      try {
        const left = await this.#turn(jobs);
        this.#waiting = left.concat(this.#waiting);
      } catch (error) {
        // A turn may stop half-way: those it has answered already do not hear a second answer.
        for (const job of jobs) job.reject(this.#asRefusal(error));
      }
    }
    idle();
  }

  /** One append at most; gives back the jobs that found no room in it. */
  async #turn(jobs: readonly Job<C>[]): Promise<Job<C>[]> {
    const { cache, clock } = this.#deps;
    const deadline = clock.monotonic() + CONFLICTS_MS;
    let { loaded, fresh } = await cache.load(this.#aggregate, this.#stream);
    let open = await this.#answerRepeated(jobs);

    for (let attempt = 0; open.length > 0; attempt++) {
      const asked = open.map(({ command, options }) => ({ command, expected: options.expected }));
      const batch = decideBatch(this.#aggregate, loaded, asked);
      if (!fresh && batch.decisions.some((decision) => decision.events.length === 0)) {
        // Another node may have appended what turns this refusal, or this "already so", around.
        ({ loaded, open } = await this.#readOn(loaded, open));
        fresh = true;
        continue;
      }
      try {
        const startedAt = clock.monotonic();
        const position = await this.#append(batch, loaded);
        this.#pace?.appended(startedAt, attempt);
        this.#answer(open, batch, position);
        return open.slice(batch.decisions.length);
      } catch (error) {
        if (!isStoreError(error, 'VERSION_CONFLICT')) {
          this.#answerFailed(open, batch, error);
          return open.slice(batch.decisions.length);
        }
        if (attempt > 0) await clock.sleep(Math.random() * RETRY_MS);
        ({ loaded, open } = await this.#readOnBehind(error, loaded, open));
        fresh = true;
        if (clock.monotonic() >= deadline)
          throw new StoreError('UNAVAILABLE', 'too many write to it at once', { cause: error });
      }
    }
    return [];
  }

  async #append(batch: Batch<State, E>, loaded: Loaded<State>): Promise<Position | null> {
    const last = batch.events.at(-1);
    if (last === undefined) return loaded.position;
    const expect = loaded.revision ?? 'none';
    const deadline = this.#deps.clock.monotonic() + OUTCOME_MS;
    const { revision, position } = await appendUntilKnown(this.#deps, this.#stream, batch.events, { expect, deadline });
    const { snapshot } = loaded;
    this.#deps.cache.keep(this.#aggregate, this.#stream, {
      state: batch.state,
      revision,
      position,
      eventId: last.id,
      snapshot,
    });
    return position;
  }

  #answer(open: readonly Job<C>[], batch: Batch<State, E>, position: Position | null): void {
    batch.decisions.forEach((decision, i) => {
      if (decision.refusal !== null) open[i]?.reject(decision.refusal);
      else open[i]?.resolve({ events: decision.events, revision: decision.revision, position });
    });
  }

  /** Only what did not hang on the append that failed keeps its answer. */
  #answerFailed(open: readonly Job<C>[], batch: Batch<State, E>, error: unknown): void {
    if (isStoreError(error, 'UNKNOWN')) this.#deps.cache.forget(this.#stream);
    batch.decisions.forEach((decision, i) => {
      if (decision.refusal !== null && !decision.hangsOnAppend) open[i]?.reject(decision.refusal);
      else open[i]?.reject(this.#asRefusal(error));
    });
  }

  /** Reads the stream's tail; a command whose events stand there was appended by an earlier try, and is answered so. */
  async #readOn(
    from: Loaded<State>,
    open: readonly Job<C>[],
  ): Promise<{ loaded: Loaded<State>; open: readonly Job<C>[] }> {
    const found = new Found(open);
    const loaded = await this.#deps.cache.advance(this.#aggregate, this.#stream, from, (event) => found.see(event));
    return { loaded, open: found.answer() };
  }

  /** Behind a conflict. When it may be an earlier try that is in the way, and that cannot be read, the outcome stays unknown. */
  async #readOnBehind(conflict: StoreError, from: Loaded<State>, open: readonly Job<C>[]) {
    try {
      return await this.#readOn(from, open);
    } catch (error) {
      if (!isDoubtful(conflict)) throw error;
      throw new StoreError('UNKNOWN', 'what was in the way of an append could not be read', { cause: error });
    }
  }

  /** Answers those of the commands that a retry repeats and whose events the stream holds. */
  async #answerRepeated(jobs: readonly Job<C>[]): Promise<readonly Job<C>[]> {
    const since = jobs.flatMap(({ options }) => (options.handledSince === undefined ? [] : [options.handledSince]));
    if (since.length === 0) return jobs;
    const found = new Found(jobs);
    let from = since[0] === undefined ? 0n : since[0] + 1n;
    for (const revision of since) if (revision < from) from = revision + 1n;
    for (let end = false; !end; ) {
      const slice = await this.#deps.events.readStream(this.#stream, { from, limit: PAGE });
      for (const event of slice.events) found.see(event);
      from = (slice.events.at(-1)?.revision ?? from) + 1n;
      end = slice.end;
    }
    return found.answer();
  }

  #asRefusal(error: unknown): unknown {
    if (isStoreError(error, 'UNAVAILABLE', 'CLOSED', 'VERSION_CONFLICT')) {
      return new Refusal('unavailable', 'nothing was written; try again', { retryAfterMs: 1_000, cause: error });
    }
    if (isStoreError(error, 'UNKNOWN')) {
      const words = 'it may have been written; repeat it with the same Idempotency-Key to find out';
      return new Refusal('outcome-unknown', words, { retryAfterMs: 1_000, cause: error });
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

  /** Answers those that were found and gives back the others. */
  answer(): readonly Job<C>[] {
    return this.#jobs.filter((job) => {
      const events = this.#events.get(job.command.metadata.commandId);
      const last = events?.at(-1);
      if (events === undefined || last === undefined) return true;
      job.resolve({ events, revision: last.revision, position: last.position });
      return false;
    });
  }
}
