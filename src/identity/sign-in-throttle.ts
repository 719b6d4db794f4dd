import { networkOf } from '../kernel/network.ts';
import { createLru } from '../ports/lru.ts';
import { foldEmail } from './names.ts';
import { hmac } from './secrets.ts';

/** Delays after failures of one kind: none up to `free` failures, then `firstMs`, doubled with each further failure up to `maxMs`. */
type FailureDelays = Readonly<{ free: number; firstMs: number; maxMs: number }>;

/**
 * - `pair`: one account from one network. Slows down guessing without affecting the owner elsewhere.
 * - `account`: one account from any network, against guesses distributed over many networks. The delays are short, and do not apply to networks from
 *   which the owner has signed in, so that an owner cannot be locked out.
 * - `network`: all accounts from one network, against one password tried on many accounts. Generous, because many users may share an address.
 */
const delaysFor = (free: number) =>
  ({
    pair: { free, firstMs: 1_000, maxMs: 15 * 60_000 },
    account: { free: 10 * free, firstMs: 1_000, maxMs: 30_000 },
    network: { free: 20 * free, firstMs: 1_000, maxMs: 60_000 },
  }) satisfies Record<string, FailureDelays>;

/** Failures expire this long after the latest one, in ms. */
const MEMORY_MS = 60 * 60_000;
const KEYS_MAX = 100_000;

type Tally = { failures: number; blockedUntil: number; lastAt: number };

/** One sign-in attempt. `origin`: its account and network. */
export type Attempt = Readonly<{ keys: readonly [FailureDelays, string][]; origin: string }>;

/**
 * Delays sign-ins after repeated failures; never locks an account. It does not know which accounts exist, so it discloses nothing about that.
 * Counts are per node. An attempt counts as failed until its success is reported, so that concurrent attempts have no advantage.
 */
export class SignInThrottle {
  readonly #tallies = createLru<Tally>(KEYS_MAX);
  /** Account and network of successful sign-ins. */
  readonly #origins = createLru<true>(KEYS_MAX);
  readonly #secret: Uint8Array;
  readonly #now: () => number;
  readonly #delays: ReturnType<typeof delaysFor>;

  /**
   * @param now monotonic time in ms, see `Clock.monotonic`
   * @param free failures of one account from one network without a delay
   */
  constructor(secret: Uint8Array, now: () => number, free: number) {
    this.#secret = secret;
    this.#now = now;
    this.#delays = delaysFor(free);
  }

  /** Begins an attempt. Returns the time to wait in ms when none is allowed yet. */
  begin(email: string, address: string): Attempt | number {
    const network = networkOf(address);
    // Hashed, so that memory does not hold a list of e-mail addresses.
    const account = hmac(this.#secret, `throttle\n${foldEmail(email)}`).toString('base64url');
    const origin = `${account} ${network}`;
    const keys: [FailureDelays, string][] = [[this.#delays.pair, `pair ${origin}`]];
    if (!this.#origins.has(origin)) keys.push([this.#delays.account, `account ${account}`]);
    keys.push([this.#delays.network, `network ${network}`]);

    const wait = Math.max(...keys.map(([, key]) => this.#tallyOf(key).blockedUntil - this.#now()));
    if (wait > 0) return wait;
    for (const [delays, key] of keys) this.#count(delays, key);
    return { keys, origin };
  }

  /** The password was right: the failures of this account from this network are forgotten. */
  succeeded(attempt: Attempt): void {
    this.#origins.set(attempt.origin, true);
    this.forgive(attempt);
    this.#tallies.delete(`pair ${attempt.origin}`);
  }

  /** The attempt had no outcome and does not count. */
  forgive(attempt: Attempt): void {
    for (const [, key] of attempt.keys) {
      const tally = this.#tallyOf(key);
      // No attempt begins while its key is blocked, so the current block was set by this attempt.
      this.#tallies.set(key, { ...tally, failures: Math.max(0, tally.failures - 1), blockedUntil: 0 });
    }
  }

  #tallyOf(key: string): Tally {
    const tally = this.#tallies.get(key);
    if (tally !== undefined && tally.lastAt + MEMORY_MS > this.#now()) return tally;
    return { failures: 0, blockedUntil: 0, lastAt: this.#now() };
  }

  #count(delays: FailureDelays, key: string): void {
    const failures = this.#tallyOf(key).failures + 1;
    const delay =
      failures < delays.free ? 0 : Math.min(delays.maxMs, delays.firstMs * 2 ** Math.min(failures - delays.free, 30));
    this.#tallies.set(key, { failures, blockedUntil: this.#now() + delay, lastAt: this.#now() });
  }
}
