import { beforeEach, describe, expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { type Attempt, AWAY_MAX_MS, SignInThrottle } from '../../src/identity/sign-in-throttle.ts';
import type { SharedLimits } from '../../src/ports/limit-store.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const ADA = 'ada@example.org';
const HOME = '192.0.2.1';
const SECRET = Buffer.alloc(32, 1);
const HOUR_MS = 60 * 60_000;

describe('failed sign-ins', () => {
  let clock: ManualClock;
  let limits: SharedLimits;
  let throttle: SignInThrottle;
  beforeEach(() => {
    clock = manualClock();
    limits = createMemoryLimits({ clock });
    throttle = new SignInThrottle(limits, SECRET, 5);
  });

  /** A failed attempt. Returns how long it has to wait. */
  const fail = async (email = ADA, address = HOME): Promise<number> => {
    const attempt = await throttle.begin(email, address);
    return typeof attempt === 'number' ? attempt : 0;
  };
  const begin = async (email = ADA, address = HOME): Promise<Attempt> => {
    const attempt = await throttle.begin(email, address);
    if (typeof attempt === 'number') throw new Error(`wait ${attempt} ms`);
    return attempt;
  };
  const times = async (count: number, work: (i: number) => Promise<number>): Promise<number[]> => {
    const waits: number[] = [];
    for (let i = 0; i < count; i++) waits.push(await work(i));
    return waits;
  };

  it('have no delay five times, then one second, doubled each time up to a quarter of an hour', async () => {
    expect(await times(6, () => fail())).toEqual([0, 0, 0, 0, 0, 1_000]);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      const wait = await fail();
      waits.push(wait / 1_000);
      await clock.advance(wait);
      expect(await fail()).toBe(0);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
  });

  it('do not count while they have to wait, so repeated attempts do not extend the delay', async () => {
    await times(5, () => fail());
    expect(await times(50, () => fail())).toEqual(Array(50).fill(1_000));
    await clock.advance(1_000);
    expect(await fail()).toBe(0);
  });

  it('do not delay the owner in another network', async () => {
    await times(20, () => fail());
    expect(await fail(ADA, '198.51.100.9')).toBe(0);
  });

  it('are forgotten by the right password', async () => {
    await times(5, () => fail());
    await clock.advance(1_000);
    await throttle.succeeded(await begin());
    expect(await times(5, () => fail())).toEqual([0, 0, 0, 0, 0]);
  });

  it('are forgotten after an hour without a failure', async () => {
    await times(5, () => fail());
    await clock.advance(60 * 60_000);
    expect(await times(6, () => fail())).toEqual([0, 0, 0, 0, 0, 1_000]);
  });

  it('count before their outcome is known, so that concurrent attempts have no advantage', async () => {
    const waits = await Promise.all(Array.from({ length: 8 }, () => fail()));
    expect(waits.filter((wait) => wait === 0)).toHaveLength(5);
  });

  it('do not count without an outcome', async () => {
    for (let i = 0; i < 20; i++) await throttle.forgive(await begin());
    expect(await fail()).toBe(0);
  });

  it('of one account from many networks are delayed too, but not for long', async () => {
    const waits = await times(51, (i) => fail(ADA, `198.51.100.${i}`));
    expect(waits.slice(0, 50)).toEqual(Array(50).fill(0));
    expect(waits[50]).toBe(1_000);
    for (let i = 0; i < 12; i++) {
      await clock.advance(30_000);
      expect(await fail(ADA, `203.0.113.${i}`)).toBe(0);
    }
    expect(await fail(ADA, '203.0.113.200')).toBe(30_000);
  });

  it('in other networks do not delay a network from which the owner signed in before', async () => {
    await throttle.succeeded(await begin(ADA, HOME));
    await times(60, (i) => fail(ADA, `198.51.100.${i}`));
    expect(await fail(ADA, '198.51.100.99')).toBeGreaterThan(0);
    expect(await fail(ADA, HOME)).toBe(0);
  });

  it('of many accounts from one network are delayed', async () => {
    const waits = await times(101, (i) => fail(`user${i}@example.org`));
    expect(waits.slice(0, 100)).toEqual(Array(100).fill(0));
    expect(waits[100]).toBe(1_000);
    expect(await fail('another@example.org', '198.51.100.9')).toBe(0);
  });

  it('count for one account in any spelling of its address', async () => {
    await times(5, (i) => fail(i % 2 === 0 ? ' ADA@example.org' : 'ada@EXAMPLE.org '));
    expect(await fail()).toBe(1_000);
  });

  it('count for one IPv6 network of 64 bits', async () => {
    await times(5, (i) => fail(ADA, `2001:db8:0:7::${i + 1}`));
    expect(await fail(ADA, '2001:db8:0:7:ffff::1')).toBe(1_000);
    expect(await fail(ADA, '2001:db8:0:8::1')).toBe(0);
  });

  it('of others keep their delay when a sign-in of the same network succeeds that began before it', async () => {
    await times(99, (i) => fail(`user${i}@example.org`));
    const own = await begin('mallory@example.org');
    await clock.advance(1_000);
    expect(await fail('victim@example.org')).toBe(0);
    await throttle.succeeded(own);
    expect(await fail('victim@example.org')).toBe(2_000);
  });

  it('of a network that many users share are not kept by their sign-ins, but start again every hour', async () => {
    await times(99, (i) => fail(`user${i}@example.org`));
    for (let i = 0; i < 6; i++) {
      await clock.advance(HOUR_MS / 6);
      await throttle.succeeded(await begin('ben@example.org'));
    }
    expect(await times(100, (i) => fail(`other${i}@example.org`))).toEqual(Array(100).fill(0));
    expect(await fail('another@example.org')).toBe(1_000);
  });

  it('do not count when another limit refuses the attempt at the same time', async () => {
    await Promise.all(Array.from({ length: 300 }, () => fail()));
    // Of the network, 5 of 100 free failures are used.
    const waits = await times(96, (i) => fail(`user${i}@example.org`));
    expect(waits).toEqual([...Array(95).fill(0), 1_000]);
  });

  it('are delayed for at most a quarter of an hour, also when the clock was set back meanwhile', async () => {
    const day = 24 * HOUR_MS;
    let ahead = day;
    /** Until the delay is the longest one. */
    const failOften = async (): Promise<void> => {
      for (let wait = 0; wait < 900_000; wait = await fail()) await clock.advance(wait);
      expect(await fail()).toBe(900_000);
    };
    limits = createMemoryLimits({ clock: { monotonic: () => clock.monotonic() + ahead } });
    throttle = new SignInThrottle(limits, SECRET, 5);
    await failOften();
    ahead = 0;
    expect(await fail()).toBe(0);
    // A difference between the clocks of two servers has no such effect.
    await failOften();
    ahead = -5_000;
    expect(await fail()).toBe(905_000);
  });

  it('of a network are delayed for at most a minute, also when the clock was set back at the end of the hour in which they count', async () => {
    let ahead = 0;
    limits = createMemoryLimits({ clock: { monotonic: () => clock.monotonic() + ahead } });
    throttle = new SignInThrottle(limits, SECRET, 5);
    await fail('first@example.org');
    await clock.advance(0.9 * HOUR_MS);
    await times(99, (i) => fail(`user${i}@example.org`));
    expect(await fail('another@example.org')).toBe(1_000);
    ahead = -HOUR_MS / 2;
    expect(await fail('another@example.org')).toBe(0);
  });

  it('are refused as unavailable while the counts of the other nodes have been missing for longer than a minute', async () => {
    let awayMs = AWAY_MAX_MS;
    const { read, update, close } = limits;
    limits = { read: read.bind(limits), update: update.bind(limits), close: close.bind(limits), awayMs: () => awayMs };
    throttle = new SignInThrottle(limits, SECRET, 5);
    expect(await fail()).toBe(0);
    awayMs++;
    await expect(throttle.begin(ADA, HOME)).rejects.toMatchObject({ code: 'unavailable', retryAfterMs: 5_000 });
    awayMs = 0;
    expect(await fail()).toBe(0);
  });
});
