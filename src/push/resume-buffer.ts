import type { Position } from '../kernel/position.ts';
import { type Frame, type FrameId, isBehind } from './frames.ts';

/** What the buffer holds at most. */
export type BufferLimits = Readonly<{ frames: number; bytes: number; ageMs: number }>;

type Entry = Readonly<{ serial: number; atMs: number; frame: Frame }>;

/** Entries of one room in the order of the log; those of the front are dropped lazily. */
type RoomIndex = { entries: Entry[]; first: number };

/**
 * The latest frames, indexed by room, so that resuming costs what it returns and not what the node holds.
 * Whoever left off before the oldest frame that is still held cannot resume from here.
 */
export class ResumeBuffer {
  readonly #limits: BufferLimits;
  readonly #rooms = new Map<string, RoomIndex>();
  #entries: Entry[] = [];
  #first = 0;
  #serial = 0;
  #bytes = 0;
  #since: Position | null;

  /** `since`: the position behind which frames will be added; `null` for the start of the log. */
  constructor(limits: BufferLimits, since: Position | null) {
    this.#limits = limits;
    this.#since = since;
  }

  /** How many frames it holds. */
  get size(): number {
    return this.#entries.length - this.#first;
  }

  /** Whether everything behind `position` is still here. */
  reachesBackTo(position: Position): boolean {
    return this.#since === null || position >= this.#since;
  }

  /** Adds the next frame. `atMs`: the monotonic time now. */
  add(frame: Frame, atMs: number): void {
    const entry = { serial: this.#serial++, atMs, frame };
    this.#entries.push(entry);
    this.#bytes += frame.bytes.length;
    for (const room of frame.rooms) {
      const index = this.#rooms.get(room);
      if (index === undefined) this.#rooms.set(room, { entries: [entry], first: 0 });
      else index.entries.push(entry);
    }
    this.trim(atMs);
  }

  /** Drops what is over the limits. `nowMs`: the monotonic time now. */
  trim(nowMs: number): void {
    for (let oldest = this.#entries[this.#first]; oldest !== undefined; oldest = this.#entries[this.#first]) {
      const over = this.size > this.#limits.frames || this.#bytes > this.#limits.bytes;
      if (!over && nowMs - oldest.atMs <= this.#limits.ageMs) return;
      this.#drop(oldest);
    }
  }

  /**
   * The frames of these rooms behind `after`, in order, each once; of each room from the position on that stands with it.
   * `null` when there are more than `limit`.
   */
  read(rooms: ReadonlyMap<string, Position>, after: FrameId, limit: number): readonly Frame[] | null {
    const found = new Map<number, Frame>();
    for (const [room, since] of rooms) {
      const index = this.#rooms.get(room);
      for (let i = (index?.entries.length ?? 0) - 1; index !== undefined && i >= index.first; i--) {
        const entry = index.entries[i];
        if (entry === undefined || entry.frame.position < since || !isBehind(entry.frame, after)) break;
        found.set(entry.serial, entry.frame);
        if (found.size > limit) return null;
      }
    }
    return [...found].sort(([a], [b]) => a - b).map(([, frame]) => frame);
  }

  #drop(entry: Entry): void {
    this.#first++;
    this.#bytes -= entry.frame.bytes.length;
    this.#since = entry.frame.position;
    for (const room of entry.frame.rooms) {
      const index = this.#rooms.get(room);
      if (index === undefined) continue;
      index.first++;
      if (index.first === index.entries.length) this.#rooms.delete(room);
      else index.entries = compact(index);
    }
    if (this.#first > 1_024 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }
}

/** Gives the memory of dropped entries back once they are the greater part. */
function compact(index: RoomIndex): Entry[] {
  if (index.first < 32 || index.first * 2 < index.entries.length) return index.entries;
  const entries = index.entries.slice(index.first);
  index.first = 0;
  return entries;
}
