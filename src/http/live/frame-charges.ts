import { Refusal } from '../../kernel/errors.ts';
import type { RateLimit } from '../request/rate-limits.ts';

/** Frames that a client may send before it is authenticated; its first one should authenticate it. */
const ANONYMOUS_MAX = 16;
/** Consecutive frames that may exceed the rate limit, and their size in bytes, before the connection is closed. */
const REFUSED_MAX = 1_000;
const REFUSED_BYTES_MAX = 1024 * 1024;

/** Charges the frames of one socket, control frames included, before anything else is done with them. */
export class FrameCharges {
  readonly #limit: RateLimit;
  #anonymous = 0;
  #refused = 0;
  #refusedBytes = 0;

  /** `limit`: of frames, per user. */
  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  /** Whether the client keeps exceeding its limits, so that the connection should be closed. */
  get isExceeded(): boolean {
    return this.#anonymous > ANONYMOUS_MAX || this.#refused > REFUSED_MAX || this.#refusedBytes > REFUSED_BYTES_MAX;
  }

  /** Charges a frame of `length` bytes to a user, or to the socket when it is not authenticated. Returns the refusal when a limit is exceeded. */
  take(userId: string | null, length: number): Refusal | null {
    if (userId === null) {
      return ++this.#anonymous > ANONYMOUS_MAX ? refusal('too many frames before authentication', 0) : null;
    }
    const decision = this.#limit.take(userId);
    if (decision.ok) {
      this.#refused = 0;
      this.#refusedBytes = 0;
      return null;
    }
    this.#refused++;
    this.#refusedBytes += length;
    return refusal('too many frames; try again later', decision.retryAfterMs);
  }
}

function refusal(words: string, retryAfterMs: number): Refusal {
  return new Refusal('too-many-requests', words, { retryAfterMs });
}
