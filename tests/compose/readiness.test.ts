import { expect, it } from 'vitest';
import { followerCheck } from '../../src/compose/readiness.ts';
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
