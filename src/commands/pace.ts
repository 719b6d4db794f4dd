import { LRUCache } from 'lru-cache';
import type { Clock } from '../ports/clock.ts';

/** A stream that this node writes without a break is left to other nodes so often, and for so long, in ms. */
const LET_IN_EVERY_MS = 100;
const LET_IN_MIN_MS = 5;
const LET_IN_MAX_MS = 100;

/**
 * Keeps one node from having a stream to itself. Who has just appended knows the stream's end and would be first again for as long as it is busy;
 * another node has to read the tail before each try. So now and then, and after each conflict, the others are left as much time as that takes.
 * Meanwhile more commands gather here, so little is lost.
 */
export class Pace {
  readonly #clock: Clock;
  #appendMs = 0;
  #contended = false;
  #freeAt: number;
  #endedAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#freeAt = clock.monotonic();
    this.#endedAt = this.#freeAt;
  }

  /** To be awaited before each turn. */
  async beforeTurn(): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#endedAt >= LET_IN_MIN_MS) this.#freeAt = now;
    if (this.#contended && this.#appendMs > 0) await this.#clock.sleep(Math.random() * 2 * this.#appendMs);
    else if (now - this.#freeAt < LET_IN_EVERY_MS) return;
    else await this.#clock.sleep(Math.min(LET_IN_MAX_MS, Math.max(LET_IN_MIN_MS, 3 * this.#appendMs)));
    this.#freeAt = this.#clock.monotonic();
  }

  /** An append that began at `startedAt` (`clock.monotonic()`) was done, behind so many conflicts. */
  appended(startedAt: number, conflicts: number): void {
    this.#endedAt = this.#clock.monotonic();
    // One that waited for a store that was away says nothing of the others.
    this.#appendMs = Math.min(LET_IN_MAX_MS, this.#endedAt - startedAt);
    this.#contended = conflicts > 0;
  }
}

/** Streams whose pace is remembered; one that is forgotten was not busy. */
const STREAMS_MAX = 1_024;

/** The pace of each stream that this node has lately written to. */
export class Paces {
  readonly #paces = new LRUCache<string, Pace>({ max: STREAMS_MAX });
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(stream: string): Pace {
    const known = this.#paces.get(stream);
    if (known !== undefined) return known;
    const pace = new Pace(this.#clock);
    this.#paces.set(stream, pace);
    return pace;
  }
}
