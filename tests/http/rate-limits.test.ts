import { describe, expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { createRateLimit, createRateLimits } from '../../src/http/request/rate-limits.ts';

function clockAt(start: number) {
  const clock = { at: start, monotonic: () => clock.at };
  return clock;
}

describe('a rate limit', () => {
  it('allows the burst, then reports when to try again', () => {
    const limit = createRateLimit({ burst: 3, perMinute: 60 }, clockAt(0));
    expect([1, 2, 3].map(() => limit.take('a'))).toEqual([{ ok: true }, { ok: true }, { ok: true }]);
    expect(limit.take('a')).toEqual({ ok: false, retryAfterMs: 1_000 });
  });

  it('refills over time, up to the burst', () => {
    const clock = clockAt(0);
    const limit = createRateLimit({ burst: 2, perMinute: 60 }, clock);
    limit.take('a', 2);
    clock.at = 1_000;
    expect(limit.take('a')).toEqual({ ok: true });
    expect(limit.take('a')).toEqual({ ok: false, retryAfterMs: 1_000 });
    clock.at = 1_000_000;
    expect(limit.take('a', 2)).toEqual({ ok: true });
    expect(limit.take('a').ok).toBe(false);
  });

  it('counts each key separately', () => {
    const limit = createRateLimit({ burst: 1, perMinute: 60 }, clockAt(0));
    limit.take('a');
    expect(limit.take('b')).toEqual({ ok: true });
  });

  it('takes nothing when it refuses or only checks', () => {
    const limit = createRateLimit({ burst: 2, perMinute: 60 }, clockAt(0));
    expect(limit.take('a', 3).ok).toBe(false);
    expect(limit.has('a', 2)).toBe(true);
    expect(limit.has('a', 3)).toBe(false);
    expect(limit.take('a', 2)).toEqual({ ok: true });
  });

  it('allows everything when limits are off', () => {
    const limits = createRateLimits('off', clockAt(0), createMemoryLimits({ clock: clockAt(0) }));
    for (let i = 0; i < 10_000; i++) expect(limits.message.take('a')).toEqual({ ok: true });
  });

  it('uses a configured rate instead of the default', () => {
    const limits = createRateLimits(
      { message: { burst: 1, perMinute: 1 } },
      clockAt(0),
      createMemoryLimits({ clock: clockAt(0) }),
    );
    limits.message.take('a');
    expect(limits.message.take('a')).toEqual({ ok: false, retryAfterMs: 60_000 });
    expect(limits.user.take('a')).toEqual({ ok: true });
  });
});
