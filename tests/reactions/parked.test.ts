import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ReactionRunner } from '../../src/reactions/reaction-runner.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { appendEvent, effectOf, recording, sharedLease, start, until } from './world.ts';

const HOUR = 60 * 60_000;

let stores: MemoryStores;
let clock: ManualClock;
let runner: ReactionRunner;
let performed: string[];
/** What each attempt fails with, `null` for success. */
let failure: Error | null;
let stop: () => Promise<void>;
beforeEach(async () => {
  stores = await openMemoryStores();
  failure = new RangeError('never');
  const recorded = recording(async () => {
    if (failure !== null) throw failure;
  });
  ({ performed } = recorded);
  ({ runner, clock, stop } = await start(stores, recorded.reaction));
});
afterEach(async () => {
  await stop();
  await stores.close();
});

const statusIs = (id: string, status: string) => async () => (await effectOf(stores.documents, id))?.status === status;

async function parked(): Promise<string> {
  const id = await appendEvent(stores.log);
  await until('it is parked', statusIs(id, 'parked'));
  return id;
}

it('parked effects are listed, those that were parked first at the beginning', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) {
    ids.push(await parked());
    await clock.advance(1_000);
  }
  const listed = await runner.parked.list(10);
  expect(listed.map(({ id }) => id)).toEqual(ids);
  expect(listed[0]).toEqual({
    reaction: 'recording',
    id: ids[0],
    type: 'RegistrationRepeated',
    stream: expect.stringMatching(/^user-[0-9a-f]{24}$/),
    attempts: 1,
    parkedAt: clock.now() - 3_000,
    lastError: 'never',
  });
  expect((await runner.parked.list(2)).map(({ id }) => id)).toEqual(ids.slice(0, 2));
  expect(await runner.parked.count(10)).toBe(3);
  expect(await runner.parked.count(2)).toBe(2);
});

it('effects that are pending or done are neither listed nor retried', async () => {
  failure = null;
  const done = await appendEvent(stores.log);
  await until('it is done', statusIs(done, 'done'));
  failure = new Error('not now');
  const pending = await appendEvent(stores.log);
  await until('it has failed', async () => (await effectOf(stores.documents, pending))?.lastError === 'not now');
  const before = await effectOf(stores.documents, pending);
  expect(await runner.parked.list(10)).toEqual([]);
  expect(await runner.parked.retry([done, pending, 'unknown'])).toEqual([]);
  expect(await runner.parked.retry('all')).toEqual([]);
  expect(await effectOf(stores.documents, pending)).toEqual(before);
  expect(performed).toEqual([done, pending]);
});

it('a retried effect is performed at once, and others stay parked', async () => {
  const [first, second] = [await parked(), await parked()];
  failure = null;
  expect(await runner.parked.retry([first])).toEqual([first]);
  // The clock stands still: only a notification wakes the worker.
  await until('it is done', statusIs(first, 'done'));
  expect(await effectOf(stores.documents, second)).toMatchObject({ status: 'parked' });
  expect(performed).toEqual([first, second, first]);
});

it('a retried effect is attempted like a new one: with growing pauses, for 24 hours from then on', async () => {
  const id = await parked();
  await clock.advance(48 * HOUR);
  failure = new Error('not now');
  const retriedAt = clock.now();
  await runner.parked.retry([id]);
  await until('it has failed', async () => (await effectOf(stores.documents, id))?.lastError === 'not now');
  const effect = await effectOf(stores.documents, id);
  expect(effect).toMatchObject({ status: 'pending', attempts: 1, createdAt: retriedAt });
  expect((effect?.dueAt ?? 0) - retriedAt).toBeGreaterThanOrEqual(2_500);
  expect((effect?.dueAt ?? 0) - retriedAt).toBeLessThanOrEqual(5_000);
  await until('it is parked again', async () => {
    await clock.advance(HOUR / 4);
    return statusIs(id, 'parked')();
  });
  expect(clock.now() - retriedAt).toBeGreaterThanOrEqual(24 * HOUR);
  expect(clock.now() - retriedAt).toBeLessThanOrEqual(26 * HOUR);
});

it('several calls at the same time retry each effect once', async () => {
  const ids = [await parked(), await parked(), await parked(), await parked()];
  failure = null;
  const calls = await Promise.all([
    runner.parked.retry('all'),
    runner.parked.retry(ids),
    runner.parked.retry('all'),
    runner.parked.retry(ids.toReversed()),
  ]);
  expect(calls.flat().toSorted()).toEqual(ids.toSorted());
  for (const id of ids) await until('it is done', statusIs(id, 'done'));
  expect(performed).toHaveLength(2 * ids.length);
});

it('all effects are retried, also more than one page of them', async () => {
  // Without a worker, which would park them again.
  await stop();
  const ids = Array.from({ length: 600 }, (_, n) => `effect-${n}`);
  const body = { status: 'parked', stream: 'user-1', revision: '0', type: 'T', attempts: 3, createdAt: 0, dueAt: 0 };
  const writes = ids.map((id) => ({
    collection: 'effects',
    id,
    position: '0'.repeat(12),
    guard: null,
    body: { ...body, lastError: 'never' },
  }));
  await stores.documents.apply({ writes });
  const retried = await runner.parked.retry('all');
  expect(retried.toSorted()).toEqual(ids.toSorted());
  expect(await runner.parked.count(1_000)).toBe(0);
  expect(await effectOf(stores.documents, 'effect-7')).toMatchObject({ status: 'pending', attempts: 0 });
});

it('a node that does not run the reaction can list and retry for the one that does', async () => {
  const id = await parked();
  const idle = await start(stores, recording().reaction, clock, sharedLease(0));
  failure = null;
  expect((await idle.runner.parked.list(10)).map((effect) => effect.id)).toEqual([id]);
  expect(await idle.runner.parked.retry([id])).toEqual([id]);
  await until('the worker has found it within a minute', async () => {
    await clock.advance(1_000);
    return statusIs(id, 'done')();
  });
  expect(performed).toEqual([id, id]);
  await idle.stop();
});
