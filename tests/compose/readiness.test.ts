import { expect, it } from 'vitest';
import { followerCheck, projectionChecks } from '../../src/compose/readiness.ts';
import type { FollowerState } from '../../src/log/follower.ts';

const status = (state: FollowerState, lastError: string | null) => async () => ({
  name: 'push',
  state,
  position: null,
  lagEvents: null,
  lagMs: null,
  lastError,
});

it.each<[FollowerState, string | null, string | null]>([
  ['live', null, null],
  ['catching-up', null, null],
  ['retrying', 'the log is unavailable', 'the log is unavailable'],
  ['diverged', 'the log was restored', 'the log was restored'],
  ['stopped', 'damaged', 'damaged'],
  ['stopped', null, 'stopped'],
])('a follower that is %s (last error: %s) is reported as %s', async (state, lastError, expected) => {
  const { name, check } = followerCheck('push', status(state, lastError));
  expect(name).toBe('follower:push');
  expect(await check()).toBe(expected);
});

it('a follower that does not run on this node is ready', async () => {
  expect(await followerCheck('account-mails', async () => null).check()).toBeNull();
});

it('the projections of one probe are read once, and anew for the next probe, also after a failure', async () => {
  let reads = 0;
  const failures = [new Error('as the test wants it')];
  const checks = projectionChecks(
    {
      async status() {
        reads++;
        await new Promise((resolve) => setImmediate(resolve));
        const failure = failures.pop();
        if (failure !== undefined) throw failure;
        return [];
      },
    },
    ['users', 'conversations', 'messages'],
  );
  const probe = () => Promise.allSettled(checks.map(({ check }) => check()));
  expect((await probe()).map(({ status: outcome }) => outcome)).toEqual(Array(3).fill('rejected'));
  expect(reads).toBe(1);
  expect(await probe()).toEqual(Array(3).fill({ status: 'fulfilled', value: null }));
  expect(reads).toBe(2);
});
