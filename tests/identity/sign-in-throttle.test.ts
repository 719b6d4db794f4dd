import { beforeEach, describe, expect, it } from 'vitest';
import { type Attempt, SignInThrottle } from '../../src/identity/sign-in-throttle.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const ADA = 'ada@example.org';
const HOME = '192.0.2.1';

describe('failed sign-ins', () => {
  let clock: ManualClock;
  let throttle: SignInThrottle;
  beforeEach(() => {
    clock = manualClock();
    throttle = new SignInThrottle(Buffer.alloc(32, 1), () => clock.monotonic(), 5);
  });

  /** A failed attempt. Returns how long it has to wait. */
  const fail = (email = ADA, address = HOME): number => {
    const attempt = throttle.begin(email, address);
    return typeof attempt === 'number' ? attempt : 0;
  };
  const begin = (email = ADA, address = HOME): Attempt => {
    const attempt = throttle.begin(email, address);
    if (typeof attempt === 'number') throw new Error(`wait ${attempt} ms`);
    return attempt;
  };
  const times = (count: number, work: (i: number) => number): number[] =>
    Array.from({ length: count }, (_, i) => work(i));

  it('have no delay five times, then one second, doubled each time up to a quarter of an hour', async () => {
    expect(times(6, () => fail())).toEqual([0, 0, 0, 0, 0, 1_000]);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      const wait = fail();
      waits.push(wait / 1_000);
      await clock.advance(wait);
      expect(fail()).toBe(0);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
  });

  it('do not count while they have to wait, so repeated attempts do not extend the delay', async () => {
    times(5, () => fail());
    expect(times(50, () => fail())).toEqual(Array(50).fill(1_000));
    await clock.advance(1_000);
    expect(fail()).toBe(0);
  });

  it('do not delay the owner in another network', () => {
    times(20, () => fail());
    expect(fail(ADA, '198.51.100.9')).toBe(0);
  });

  it('are forgotten by the right password', async () => {
    times(5, () => fail());
    await clock.advance(1_000);
    throttle.succeeded(begin());
    expect(times(5, () => fail())).toEqual([0, 0, 0, 0, 0]);
  });

  it('are forgotten after an hour without a failure', async () => {
    times(5, () => fail());
    await clock.advance(60 * 60_000);
    expect(times(6, () => fail())).toEqual([0, 0, 0, 0, 0, 1_000]);
  });

  it('count before their outcome is known, so that concurrent attempts have no advantage', () => {
    expect(times(8, () => fail()).filter((wait) => wait === 0)).toHaveLength(5);
  });

  it('do not count without an outcome', () => {
    for (let i = 0; i < 20; i++) throttle.forgive(begin());
    expect(fail()).toBe(0);
  });

  it('of one account from many networks are delayed too, but not for long', async () => {
    const waits = times(51, (i) => fail(ADA, `198.51.100.${i}`));
    expect(waits.slice(0, 50)).toEqual(Array(50).fill(0));
    expect(waits[50]).toBe(1_000);
    for (let i = 0; i < 12; i++) {
      await clock.advance(30_000);
      expect(fail(ADA, `203.0.113.${i}`)).toBe(0);
    }
    expect(fail(ADA, '203.0.113.200')).toBe(30_000);
  });

  it('in other networks do not delay a network from which the owner signed in before', () => {
    throttle.succeeded(begin(ADA, HOME));
    times(60, (i) => fail(ADA, `198.51.100.${i}`));
    expect(fail(ADA, '198.51.100.99')).toBeGreaterThan(0);
    expect(fail(ADA, HOME)).toBe(0);
  });

  it('of many accounts from one network are delayed', () => {
    const waits = times(101, (i) => fail(`user${i}@example.org`));
    expect(waits.slice(0, 100)).toEqual(Array(100).fill(0));
    expect(waits[100]).toBe(1_000);
    expect(fail('another@example.org', '198.51.100.9')).toBe(0);
  });

  it('count for one account in any spelling of its address', () => {
    times(5, (i) => fail(i % 2 === 0 ? ' ADA@example.org' : 'ada@EXAMPLE.org '));
    expect(fail()).toBe(1_000);
  });
});
