/** Maximum weight of frames that wait to be handled, in bytes. */
const USER_MAX = 2 * 1024 * 1024;
const NODE_MAX = 64 * 1024 * 1024;
/** Memory that a waiting frame takes besides its content, in bytes. */
const OVERHEAD = 256;

/** What kept a frame from being queued: too much waits for its user, or on this node. */
export type Excess = 'user' | 'node';

/** The weight of a frame of this length, in bytes. */
export const weightOf = (length: number): number => length + OVERHEAD;

/** Bounds what waits in the frame queues of all sockets of this node, in bytes. */
export class WaitingBytes {
  readonly #perUser = new Map<string, number>();
  #total = 0;

  /** Bytes that wait on this node. */
  get total(): number {
    return this.#total;
  }

  /** Adds `bytes` to what waits for `owner`, a user or a socket without one; or adds nothing and returns which bound they exceed. */
  add(owner: string, bytes: number): Excess | null {
    const waiting = (this.#perUser.get(owner) ?? 0) + bytes;
    if (waiting > USER_MAX) return 'user';
    if (this.#total + bytes > NODE_MAX) return 'node';
    this.#perUser.set(owner, waiting);
    this.#total += bytes;
    return null;
  }

  /** Removes what `add` has added. */
  remove(owner: string, bytes: number): void {
    const waiting = (this.#perUser.get(owner) ?? 0) - bytes;
    if (waiting > 0) this.#perUser.set(owner, waiting);
    else this.#perUser.delete(owner);
    this.#total -= bytes;
  }
}
