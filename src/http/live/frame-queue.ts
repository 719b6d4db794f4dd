import type { Clock } from '../../ports/clock.ts';
import { type Excess, type WaitingBytes, weightOf } from './waiting-bytes.ts';

/** What may wait in a queue before reading from its client is suspended: frames, and their weight in bytes. */
const FRAMES_MAX = 64;
const BYTES_MAX = 64 * 1024;

/** Work that never rejects. `weight` and `owner`: as they were added to the bytes that wait. */
type Entry = Readonly<{ work: () => Promise<void>; weight: number; owner: string }>;

type Options = Readonly<{
  clock: Pick<Clock, 'nextTurn'>;
  waiting: WaitingBytes;
  /** Suspends or continues reading from the client. */
  read: (on: boolean) => void;
}>;

/**
 * The frames of one socket that wait to be handled, one after the other. After each of them other work gets its turn, so that a burst of one client
 * delays no other. A full queue suspends reading; frames that were read already are still queued, until the bound of all queues is reached.
 */
export class FrameQueue {
  readonly #options: Options;
  readonly #entries: Entry[] = [];
  #weight = 0;
  #isReading = true;
  #running: Promise<void> | null = null;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Queues work for a frame of `length` bytes, which must not reject; or does nothing and returns which bound is exceeded. */
  push(owner: string, length: number, work: () => Promise<void>): Excess | null {
    const weight = weightOf(length);
    const excess = this.#options.waiting.add(owner, weight);
    if (excess !== null) return excess;
    this.#entries.push({ work, weight, owner });
    this.#weight += weight;
    if (this.#isReading && this.#isFull(1)) this.#read(false);
    this.#running ??= this.#run();
    return null;
  }

  /** Resolves once everything that is queued by then has been handled. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Drops what waits. The frame in progress is finished. */
  clear(): void {
    for (const entry of this.#entries.splice(0)) this.#remove(entry);
  }

  async #run(): Promise<void> {
    for (let entry = this.#entries.shift(); entry !== undefined; entry = this.#entries.shift()) {
      await entry.work();
      this.#remove(entry);
      if (!this.#isReading && !this.#isFull(0.5)) this.#read(true);
      if (this.#entries.length > 0) await this.#options.clock.nextTurn();
    }
    this.#running = null;
  }

  #remove({ owner, weight }: Entry): void {
    this.#weight -= weight;
    this.#options.waiting.remove(owner, weight);
  }

  /** Whether a share of what may wait is reached. */
  #isFull(share: number): boolean {
    return this.#entries.length >= FRAMES_MAX * share || this.#weight >= BYTES_MAX * share;
  }

  #read(on: boolean): void {
    this.#isReading = on;
    this.#options.read(on);
  }
}
