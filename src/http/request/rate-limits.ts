import { LRUCache } from 'lru-cache';
import type { Clock } from '../../ports/clock.ts';

/** How much one bucket lets through: `burst` at once, and `perMinute` over time. */
export type Rate = Readonly<{ burst: number; perMinute: number }>;

/** Whether it was let through; if not, when it would be. */
export type Taken = Readonly<{ ok: true }> | Readonly<{ ok: false; retryAfterMs: number }>;

/** One token bucket per key (an address, a user). The longest unused are forgotten, and so start full again. */
export interface RateLimit {
  /** Takes `cost` tokens if they are there, else none. A cost above the burst is never let through. */
  take(key: string, cost?: number): Taken;
  /** Whether `take(key, cost)` would be let through; takes nothing. */
  has(key: string, cost?: number): boolean;
}

/** Keys remembered per limit: about 20 MB each when full. */
const KEYS_MAX = 100_000;

const OK: Taken = { ok: true };

/** A limit of this node; `null` lets everything through. */
export function createRateLimit(rate: Rate | null, clock: Pick<Clock, 'monotonic'>): RateLimit {
  if (rate === null) return { take: () => OK, has: () => true };
  const { burst, perMinute } = rate;
  const perMs = perMinute / 60_000;
  const buckets = new LRUCache<string, { tokens: number; at: number }>({ max: KEYS_MAX });

  const filled = (key: string) => {
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
      const bucket = filled(key);
      if (bucket.tokens >= cost) {
        bucket.tokens -= cost;
        return OK;
      }
      return { ok: false, retryAfterMs: Math.ceil((cost - bucket.tokens) / perMs) };
    },
    has: (key, cost = 1) => (buckets.has(key) ? filled(key).tokens : burst) >= cost,
  };
}

/** What is limited, and by what. */
export const defaultRates = {
  /** Requests without a session, per network. */
  address: { burst: 200, perMinute: 100 },
  /** Access tokens that were refused, per network: each of them had to be verified. */
  badToken: { burst: 100, perMinute: 100 },
  /** Requests of a user. */
  user: { burst: 300, perMinute: 600 },
  /** Messages of a user, over HTTP and WebSocket together. */
  message: { burst: 50, perMinute: 300 },
  /** Accounts opened, per network. */
  registration: { burst: 5, perMinute: 5 },
  /** Frames of a user over WebSocket. */
  frame: { burst: 100, perMinute: 1_200 },
} as const satisfies Record<string, Rate>;

export type LimitName = keyof typeof defaultRates;

/** Rates that differ from the default; `'off'` for no limits at all. */
export type RateSettings = 'off' | Readonly<Partial<Record<LimitName, Rate>>>;

export type RateLimits = Readonly<Record<LimitName, RateLimit>>;

/** This node's limits: one set, which HTTP and WebSocket share. */
export function createRateLimits(settings: RateSettings, clock: Pick<Clock, 'monotonic'>): RateLimits {
  const limit = (name: LimitName): RateLimit =>
    createRateLimit(settings === 'off' ? null : (settings[name] ?? defaultRates[name]), clock);
  return {
    address: limit('address'),
    badToken: limit('badToken'),
    user: limit('user'),
    message: limit('message'),
    registration: limit('registration'),
    frame: limit('frame'),
  };
}
