import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import { Refusal } from '../kernel/errors.ts';

/** Argon2id with 19 MiB, two passes, one lane: the OWASP and ASVS minimum. It is the package's default algorithm. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** A hash of the same cost that no password is known for: verified against where there is none, so that this takes as long. */
const DECOY = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Hashing takes a thread of the pool that files and name look-ups need too, so some are always left to them. */
const AT_ONCE = Math.max(1, Math.min(availableParallelism(), 4) - 1);

/** A hash takes tens of milliseconds: who would wait for seconds is better told to come again. */
const WAITING_MAX = 64;

/**
 * Hashes and verifies passwords, a few at once and a bounded number waiting. Beyond that it throws `unavailable`, so that a flood of sign-ins
 * takes neither the memory nor the process.
 */
export class PasswordHasher {
  private readonly limit: HashLimit;
  private readonly waiting: (() => void)[] = [];
  private running = 0;

  constructor(limit: HashLimit = { atOnce: AT_ONCE, waiting: WAITING_MAX }) {
    this.limit = limit;
  }

  /** A PHC string. */
  async hash(password: string): Promise<string> {
    return await this.inTurn(() => hash(password, COST));
  }

  /** Whether it is the password of the hash. Without a hash the answer is no, at the same cost. */
  async verify(passwordHash: string | null, password: string): Promise<boolean> {
    const fits = await this.inTurn(() => verify(passwordHash ?? DECOY, password));
    return fits && passwordHash !== null;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.running < this.limit.atOnce) this.running++;
    else await this.turn();
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      // The turn goes on to the next, so `running` stays.
      if (next === undefined) this.running--;
      else next();
    }
  }

  private turn(): Promise<void> {
    if (this.waiting.length >= this.limit.waiting) {
      throw new Refusal('unavailable', 'too many people are signing in just now; try again in a moment', {
        retryAfterMs: 2_000,
      });
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** How many hashes are computed at once, and how many may wait. */
export type HashLimit = Readonly<{ atOnce: number; waiting: number }>;
