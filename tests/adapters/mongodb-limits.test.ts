import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { openMongoLimits } from '../../src/adapters/mongodb/limits.ts';
import { InsuredLimits } from '../../src/identity/insured-limits.ts';
import { AWAY_MAX_MS, SignInThrottle } from '../../src/identity/sign-in-throttle.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Change, LimitStore } from '../../src/ports/limit-store.ts';
import { describeLimitsContract } from '../contracts/limits.ts';
import { databaseOf, mongodb, mongoPlace } from '../support/mongodb.ts';
import { type MongoProxy, missingForProxy, startMongoProxy } from '../support/mongodb-proxy.ts';
import { service } from '../support/services.ts';
import { SERVER_SECRET, system } from '../support/stores.ts';

const { random } = system;
const secret = Buffer.from(SERVER_SECRET);
const logger = silentLogger;
const UNAVAILABLE = { name: 'StoreError', code: 'UNAVAILABLE' };

describeLimitsContract({
  ...mongodb,
  prepare: async (manual) => {
    const clock = { ...system.clock, monotonic: () => manual.monotonic() };
    return mongoPlace((url) =>
      openMongoLimits({ url, secret, clock, random, logger, serverTime: () => Math.round(manual.now()) }),
    );
  },
});

const count: Change<number> = (state) => {
  const next = Number(state?.count ?? 0) + 1;
  return { result: next, next: { state: { count: next }, keepMs: 60_000 } };
};

/** The system's clock, this much ahead, and as much more as is added later. */
function shiftedClock(ms: number): Clock & { shiftMs: number } {
  const { clock } = system;
  const shifted = { ...clock, shiftMs: ms, monotonic: () => clock.monotonic() + shifted.shiftMs };
  return Object.assign(shifted, { now: () => clock.now() + shifted.shiftMs });
}

describe.skipIf(!service(`${mongodb.name}, limits`, missingForProxy))('limits in MongoDB', () => {
  const place = mongoPlace((url, clock: Clock, through?: MongoProxy) => {
    const options = { serverSelectionTimeoutMS: '1000' };
    const to = through === undefined ? url : through.url(databaseOf(url), options);
    return openMongoLimits({ url: to, secret, clock, random, logger });
  });
  let proxy: MongoProxy;
  beforeAll(async () => {
    proxy = await startMongoProxy();
  });
  afterEach(() => {
    proxy.judge(() => 'pass');
    proxy.setAway(false);
  });
  afterAll(async () => {
    await place.dispose();
    await proxy?.close();
  });
  const newKey = () => ({ kind: 'test', id: randomUUID() });

  it('use the time of the server, whatever the clocks of the nodes show', async () => {
    const ahead = await place.open(shiftedClock(24 * 60 * 60_000));
    const lagging = await place.open(shiftedClock(-24 * 60 * 60_000));
    const [a, b] = [await ahead.read([]), await lagging.read([])];
    expect(Math.abs(a.now - b.now)).toBeLessThan(30_000);
    const key = newKey();
    await ahead.update(key, count);
    expect(await lagging.update(key, count)).toBe(2);
  });

  it('store neither addresses nor networks', async () => {
    const store = await place.open(system.clock);
    const id = `${randomUUID()} ada@example.org 192.0.2.77`;
    await store.update({ kind: 'test', id }, count);
    const seen: string[] = [];
    proxy.judge((command) => {
      seen.push(JSON.stringify(command));
      return 'pass';
    });
    const watched = await place.open(system.clock, proxy);
    expect(await watched.update({ kind: 'test', id }, count)).toBe(2);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.join()).not.toMatch(/ada@|192\.0\.2\.77/);
  });

  it('are removed by the server once they have expired', async () => {
    const indexes: unknown[] = [];
    proxy.judge((command) => {
      if ('createIndexes' in command) indexes.push(...command.indexes);
      return 'pass';
    });
    const store = await place.open(system.clock, proxy);
    await store.update(newKey(), count);
    expect(indexes).toMatchObject([{ key: { expiresAt: 1 }, expireAfterSeconds: 0 }]);
  });

  it('write changes of one key that wait together as one', async () => {
    let writes = 0;
    proxy.judge((command) => {
      if ('insert' in command || 'update' in command) writes++;
      return 'pass';
    });
    const store = await place.open(system.clock, proxy);
    const key = newKey();
    await Promise.all(Array.from({ length: 500 }, () => store.update(key, count)));
    expect(await store.update(key, count)).toBe(501);
    // The first one, those that waited for it, and the last one.
    expect(writes).toBe(3);
  });

  it('reject more than 1,000 waiting changes of one key', async () => {
    const held = Promise.withResolvers<'pass'>();
    proxy.judge((command) => ('find' in command ? held.promise : 'pass'));
    const store = await place.open(system.clock, proxy);
    const key = newKey();
    const accepted = Array.from({ length: 1_001 }, () => store.update(key, count));
    await expect(store.update(key, count)).rejects.toMatchObject(UNAVAILABLE);
    held.resolve('pass');
    expect(await Promise.all(accepted)).toHaveLength(1_001);
  });

  it('are unavailable while MongoDB is, and continue afterwards', async () => {
    const store = await place.open(system.clock, proxy);
    const key = newKey();
    await store.update(key, count);
    proxy.setAway(true);
    await expect(store.update(key, count)).rejects.toMatchObject(UNAVAILABLE);
    await expect(store.read([key])).rejects.toMatchObject(UNAVAILABLE);
    proxy.setAway(false);
    expect(await vi.waitFor(() => store.update(key, count), { timeout: 15_000, interval: 50 })).toBe(2);
  });

  it('let a node count on its own while MongoDB is away, refuse sign-ins when it is away for long, and continue together', async () => {
    const clock = shiftedClock(0);
    const shared: LimitStore = await place.open(clock, proxy);
    const node = new InsuredLimits(shared, createMemoryLimits({ clock }), { clock, random, logger });
    const throttle = new SignInThrottle(node, secret, 2);
    const other = new SignInThrottle(Object.assign(await place.open(system.clock), { awayMs: () => 0 }), secret, 2);
    const email = `${randomUUID()}@example.org`;
    const network = `2001:db8:${randomUUID().slice(0, 4)}:${randomUUID().slice(0, 4)}::1`;
    await throttle.begin(email, network);
    await other.begin(email, network);
    expect(await throttle.begin(email, network)).toBeGreaterThan(0);

    proxy.setAway(true);
    // On its own, with counts of its own.
    expect(await throttle.begin(email, network)).toMatchObject({ counted: { length: 3 } });
    expect(await throttle.begin(email, network)).toMatchObject({ counted: { length: 3 } });
    expect(await throttle.begin(email, network)).toBeGreaterThan(0);
    clock.shiftMs += AWAY_MAX_MS + 1;
    await expect(throttle.begin(email, network)).rejects.toMatchObject({ code: 'unavailable', retryAfterMs: 5_000 });

    proxy.setAway(false);
    await vi.waitFor(() => expect(node.awayMs()).toBe(0), { timeout: 15_000, interval: 50 });
    // The counts of all nodes apply again: the first delay is over, and this failure causes the next one.
    const third = await vi.waitFor(async () => {
      const attempt = await other.begin(email, network);
      expect(attempt).not.toBeTypeOf('number');
      return attempt;
    });
    expect(third).toMatchObject({ counted: { length: 3 } });
    expect(await throttle.begin(email, network)).toBeGreaterThan(1_000);
    await node.close();
  });
});
