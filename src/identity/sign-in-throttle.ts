import { Refusal } from '../kernel/errors.ts';
import type { JsonObject } from '../kernel/json.ts';
import { networkOf } from '../kernel/network.ts';
import type { Change, LimitKey, SharedLimits } from '../ports/limit-store.ts';
import { canonicalAddress } from './addresses.ts';
import { hmac } from './secrets.ts';

/**
 * Delays after failures of one kind: none up to `free` failures, then `firstMs`, doubled with each further failure up to `maxMs`.
 * They are forgotten an hour after the latest failure, or after the first one.
 */
type FailureDelays = Readonly<{ free: number; firstMs: number; maxMs: number; expireAfter: 'latest' | 'first' }>;

/**
 * - `pair`: one account from one network. Slows down guessing without affecting the owner elsewhere.
 * - `account`: one account from any network, against guesses distributed over many networks. The delays are short, and do not apply to networks from
 *   which the owner has signed in, so that an owner cannot be locked out.
 * - `network`: all accounts from one network, against one password tried on many accounts. Generous, because many users may share an address.
 *
 * The counts of accounts and networks begin again every hour: others add to them, so they might never expire after the latest failure.
 */
const delaysFor = (free: number) =>
  ({
    pair: { free, firstMs: 1_000, maxMs: 15 * 60_000, expireAfter: 'latest' },
    account: { free: 10 * free, firstMs: 1_000, maxMs: 30_000, expireAfter: 'first' },
    network: { free: 20 * free, firstMs: 1_000, maxMs: 60_000, expireAfter: 'first' },
  }) satisfies Record<string, FailureDelays>;

/** When failures expire, in ms. */
const MEMORY_MS = 60 * 60_000;
/** How long a network from which an account signed in is remembered, in ms. */
const ORIGIN_MS = 90 * 24 * 60 * 60_000;
/** A sign-in renews that at most this often, in ms. */
const ORIGIN_RENEWAL_MS = 24 * 60 * 60_000;
/** Without the counts of the other nodes for longer, in ms, a node refuses sign-ins: a guesser would have the free failures of every node. */
export const AWAY_MAX_MS = 60_000;
const RETRY_AFTER_MS = 5_000;
/** By how much the times of two nodes may differ, in ms. */
const TOLERANCE_MS = 60_000;

/** Times are those of the store. `blockedUntil`: 0 for no delay. */
type Tally = { failures: number; blockedUntil: number; expiresAt: number };

/** A count of an attempt. `blockedUntil`: of the delay that it caused, 0 for none. */
type Counted = Readonly<{ key: LimitKey; blockedUntil: number }>;

/** One sign-in attempt, which was counted as failed. `origin`: its account and network. */
export type Attempt = Readonly<{ counted: readonly Counted[]; pair: LimitKey; origin: LimitKey }>;

/**
 * Delays sign-ins after repeated failures; never locks an account. It does not know which accounts exist, so it discloses nothing about that.
 * Counts are shared by all nodes. An attempt counts as failed until its success is reported, so that concurrent attempts have no advantage.
 */
export class SignInThrottle {
  readonly #limits: SharedLimits;
  readonly #secret: Uint8Array;
  readonly #delays: ReturnType<typeof delaysFor>;

  /** @param free failures of one account from one network without a delay */
  constructor(limits: SharedLimits, secret: Uint8Array, free: number) {
    this.#limits = limits;
    this.#secret = secret;
    this.#delays = delaysFor(free);
  }

