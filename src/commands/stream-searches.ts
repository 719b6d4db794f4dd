import type { Refusal } from '../kernel/errors.ts';
import type { StreamSearch } from '../kernel/stream-search.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import { tooLate } from './refusals.ts';

/** Searches at once; further ones wait. Commands that wait for one count for the limits of their queue. */
const SEARCHES_MAX = 4;
/** How long a search waits to begin, in ms: its command has been given up by then. */
const WAIT_MS = 10_000;
const PAGE = 512;

/**
 * Searches streams for what the states of their aggregates no longer hold, for commands that cannot be decided otherwise. They are rare; none takes
 * up a stream's turn. What a search found out stays true, because streams only grow.
 */
export class StreamSearches {
  readonly #log: EventLog;
  readonly #clock: Clock;
  /** What to decide for commands whose search refused nothing. */
  readonly #searched = new WeakMap<object, unknown>();
  /** By command: a turn that has to decide again does not search again. */
  readonly #inProgress = new Map<object, Promise<Error | null>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor({ log, clock }: { log: EventLog; clock: Clock }) {
    this.#log = log;
    this.#clock = clock;
  }

  /** The command with what was found out for it; `undefined` when nothing was searched yet. */
  searched<C extends object>(command: C): C | undefined {
    // `StreamSearch.searched` is of the command's own type.
    return this.#searched.get(command) as C | undefined;
  }

  /** Resolves with why the command is refused or its search failed, `null` when it can be decided again. Never rejects. */
  run(stream: string, command: object, search: StreamSearch): Promise<Error | null> {
    const running = this.#inProgress.get(command);
    if (running !== undefined) return running;
    const task = this.#run(stream, command, search)
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      .finally(() => this.#inProgress.delete(command));
    this.#inProgress.set(command, task);
    return task;
  }

  async #run(stream: string, command: object, search: StreamSearch): Promise<Refusal | null> {
    const startedAt = this.#clock.monotonic();
    if (this.#running >= SEARCHES_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      if (this.#clock.monotonic() - startedAt >= WAIT_MS) return tooLate();
      for (const range of search.ranges) {
        const refusal = await this.#searchRange(stream, search, range);
        if (refusal !== null) return refusal;
      }
      this.#searched.set(command, search.searched);
      return null;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #searchRange(
    stream: string,
    { numberOf, refusal }: StreamSearch,
    { first, last }: StreamSearch['ranges'][number],
  ): Promise<Refusal | null> {
    // The event with number n has at least revision n - 1, and each event before it without a number adds 1.
    let from = BigInt(first - 1);
    for (;;) {
      const { events, end } = await this.#log.readStream(stream, { from, limit: PAGE, personal: 'omit' });
      for (const event of events) {
        const number = numberOf(event);
        if (number === undefined) continue;
        if (number > last) return null;
        const found = refusal(event);
        if (found !== null) return found;
        if (number < first) from = event.revision + BigInt(first - number);
        if (number === last) return null;
      }
      const next = (events.at(-1)?.revision ?? from) + 1n;
      if (next > from) from = next;
      if (end) return null;
    }
  }
}
