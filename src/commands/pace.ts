import type { Clock } from '../ports/clock.ts';
import { createLru } from '../ports/lru.ts';
import type { Random } from '../ports/random.ts';

/** A stream that this node writes without a break is left to other nodes this often, and for this long, in ms. */
const LET_IN_EVERY_MS = 100;
const LET_IN_MIN_MS = 5;
const LET_IN_MAX_MS = 100;

/**
 * Keeps one node from having a stream to itself. The node that has just appended knows the stream's end and would be first again as long as it is
 * busy; another node has to read the tail before each attempt. So every 100 ms, and after each conflict, this node pauses for as long as that takes.
 * Meanwhile more commands collect in its queue, so little throughput is lost.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #random: Random;
  #appendMs = 0;
  #contended = false;
  #freeAt: number;
  #endedAt: number;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#freeAt = clock.monotonic();
    this.#endedAt = this.#freeAt;
  }

  /** Awaited before each turn. */
  async beforeTurn(): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#endedAt >= LET_IN_MIN_MS) this.#freeAt = now;
    if (this.#contended && this.#appendMs > 0) await this.#clock.sleep(this.#random.fraction() * 2 * this.#appendMs);
    else if (now - this.#freeAt < LET_IN_EVERY_MS) return;
    else await this.#clock.sleep(Math.min(LET_IN_MAX_MS, Math.max(LET_IN_MIN_MS, 3 * this.#appendMs)));
    this.#freeAt = this.#clock.monotonic();
  }

  /** An append that began at `startedAt` (`clock.monotonic()`) was done, after so many conflicts. */
  appended(startedAt: number, conflicts: number): void {
    this.#endedAt = this.#clock.monotonic();
    // One that waited for an unavailable store says nothing about the other nodes.
    this.#appendMs = Math.min(LET_IN_MAX_MS, this.#endedAt - startedAt);
    this.#contended = conflicts > 0;
  }
}

/** Streams whose pace is kept; the least recently written is dropped, and was not busy. */
const STREAMS_MAX = 1_024;

/** The pace of each stream that this node has recently written to. */
export class Paces {
  readonly #paces = createLru<Pace>(STREAMS_MAX);
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  of(stream: string): Pace {
    const known = this.#paces.get(stream);
    if (known !== undefined) return known;
    const pace = new Pace(this.#clock, this.#random);
    this.#paces.set(stream, pace);
    return pace;
  }
}
