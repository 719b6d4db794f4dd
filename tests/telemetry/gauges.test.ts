import { describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { FollowerStatus } from '../../src/log/follower.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { observeConnections } from '../../src/telemetry/observe-connections.ts';
import { type ObservedFollower, observeFollowers } from '../../src/telemetry/observe-followers.ts';
import { collected, valuesOf } from './exposition.ts';

const FAILURES = 'parley_metrics_update_failures_total';

function setUp(clock: Clock = createSystemClock()) {
  const telemetry = createPrometheusTelemetry({ processMetrics: false });
  let read: Parameters<typeof observeFollowers>[1] = () => [];
  const remove = observeFollowers(telemetry, () => read(), clock);
  const shown = async () => {
    const metrics = await collected(telemetry);
    return {
      up: valuesOf(metrics.get('parley_follower_up')),
      events: valuesOf(metrics.get('parley_follower_lag_events')),
      seconds: valuesOf(metrics.get('parley_follower_lag_seconds')),
      failures: valuesOf(metrics.get(FAILURES))[''],
    };
  };
  const follow = (followers: typeof read) => {
    read = followers;
  };
  return { follow, shown, remove };
}

const follower = (name: string, state: string, lagEvents: number | null, lagMs: number | null): ObservedFollower => ({
  name,
  state,
  lagEvents,
  lagMs,
});

describe('observed followers', () => {
  it('show their lag in events and seconds, and whether they are live', async () => {
    const { follow, shown } = setUp();
    follow(() => [
      follower('push', 'live', 0, 0),
      follower('users', 'catching-up', 1_200, 2_500),
      follower('mail', 'stopped', null, null),
    ]);
    expect(await shown()).toEqual({
      up: { 'follower=push': 1, 'follower=users': 0, 'follower=mail': 0 },
      events: { 'follower=push': 0, 'follower=users': 1_200 },
      seconds: { 'follower=push': 0, 'follower=users': 2.5 },
      failures: 0,
    });
  });

  it('are read before each collection, and lose what is not known any more', async () => {
    const { follow, shown } = setUp();
    follow(() => [follower('push', 'live', 3, 1_000), follower('users', 'live', 4, 2_000)]);
    await shown();
    follow(async () => [follower('push', 'retrying', null, null)]);
    expect(await shown()).toEqual({ up: { 'follower=push': 0 }, events: {}, seconds: {}, failures: 0 });
    follow(() => [follower('push', 'live', 5, null)]);
    expect(await shown()).toEqual({
      up: { 'follower=push': 1 },
      events: { 'follower=push': 5 },
      seconds: {},
      failures: 0,
    });
  });

  it('take the status of a follower of the log as it is', async () => {
    const { follow, shown } = setUp();
    const status: FollowerStatus = {
      name: 'push',
      state: 'diverged',
      position: '07',
      lagEvents: 2,
      lagMs: 500,
      lastError: 'restored from an older copy',
    };
    follow(() => [status]);
    expect(await shown()).toMatchObject({ up: { 'follower=push': 0 }, events: { 'follower=push': 2 } });
  });

  it('show nothing while they cannot be read, at once or later', async () => {
    const { follow, shown } = setUp();
    const failures: (() => Promise<never>)[] = [
      () => {
        throw new Error('at once');
      },
      () => Promise.reject(new Error('later')),
    ];
    for (const [i, failure] of failures.entries()) {
      follow(() => [follower('push', 'live', 1, 1_000)]);
      expect(await shown()).toMatchObject({ up: { 'follower=push': 1 }, failures: i });
      follow(failure);
      expect(await shown()).toEqual({ up: {}, events: {}, seconds: {}, failures: i + 1 });
    }
  });

  it('show nothing when they cannot be read in time, and come back', async () => {
    const waits: number[] = [];
    let elapse = () => {};
    const after: Clock['after'] = (ms, callback) => {
      waits.push(ms);
      elapse = callback;
      return { cancel() {} };
    };
    const { follow, shown } = setUp({ ...createSystemClock(), after });
    follow(() => [follower('push', 'live', 1, 1_000)]);
    await shown();
    const { promise, resolve } = Promise.withResolvers<readonly ObservedFollower[]>();
    follow(() => promise);
    const late = shown();
    await new Promise((done) => setImmediate(done));
    elapse();
    expect(await late).toEqual({ up: {}, events: {}, seconds: {}, failures: 1 });
    expect(waits).toEqual([2_000, 2_000]);
    resolve([follower('push', 'live', 2, 1_000)]);
    expect(await shown()).toMatchObject({ up: { 'follower=push': 1 }, failures: 1 });
  });

  it('are not read any more once that is ended', async () => {
    const { follow, shown, remove } = setUp();
    let reads = 0;
    follow(() => {
      reads++;
      return [];
    });
    await shown();
    remove();
    await shown();
    expect(reads).toBe(1);
  });
});

describe('observed connections', () => {
  it('show connections, users and frames, read before each collection until that is ended', async () => {
    const telemetry = createPrometheusTelemetry({ processMetrics: false });
    let stats = { connections: 3, users: 2, buffered: 40 };
    const remove = observeConnections(telemetry, { stats: () => stats });
    const shown = async () => {
      const metrics = await collected(telemetry);
      const names = ['parley_connections', 'parley_connected_users', 'parley_resume_buffer_frames'];
      return names.map((name) => valuesOf(metrics.get(name))['']);
    };
    expect(await shown()).toEqual([3, 2, 40]);
    stats = { connections: 0, users: 0, buffered: 41 };
    expect(await shown()).toEqual([0, 0, 41]);
    remove();
    stats = { connections: 9, users: 9, buffered: 9 };
    expect(await shown()).toEqual([0, 0, 41]);
  });
});
