import { Refusal } from '../../kernel/errors.ts';
import type { Clock } from '../../ports/clock.ts';
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
  /** Registrations, per network. */
  registration: { burst: 5, perMinute: 5 },
  /** Names read from the directory, in units of `NAMES_PER_UNIT`, per user. */
  directory: { burst: 60, perMinute: 60 },
  /** WebSocket frames, control frames included, per user. */
  frame: { burst: 100, perMinute: 1_200 },
  /** Requests to open a WebSocket, per network. */
  upgrade: { burst: 300, perMinute: 300 },
} as const satisfies Record<string, Rate>;

export type LimitName = keyof typeof defaultRates;

/** Rates that differ from the default; `'off'` for no limits at all. */
export type RateSettings = 'off' | Readonly<Partial<Record<LimitName, Rate>>>;

export type RateLimits = Readonly<Record<LimitName, RateLimit>>;

/** This node's limits, shared by HTTP and WebSocket. */
export function createRateLimits(settings: RateSettings, clock: Pick<Clock, 'monotonic'>): RateLimits {
  const limit = (name: LimitName): RateLimit =>
    createRateLimit(settings === 'off' ? null : (settings[name] ?? defaultRates[name]), clock);
  return {
    address: limit('address'),
    badToken: limit('badToken'),
    user: limit('user'),
    message: limit('message'),
    registration: limit('registration'),
    directory: limit('directory'),
    frame: limit('frame'),
    upgrade: limit('upgrade'),
  };
}

/** Takes from a limit, or throws `too-many-requests` with the time to wait. */
export function charge(limit: RateLimit, key: string, cost = 1): void {
  const decision = limit.take(key, cost);
  if (decision.ok) return;
  const { retryAfterMs } = decision;
  throw new Refusal('too-many-requests', 'too many requests; try again later', { retryAfterMs });
}
