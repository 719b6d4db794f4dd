import { Refusal } from '../../kernel/errors.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Change, SharedLimits } from '../../ports/limit-store.ts';
import { createLru } from '../../ports/lru.ts';

/** The rate of one bucket: `burst` at once, and `perMinute` over time. */
export type Rate = Readonly<{ burst: number; perMinute: number }>;

/** Whether a request may proceed; if not, after which time it may. */
export type RateDecision = Readonly<{ ok: true }> | Readonly<{ ok: false; retryAfterMs: number }>;

/** One token bucket per key (a network, a user). The least recently used are dropped, and start full again. */
export interface RateLimit {
  /** Takes `cost` tokens if there are enough, else none. A cost above the burst is always refused. */
  take(key: string, cost?: number): RateDecision;
  /** Whether `take(key, cost)` would succeed; takes nothing. */
  has(key: string, cost?: number): boolean;
}

/** The same, counted by all nodes together. For what guards accounts: it costs a call to a store. */
export interface SharedRateLimit {
  take(key: string): Promise<RateDecision>;
}

/** Buckets kept per limit: about 20 MB when full. */
const KEYS_MAX = 100_000;

const OK: RateDecision = { ok: true };

/** A limit of this node; `null` allows everything. */
export function createRateLimit(rate: Rate | null, clock: Pick<Clock, 'monotonic'>): RateLimit {
  if (rate === null) return { take: () => OK, has: () => true };
  const { burst, perMinute } = rate;
  const perMs = perMinute / 60_000;
  const buckets = createLru<{ tokens: number; at: number }>(KEYS_MAX);

  const refilled = (key: string) => {
    const now = clock.monotonic();
    const bucket = buckets.get(key);
    if (bucket === undefined) {
      const full = { tokens: burst, at: now };
      buckets.set(key, full);
      return full;
    }
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) * perMs);
    bucket.at = now;
    return bucket;
  };

  return {
    take(key, cost = 1) {
      const bucket = refilled(key);
      if (bucket.tokens >= cost) {
        bucket.tokens -= cost;
        return OK;
      }
      return { ok: false, retryAfterMs: Math.ceil((cost - bucket.tokens) / perMs) };
    },
    has: (key, cost = 1) => (buckets.has(key) ? refilled(key).tokens : burst) >= cost,
  };
}

/** A limit that all nodes share, as the limit of this kind; `null` allows everything. */
export function createSharedRateLimit(rate: Rate | null, limits: SharedLimits, kind: string): SharedRateLimit {
  if (rate === null) return { take: async () => OK };
  const { burst, perMinute } = rate;
  const perMs = perMinute / 60_000;
  const fillMs = burst / perMs;
  const take: Change<RateDecision> = (state, now) => {
    // Only this function writes states of this kind. The times of two nodes differ a little; one far ahead is from before the clock was set back.
    const stored = state as { tokens: number; at: number } | null;
    const bucket = stored === null || stored.at > now + fillMs ? { tokens: burst, at: now } : stored;
    const tokens = Math.min(burst, bucket.tokens + Math.max(0, now - bucket.at) * perMs);
    if (tokens < 1) return { result: { ok: false, retryAfterMs: Math.ceil((1 - tokens) / perMs) } };
    // A bucket that is full again need not be kept.
    const keepMs = Math.ceil((burst - tokens + 1) / perMs);
    return { result: OK, next: { state: { tokens: tokens - 1, at: Math.max(now, bucket.at) }, keepMs } };
  };
  return { take: (key) => limits.update({ kind, id: key }, take) };
}

/** The limits, with their default rates. */
export const defaultRates = {
  /** Requests without a session, per network. */
  address: { burst: 200, perMinute: 100 },
  /** Access tokens that were refused, per network: each of them had to be verified. */
  badToken: { burst: 100, perMinute: 100 },
  /** Requests, per user. */
  user: { burst: 300, perMinute: 600 },
  /** Messages, per user, over HTTP and WebSocket together. */
  message: { burst: 50, perMinute: 300 },
  /** Registrations, per network, over all nodes. */
  registration: { burst: 5, perMinute: 5 },
  /** Names read from the directory, in units of `NAMES_PER_UNIT`, per user. */
  directory: { burst: 60, perMinute: 60 },
  /** Exports of everything about a user, per user. */
  export: { burst: 2, perMinute: 3 / 60 },
  /** WebSocket frames, control frames included, per user. */
  frame: { burst: 100, perMinute: 1_200 },
  /** Requests to open a WebSocket, per network. */
  upgrade: { burst: 300, perMinute: 300 },
} as const satisfies Record<string, Rate>;

export type LimitName = keyof typeof defaultRates;

/** The limits that all nodes share. */
export type SharedLimitName = 'registration';

/** The limits of each node. */
export type LocalLimitName = Exclude<LimitName, SharedLimitName>;

/** Rates that differ from the default; `'off'` for no limits at all. */
export type RateSettings = 'off' | Readonly<Partial<Record<LimitName, Rate>>>;

export type RateLimits = Readonly<Record<LocalLimitName, RateLimit> & Record<SharedLimitName, SharedRateLimit>>;

/** The limits of this node and those of all nodes, for HTTP and WebSocket together. */
export function createRateLimits(
  settings: RateSettings,
  clock: Pick<Clock, 'monotonic'>,
  sharedLimits: SharedLimits,
): RateLimits {
  const rateOf = (name: LimitName): Rate | null => (settings === 'off' ? null : (settings[name] ?? defaultRates[name]));
  const limit = (name: LocalLimitName): RateLimit => createRateLimit(rateOf(name), clock);
  return {
    address: limit('address'),
    badToken: limit('badToken'),
    user: limit('user'),
    message: limit('message'),
    registration: createSharedRateLimit(rateOf('registration'), sharedLimits, 'registration'),
    directory: limit('directory'),
    export: limit('export'),
    frame: limit('frame'),
    upgrade: limit('upgrade'),
  };
}

/** Takes from a limit, or throws `too-many-requests` with the time to wait. */
export function charge(limit: RateLimit, key: string, cost = 1): void {
  requireOk(limit.take(key, cost));
}

/** The same for a limit that all nodes share. */
export async function chargeShared(limit: SharedRateLimit, key: string): Promise<void> {
  requireOk(await limit.take(key));
}

function requireOk(decision: RateDecision): void {
  if (decision.ok) return;
  const { retryAfterMs } = decision;
  throw new Refusal('too-many-requests', 'too many requests; try again later', { retryAfterMs });
}
