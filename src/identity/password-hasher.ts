import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import { Refusal } from '../kernel/errors.ts';
import type { Random } from '../ports/random.ts';
import { canonicalPassword } from './password-rules.ts';

/** Argon2id with 19 MiB, two passes, one lane: the OWASP and ASVS minimum. Argon2id is the package's default algorithm. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const SALT_BYTES = 16;

/** A hash of the same cost without a known password: verified when there is no hash, so that this takes the same time. */
const DECOY = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Hashing occupies a thread of the libuv pool, which also serves files and DNS; some threads always stay free for those. */
const AT_ONCE = Math.max(1, Math.min(availableParallelism(), 4) - 1);

/** A hash takes tens of milliseconds: with more waiting, a request would wait for seconds and is refused instead. */
const WAITING_MAX = 64;

/**
 * Hashes and verifies passwords, a few at once with a bounded queue. When the queue is full it throws `unavailable`, so that a flood of sign-ins
 * exhausts neither memory nor the thread pool.
 */
export class PasswordHasher {
  readonly #random: Random;
  readonly #limit: HashLimit;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(random: Random, limit: HashLimit = { atOnce: AT_ONCE, waiting: WAITING_MAX }) {
    this.#random = random;
    this.#limit = limit;
  }

  /** Returns a PHC string with a new salt, of the password's canonical form. */
  async hash(password: string): Promise<string> {
    return await this.#inTurn(() =>
      hash(canonicalPassword(password), { ...COST, salt: this.#random.bytes(SALT_BYTES) }),
    );
  }

  /** Whether the hash is of this password. `null` never is, at the same cost. */
  async verify(passwordHash: string | null, password: string): Promise<boolean> {
    const matches = await this.#inTurn(() => verify(passwordHash ?? DECOY, canonicalPassword(password)));
    return matches && passwordHash !== null;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#limit.atOnce) this.#running++;
    else await this.#turn();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The next one takes over the slot, so `#running` does not change.
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#limit.waiting) {
      throw new Refusal('unavailable', 'too many sign-ins at the moment; try again shortly', { retryAfterMs: 2_000 });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** How many hashes are computed at once, and how many requests may wait. */
export type HashLimit = Readonly<{ atOnce: number; waiting: number }>;
