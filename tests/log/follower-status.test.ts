import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { anchorOf } from '../../src/log/anchor.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { Follower } from '../../src/log/follower.ts';
import { until } from '../projections/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';
import { newEvent, newStream, notes, openTestStores } from './fixtures.ts';
import { appendTexts, BEGINNING, checkpointAt, failing, follow, hastyClock } from './following.ts';

describe('the status of a follower', () => {
  /** A log of ten notes on a clock that stands still, and a follower that stops in the middle of a batch until it is released. */
  async function heldAt(batch: number, change: (log: EventLog) => Partial<EventLog> = () => ({})) {
    const clock = manualClock();
    const { log } = await openTestStores({ clock });
    await log.append(newStream(), notes(10), { expect: 'none' });
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    const gate = Promise.withResolvers<void>();
    let calls = 0;
    const following = follow(
      { ...log, ...change(log) },
      {
        clock,
        batchSize: 4,
        async handle() {
          if (++calls === batch) await gate.promise;
          return undefined;
        },
      },
    );
    await until(() => calls === batch, 'it is in the middle of the batch');
    return { log, clock, events, release: () => gate.resolve(), ...following };
  }

  it('is `stopped` before it runs', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    const handle = async () => undefined;
    const follower = new Follower({ ...system, name: 'test', log, checkpoint: () => BEGINNING, handle });
    expect(await follower.status()).toEqual({
      name: 'test',
      state: 'stopped',
      position: null,
      lagEvents: null,
      lagMs: null,
      lastError: null,
    });
  });

  it('is `catching-up`, with the events that wait and the age of the last one handled', async () => {
    const { clock, events, follower, release, stop, running } = await heldAt(2);
    await clock.advance(5_000);
    expect(await follower.status()).toEqual({
      name: 'test',
      state: 'catching-up',
      position: events[3]?.position,
      lagEvents: 6,
      lagMs: 5_000,
      lastError: null,
    });
    expect(follower.end).toEqual({ reached: false, recordedAt: events[3]?.recordedAt });
    release();
    stop.abort();
    await running;
    expect(follower.state).toBe('stopped');
  });

  it('is `live` once it has reached the end of the log, and stays so while further events wait', async () => {
    const { log, clock, events, follower, release, texts, stop, running } = await heldAt(1);
    expect(await follower.status()).toMatchObject({ state: 'catching-up', position: null, lagEvents: 10, lagMs: null });
    release();
    await until(() => follower.state === 'live', 'it is live');
    await clock.advance(5_000);
    const live = { state: 'live', position: events[9]?.position, lagEvents: 0, lagMs: 0, lastError: null };
    expect(await follower.status()).toEqual({ name: 'test', ...live });
    expect(follower.end).toEqual({ reached: true, recordedAt: events[9]?.recordedAt });
    const { position } = await appendTexts(log, 'more');
    await until(() => texts().length === 11, 'the rest is handled');
    await until(async () => (await follower.status()).position === position, 'its position has moved');
    expect(await follower.status()).toMatchObject({ state: 'live', lagEvents: 0, lagMs: 0 });
    stop.abort();
    await running;
  });

  it('counts what was appended while a batch is handled', async () => {
    const { log, clock, follower, release, stop, running } = await heldAt(3);
    await clock.advance(1_000);
    await log.append(newStream(), notes(5), { expect: 'none' });
    expect(await follower.status()).toMatchObject({ lagEvents: 7, lagMs: 1_000 });
    release();
    stop.abort();
    await running;
  });

  it('counts all events after its position, also those that its filter leaves out', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), notes(3), { expect: 'none' });
    const { follower, batches, stop, running } = follow(log, { filter: { types: ['NumberDrawn'] } });
    await until(() => batches.some(({ caughtUp }) => caughtUp), 'it has caught up');
    await log.append(newStream(), [newEvent('NumberDrawn', { n: 1 })], { expect: 'none' });
    await until(async () => (await follower.status()).lagEvents === 0, 'nothing waits');
    stop.abort();
    await running;
  });

  it.each<[string, () => Promise<null>]>([
    ['cannot count', async () => null],
    ['is unavailable', () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'))],
  ])('has no count where the store %s, except at the end of the log', async (_what, countAfter) => {
    const { clock, follower, release, stop, running } = await heldAt(2, () => ({ countAfter }));
    await clock.advance(5_000);
    expect(await follower.status()).toMatchObject({ lagEvents: null, lagMs: 5_000 });
    release();
    await until(() => follower.state === 'live', 'it is live');
    expect(await follower.status()).toMatchObject({ lagEvents: 0, lagMs: 0 });
    stop.abort();
    await running;
  });

  it('is `retrying` while a store is unavailable, with the reason', async () => {
    const clock = manualClock();
    const { log } = await openTestStores({ clock });
    await log.append(newStream(), notes(4), { expect: 'none' });
    const { state, fail } = failing();
    let calls = 0;
    const { follower, texts, stop, running } = follow(log, {
      clock,
      batchSize: 2,
      async handle() {
        if (++calls === 2) state.left = 1;
        fail();
        return undefined;
      },
    });
    await until(() => follower.state === 'retrying', 'it waits');
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    expect(await follower.status()).toEqual({
      name: 'test',
      state: 'retrying',
      position: events[1]?.position,
      lagEvents: 2,
      lagMs: 0,
      lastError: 'failure 1, as the test wants it',
    });
    expect(follower.lastError).toBe('failure 1, as the test wants it');
    await until(async () => {
      await clock.advance(10);
      return texts().length === 4 && follower.state === 'live';
    }, 'it is live again');
    expect(follower.lastError).toBeNull();
    stop.abort();
    await running;
  });
});

