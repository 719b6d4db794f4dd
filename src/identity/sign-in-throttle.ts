import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import { foldEmail } from './names.ts';
import { hmac } from './secrets.ts';

/** How failures of one kind are slowed down: after `free` of them, `firstMs`, doubled with each further one up to `maxMs`. */
type Pace = Readonly<{ free: number; firstMs: number; maxMs: number }>;

/**
 * - `pair`: one account from one network. Whoever guesses here is stopped without harm to the owner elsewhere.
 * - `account`: one account from anywhere, for guesses spread over many networks. Short, and not for networks from which the owner has
 *   signed in, so that nobody can lock somebody out.
 * - `network`: all accounts from one network, for one password tried on many of them. Wide, because many people may share an address.
 */
const pacesFor = (free: number) =>
  ({
    pair: { free, firstMs: 1_000, maxMs: 15 * 60_000 },
    account: { free: 10 * free, firstMs: 1_000, maxMs: 30_000 },
    network: { free: 20 * free, firstMs: 1_000, maxMs: 60_000 },
  }) satisfies Record<string, Pace>;

/** Failures are forgotten when none was added for so long. */
const MEMORY_MS = 60 * 60_000;
const KEYS_MAX = 100_000;

type Tally = { failures: number; blockedUntil: number; lastAt: number };

/** One try to sign in. */
export type Attempt = Readonly<{ keys: readonly [Pace, string][]; home: string }>;

/**
 * Slows repeated failures down; never locks for good. It asks nothing of whether an account exists, so it tells nothing about that.
 * Counts are this node's own. Each try counts as failed until it is told to have succeeded, so that many at once gain nothing.
 */
export class SignInThrottle {
  private readonly tallies = new LRUCache<string, Tally>({ max: KEYS_MAX });
  /** Account and network of successful sign-ins. */
  private readonly homes = new LRUCache<string, true>({ max: KEYS_MAX });
  private readonly secret: Uint8Array;
  private readonly now: () => number;
  private readonly paces: ReturnType<typeof pacesFor>;

  /**
   * @param now ms from any start, see `Clock.monotonic`
   * @param free failures of one account from one network until they are slowed down
   */
  constructor(secret: Uint8Array, now: () => number, free: number) {
    this.secret = secret;
    this.now = now;
    this.paces = pacesFor(free);
  }

  /** Begins a try; or how long to wait before one is allowed, in ms. */
  begin(email: string, address: string): Attempt | number {
    const network = networkOf(address);
    // Hashed, so that no address book gathers in memory.
    const account = hmac(this.secret, `throttle\n${foldEmail(email)}`).toString('base64url');
    const home = `${account} ${network}`;
    const keys: [Pace, string][] = [[this.paces.pair, `pair ${home}`]];
    if (!this.homes.has(home)) keys.push([this.paces.account, `account ${account}`]);
    keys.push([this.paces.network, `network ${network}`]);

    const wait = Math.max(...keys.map(([, key]) => this.recall(key).blockedUntil - this.now()));
    if (wait > 0) return wait;
    for (const [pace, key] of keys) this.count(pace, key);
    return { keys, home };
  }

  /** The password was right: this network may go on as if it had never failed for this account. */
  succeeded(attempt: Attempt): void {
    this.homes.set(attempt.home, true);
    this.forgive(attempt);
    this.tallies.delete(`pair ${attempt.home}`);
  }

  /** The try came to no answer, so it counts neither way. */
  forgive(attempt: Attempt): void {
    for (const [, key] of attempt.keys) {
      const tally = this.recall(key);
      // No try begins while its key is blocked, so the block there is now is this try's own.
      this.tallies.set(key, { ...tally, failures: Math.max(0, tally.failures - 1), blockedUntil: 0 });
    }
  }

  private recall(key: string): Tally {
    const tally = this.tallies.get(key);
    if (tally !== undefined && tally.lastAt + MEMORY_MS > this.now()) return tally;
    return { failures: 0, blockedUntil: 0, lastAt: this.now() };
  }

  private count(pace: Pace, key: string): void {
    const failures = this.recall(key).failures + 1;
    const delay =
      failures < pace.free ? 0 : Math.min(pace.maxMs, pace.firstMs * 2 ** Math.min(failures - pace.free, 30));
    this.tallies.set(key, { failures, blockedUntil: this.now() + delay, lastAt: this.now() });
  }
}

/** What is counted as one network: an IPv4 address, or the first 64 bits of an IPv6 address, which one household has for itself. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (isIP(address) !== 6) return address;
  const [head = '', tail = ''] = address.split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const full = address.includes('::') ? [...groups, ...Array<string>(missing).fill('0'), ...tail.split(':')] : groups;
  return full
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