  /**
   * Begins an attempt. Returns the time to wait in ms when none is allowed yet. Throws `unavailable` when this node has been without the counts of
   * the others for more than `AWAY_MAX_MS`.
   */
  async begin(email: string, address: string): Promise<Attempt | number> {
    if (this.#limits.awayMs() > AWAY_MAX_MS) {
      const text = 'sign-in is not available at the moment; try again later';
      throw new Refusal('unavailable', text, { retryAfterMs: RETRY_AFTER_MS });
    }
    const network = networkOf(address);
    // Hashed, so that memory does not hold a list of e-mail addresses.
    const account = hmac(this.#secret, `throttle\n${canonicalAddress(email)}`).toString('base64url');
    const pair = { kind: 'sign-in-pair', id: `${account} ${network}` };
    const origin = { kind: 'sign-in-origin', id: pair.id };
    const all = [
      { key: pair, delays: this.#delays.pair },
      { key: { kind: 'sign-in-account', id: account }, delays: this.#delays.account },
      { key: { kind: 'sign-in-network', id: network }, delays: this.#delays.network },
    ];
    // Most refused attempts end here, and write nothing.
    const { states, now } = await this.#limits.read([origin, ...all.map(({ key }) => key)]);
    const [known = null, ...tallies] = states;
    const limits = all
      .map((limit, i) => ({ ...limit, tally: tallyOf(tallies[i] ?? null, limit.delays, now) }))
      .filter(({ delays }) => known === null || delays !== this.#delays.account);
    const wait = Math.max(...limits.map(({ tally }) => tally.blockedUntil - now));
    if (wait > 0) return Math.ceil(wait);

    const outcomes = await Promise.all(limits.map(({ key, delays }) => this.#limits.update(key, failure(key, delays))));
    const counted = outcomes.filter((outcome) => typeof outcome !== 'number');
    if (counted.length === outcomes.length) return { counted, pair, origin };
    // A concurrent attempt was first.
    await this.#takeBack(counted);
    return Math.max(...outcomes.filter((outcome) => typeof outcome === 'number'));
  }

  /** The password was right: the failures of this account from this network are forgotten. */
  async succeeded({ counted, pair, origin }: Attempt): Promise<void> {
    await Promise.all([
      this.#takeBack(counted.filter(({ key }) => key.kind !== pair.kind)),
      this.#limits.update(pair, forget),
      this.#limits.update(origin, remember),
    ]);
  }

  /** The attempt had no outcome and does not count. */
  async forgive({ counted }: Attempt): Promise<void> {
    await this.#takeBack(counted);
  }

  async #takeBack(counted: readonly Counted[]): Promise<void> {
    await Promise.all(counted.map((each) => this.#limits.update(each.key, withdrawal(each))));
  }
}

/** Times after the latest possible ones are ignored: the clock was set back since, and a delay must not last until it is there again. */
function tallyOf(state: JsonObject | null, { maxMs }: FailureDelays, now: number): Tally {
  // Only this class writes states of these kinds.
  const tally = state as Tally | null;
  const latest = now + TOLERANCE_MS;
  const isPlausible =
    tally !== null &&
    tally.blockedUntil <= latest + maxMs &&
    tally.expiresAt > now &&
    tally.expiresAt <= latest + MEMORY_MS;
  return isPlausible ? tally : { failures: 0, blockedUntil: 0, expiresAt: now + MEMORY_MS };
}

/** Counts a failure; results in the time to wait in ms, and changes nothing, while none is allowed. */
const failure =
  (key: LimitKey, delays: FailureDelays): Change<Counted | number> =>
  (state, now) => {
    const { free, firstMs, maxMs, expireAfter } = delays;
    const before = tallyOf(state, delays, now);
    if (before.blockedUntil > now) return { result: Math.ceil(before.blockedUntil - now) };
    const failures = before.failures + 1;
    const delay = failures < free ? 0 : Math.min(maxMs, firstMs * 2 ** Math.min(failures - free, 30));
    const blockedUntil = delay === 0 ? 0 : now + delay;
    const expiresAt = expireAfter === 'latest' ? now + MEMORY_MS : before.expiresAt;
    return { result: { key, blockedUntil }, next: kept({ failures, blockedUntil, expiresAt }, now) };
  };

/** Takes a failure back, and the delay that it caused, but not one that another attempt has caused since. */
const withdrawal =
  ({ blockedUntil }: Counted): Change<null> =>
  (state, now) => {
    if (state === null) return { result: null };
    const before = state as Tally;
    const failures = Math.max(0, before.failures - 1);
    const left = before.blockedUntil === blockedUntil ? 0 : before.blockedUntil;
    if (failures === 0 && left === 0) return { result: null, next: null };
    return { result: null, next: kept({ ...before, failures, blockedUntil: left }, now) };
  };

const kept = (state: Tally, now: number) => ({ state, keepMs: state.expiresAt - now });

const forget: Change<null> = () => ({ result: null, next: null });

const remember: Change<null> = (state, now) => {
  const isRecent = state !== null && now - Number(state.at) < ORIGIN_RENEWAL_MS;
  return isRecent ? { result: null } : { result: null, next: { state: { at: now }, keepMs: ORIGIN_MS } };
};
