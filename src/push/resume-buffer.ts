import type { Position } from '../kernel/position.ts';
import { Fifo } from './fifo.ts';
import { type Frame, isAfter, type Place, redacted } from './frames.ts';

/** What the buffer holds at most. `bytes`: of memory, roughly. */
export type BufferLimits = Readonly<{ frames: number; bytes: number; ageMs: number }>;

type Entry = { readonly serial: number; readonly atMs: number; frame: Frame };

/**
 * The latest frames, indexed by room, so that resuming costs what it returns and not what the node holds.
 * A client whose last frame is before the oldest one that is held cannot resume from here.
 */
export class ResumeBuffer {
  readonly #limits: BufferLimits;
  readonly #rooms = new Map<string, Fifo<Entry>>();
  readonly #entries = new Fifo<Entry>();
  #serial = 0;
  #bytes = 0;
  #since: Place;

  /** `since`: the place after which all frames will be added. */
  constructor(limits: BufferLimits, since: Place) {
    this.#limits = limits;
    this.#since = since;
  }

  /** How many frames it holds. */
  get size(): number {
    return this.#entries.length;
  }

  /** Whether everything after the place is still here. */
  reachesBackTo(place: Place): boolean {
    return !isAfter(this.#since, place);
  }

  /** The mark of the event at exactly this position, `undefined` when no frame of one is here. */
  markAt(position: Position): string | undefined {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries.at(middle)?.frame.position ?? position) < position) low = middle + 1;
      else high = middle;
    }
    const frame = this.#entries.at(low)?.frame;
    return frame?.position === position ? frame.mark : undefined;
  }

  /** Adds the next frame. `atMs`: the monotonic time now. */
  add(frame: Frame, atMs: number): void {
    const entry: Entry = { serial: this.#serial++, atMs, frame };
    this.#entries.push(entry);
    this.#bytes += frame.size;
    for (const room of frame.rooms) {
      const entries = this.#rooms.get(room) ?? new Fifo<Entry>();
      entries.push(entry);
      this.#rooms.set(room, entries);
    }
    this.trim(atMs);
  }

  /** Drops what is over the limits, the oldest first. `nowMs`: the monotonic time now. */
  trim(nowMs: number): void {
    const { frames, bytes, ageMs } = this.#limits;
    for (let oldest = this.#entries.at(0); oldest !== undefined; oldest = this.#entries.at(0)) {
      if (this.size <= frames && this.#bytes <= bytes && nowMs - oldest.atMs <= ageMs) return;
      this.#drop(oldest);
    }
  }

  /** Takes the frames out of a room: they must not be sent any more. */
  forget(room: string): void {
    this.#rooms.delete(room);
  }

  /** Removes the text of a person from all frames, also from those in `unsent`, lists of frames that were not sent yet. */
  redact(personId: string, unsent: Iterable<Frame[]> = []): void {
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries.at(i);
      if (entry?.frame.personal?.personId !== personId) continue;
      const before = entry.frame.size;
      entry.frame = redacted(entry.frame);
      this.#bytes += entry.frame.size - before;
    }
    for (const frames of unsent) {
      for (const [i, frame] of frames.entries()) {
        if (frame.personal?.personId === personId) frames[i] = redacted(frame);
      }
    }
  }

  /**
   * The frames of these rooms after `after`, in order, each once; of each room from the position on that is given with it.
   * `null` when there are more than `limit`.
   */
  read(rooms: ReadonlyMap<string, Position>, after: Place, limit: number): readonly Frame[] | null {
    const found = new Map<number, Frame>();
    for (const [room, since] of rooms) {
      const entries = this.#rooms.get(room);
      for (let i = (entries?.length ?? 0) - 1; i >= 0; i--) {
        const entry = entries?.at(i);
        if (entry === undefined || entry.frame.position < since || !isAfter(entry.frame, after)) break;
        found.set(entry.serial, entry.frame);
        if (found.size > limit) return null;
      }
    }
    return [...found].sort(([a], [b]) => a - b).map(([, frame]) => frame);
  }

  #drop(oldest: Entry): void {
    this.#entries.shift();
    this.#bytes -= oldest.frame.size;
    this.#since = oldest.frame;
    for (const room of oldest.frame.rooms) {
      const entries = this.#rooms.get(room);
      // In a room that was forgotten meanwhile, the oldest is another one.
      if (entries?.at(0) !== oldest) continue;
      entries.shift();
      if (entries.length === 0) this.#rooms.delete(room);
    }
  }
}