describe('a log that was restored from an older copy', () => {
  /** Two logs with events of their own: one has so many, and the other took its place. */
  async function replaced(before: number, now: number) {
    const [old, restored] = [await openTestStores(), await openTestStores()];
    if (before > 0) await old.log.append(newStream(), notes(before), { expect: 'none' });
    if (now > 0) await restored.log.append(newStream(), notes(now, 'other'), { expect: 'none' });
    const { events } = await old.log.readAll({ direction: 'forwards', from: null });
    return { old: old.log, restored, last: events.at(-1)! };
  }

  it.each([
    ['is empty', 0],
    ['ends before the checkpoint', 3],
    ['has another event at the checkpoint, as its last', 5],
    ['has grown past the checkpoint meanwhile', 9],
  ])('is noticed at the start when it %s', async (_what, now) => {
    const { restored, last } = await replaced(5, now);
    const lines: string[] = [];
    const line = (_fields: object, message: string): void => void lines.push(message);
    const logger = { debug: line, info: line, warn: line, error: line };
    const { follower, batches, running } = follow(restored.log, { logger, checkpoint: () => checkpointAt(last) });
    await expect(running).rejects.toMatchObject({ name: 'LogDiverged' });
    expect(batches).toEqual([]);
    expect(await follower.status()).toMatchObject({
      state: 'diverged',
      lastError: expect.stringContaining('restored from an older copy'),
    });
    expect(lines).toHaveLength(1);
    // It is not logged again as long as nothing changes.
    await expect(follower.run(new AbortController().signal)).rejects.toMatchObject({ name: 'LogDiverged' });
    expect(lines).toHaveLength(1);
  });

  it('is noticed after an interruption', async () => {
    const { old, restored } = await replaced(5, 9);
    const { state, fail } = failing();
    const { clock, random } = hastyClock();
    let current = old;
    const log: EventLog = {
      ...old,
      isPosition: (text) => current.isPosition(text),
      idAt: (position) => current.idAt(position),
      head: () => current.head(),
      async *subscribe(options) {
        for await (const batch of current.subscribe(options)) {
          fail();
          yield batch;
        }
      },
    };
    const { follower, texts, running } = follow(log, { clock, random, isRetried: () => true });
    await until(() => texts().length === 5 && follower.state === 'live', 'it is live');
    current = restored.log;
    state.left = 1;
    await appendTexts(old, 'wakes the subscription');
    await expect(running).rejects.toMatchObject({ name: 'LogDiverged' });
    expect([texts().length, follower.state]).toEqual([5, 'diverged']);
  });

  it('is noticed when the subscription has reconnected by itself', async () => {
    const { old, restored } = await replaced(5, 9);
    const isReplaced = Promise.withResolvers<void>();
    let current = old;
    const log: EventLog = {
      ...old,
      idAt: (position) => current.idAt(position),
      head: () => current.head(),
      async *subscribe(options) {
        yield* old.subscribe({ ...options, signal: AbortSignal.any([stop.signal]) });
        await isReplaced.promise;
        await options.reconnected?.();
        yield* current.subscribe(options);
      },
    };
    const stop = new AbortController();
    let restores = 0;
    old.onRestored(() => restores++);
    const { follower, texts, running } = follow(log);
    await until(() => texts().length === 5 && follower.state === 'live', 'it is live');
    current = restored.log;
    stop.abort();
    isReplaced.resolve();
    await expect(running).rejects.toMatchObject({ name: 'LogDiverged', shared: null });
    expect([texts().length, follower.state, restores]).toEqual([5, 'diverged', 1]);
  });

  it('is noticed by a follower with a filter, whose position is after the last event that it handled', async () => {
    const clock = manualClock();
    const { log } = await openTestStores({ clock });
    await log.append(newStream(), notes(1, 'shared'), { expect: 'none' });
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    // The log had three more events when the checkpoint was stored, of which the copy has none, and has grown past it.
    await log.append(newStream(), notes(9, 'new'), { expect: 'none' });
    const after = await log.readAll({ direction: 'forwards', from: null, limit: 4 });
    const checkpoint = { position: after.events[3]?.position ?? null, anchor: anchorOf(events[0]!) };
    const filter = { types: ['NoteTaken'] };
    const { texts, stop, running } = follow(log, { clock, filter, checkpoint: () => checkpoint });
    await until(() => texts().length === 9, 'the events before the position are handled too');
    stop.abort();
    await running;
  });

  it('is not suspected when the event of the checkpoint was removed by retention', async () => {
    const clock = manualClock();
    const { log, store } = await openTestStores({ clock });
    const stream = newStream();
    await log.append(stream, notes(5), { expect: 'none' });
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    await log.append(newStream(), notes(2, 'later'), { expect: 'none' });
    await clock.advance(48 * 60 * 60_000);
    await log.setRetention(stream, { truncateBefore: 5n });
    expect(await store.scavenge()).toBeGreaterThan(0);
    const anchor = events[3]!;
    expect(await log.idAt(anchor.position)).toBeNull();
    const { texts, stop, running } = follow(log, { clock, checkpoint: () => checkpointAt(anchor) });
    await until(() => texts().includes('later 1'), 'the rest is handled');
    stop.abort();
    await running;
  });

  it('cannot be noticed by a checkpoint without an event, which is followed from its position', async () => {
    const { restored, last } = await replaced(5, 9);
    const checkpoint = { position: last.position, anchor: null };
    const { texts, stop, running } = follow(restored.log, { checkpoint: () => checkpoint });
    await until(() => texts().length === 4, 'the rest is handled');
    stop.abort();
    await running;
  });
});
