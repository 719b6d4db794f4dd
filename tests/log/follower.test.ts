import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { EventBatch, EventLog } from '../../src/log/event-log.ts';
import { Follower } from '../../src/log/follower.ts';
import { until } from '../projections/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';
import { newEvent, newStream, notes, openTestStores } from './fixtures.ts';
import { appendTexts, BEGINNING, checkpointAt, follow } from './following.ts';

describe('a follower', () => {
  it('starts at the beginning of the log and handles batches in order, of the given size at most', async () => {
    const { log } = await openTestStores();
    for (let n = 0; n < 5; n++) await appendTexts(log, `${n}a`, `${n}b`, `${n}c`);
    const { batches, texts, stop, running } = follow(log, { batchSize: 4 });
    await until(() => texts().length === 15, 'all are handled');
    expect(texts()).toEqual([0, 1, 2, 3, 4].flatMap((n) => [`${n}a`, `${n}b`, `${n}c`]));
    expect(Math.max(...batches.map(({ events }) => events.length))).toBe(4);
    stop.abort();
    await running;
  });

  it('handles one batch after the other', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), notes(50), { expect: 'none' });
    let inProgress = 0;
    let overlaps = 0;
    const { texts, stop, running } = follow(log, {
      batchSize: 5,
      async handle() {
        if (++inProgress > 1) overlaps++;
        // Long enough for a batch that does not wait to arrive.
        for (let turns = 0; turns < 5; turns++) await system.clock.nextTurn();
        inProgress--;
        return undefined;
      },
    });
    await appendTexts(log, 'live');
    await until(() => texts().length === 51, 'all are handled');
    expect(overlaps).toBe(0);
    stop.abort();
    await running;
  });

  it('starts after its checkpoint', async () => {
    const { log } = await openTestStores();
    const { position } = await appendTexts(log, 'a', 'b', 'c');
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    const second = follow(log, { checkpoint: () => checkpointAt(events[1]!) });
    await until(() => second.texts().length === 1, 'the rest is handled');
    expect(second.texts()).toEqual(['c']);
    const now = follow(log, { checkpoint: () => ({ position, anchor: null }) });
    await appendTexts(log, 'd');
    await until(() => now.texts().length === 1, 'what came later is handled');
    expect(now.texts()).toEqual(['d']);
    for (const { stop, running } of [second, now]) {
      stop.abort();
      await running;
    }
  });

  it('handles events as they are appended, and only those that its filter selects', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    const { batches, stop, running } = follow(log, { filter: { types: ['NumberDrawn'] } });
    await until(() => batches.some(({ caughtUp }) => caughtUp), 'it has caught up');
    for (const n of [1, 2, 3]) {
      await appendTexts(log, `note ${n}`);
      await log.append(newStream(), [newEvent('NumberDrawn', { n })], { expect: 'none' });
    }
    const numbers = () => batches.flatMap(({ events }) => events.map(({ data }) => data.n));
    await until(() => numbers().length === 3, 'all are handled');
    expect(numbers()).toEqual([1, 2, 3]);
    stop.abort();
    await running;
  });

  it('ends when `handle` needs no more', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), notes(10), { expect: 'none' });
    const { texts, running, follower } = follow(log, {
      batchSize: 2,
      handle: async ({ events }) => (events[0]?.data.text === 'note 4' ? 'done' : undefined),
    });
    await running;
    expect(texts()).toEqual(['note 0', 'note 1', 'note 2', 'note 3', 'note 4', 'note 5']);
    expect(follower.state).toBe('stopped');
  });

  describe('whose signal is aborted', () => {
    it('ends at once while it waits for events', async () => {
      const { log } = await openTestStores();
      await appendTexts(log, 'a');
      const { batches, stop, running } = follow(log);
      await until(() => batches.some(({ caughtUp }) => caughtUp), 'it has caught up');
      stop.abort();
      await running;
    });

    it('ends at once while it waits before the next attempt', async () => {
      const { log } = await openTestStores();
      const clock = manualClock();
      const away: EventLog = {
        ...log,
        subscribe: () => {
          throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
        },
      };
      const { follower, stop, running } = follow(away, { clock });
      await until(() => follower.state === 'retrying' && clock.sleeping() === 1, 'it waits');
      stop.abort();
      await running;
      expect(clock.sleeping()).toBe(0);
    });

    it('ends once the batch in progress is handled, and handles no other', async () => {
      const { log } = await openTestStores();
      await log.append(newStream(), notes(10), { expect: 'none' });
      const gate = Promise.withResolvers<void>();
      let between = 0;
      const { texts, stop, running } = follow(log, {
        batchSize: 3,
        async handle() {
          stop.abort();
          await gate.promise;
          return undefined;
        },
        between: async () => void between++,
      });
      gate.resolve();
      await running;
      expect([texts(), between]).toEqual([['note 0', 'note 1', 'note 2'], 0]);
    });

    it('ends without an error of a store that comes with it', async () => {
      const { log } = await openTestStores();
      await appendTexts(log, 'a');
      const { stop, running } = follow(log, {
        handle() {
          stop.abort();
          throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
        },
      });
      await running;
    });

    it('does nothing when it was aborted beforehand', async () => {
      const { log } = await openTestStores();
      await appendTexts(log, 'a');
      const handled: EventBatch[] = [];
      const follower = new Follower({
        ...system,
        name: 'test',
        log,
        checkpoint: () => BEGINNING,
        handle: async (batch) => void handled.push(batch) as undefined,
      });
      await follower.run(AbortSignal.abort());
      expect([handled, follower.state]).toEqual([[], 'stopped']);
    });
  });

  it('runs the idle task when no batch comes for a while, at most once for each wait', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    const clock = manualClock();
    const calls: string[] = [];
    let wanted: number | null = 100;
    const { batches, texts, stop, running } = follow(log, {
      clock,
      idle: () => (wanted === null ? null : { afterMs: wanted, run: async () => void calls.push('idle') }),
    });
    await until(() => batches.some(({ caughtUp }) => caughtUp) && clock.sleeping() === 1, 'it waits');
    await clock.advance(99);
    expect(calls).toEqual([]);
    await clock.advance(1);
    expect(calls).toEqual(['idle']);
    // Once for each wait.
    await clock.advance(10_000);
    expect(calls).toEqual(['idle']);
    await appendTexts(log, 'b');
    await until(() => texts().length === 2 && clock.sleeping() === 1, 'it waits again');
    await appendTexts(log, 'c');
    await until(() => texts().length === 3 && clock.sleeping() === 1, 'it waits again');
    expect(calls).toEqual(['idle']);
    wanted = null;
    await appendTexts(log, 'd');
    await until(() => texts().length === 4, 'all are handled');
    await clock.advance(10_000);
    expect([calls, clock.sleeping()]).toEqual([['idle'], 0]);
    stop.abort();
    await running;
  });

  it('runs a task between two batches, after a batch counts as handled', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), notes(4), { expect: 'none' });
    const seen: unknown[] = [];
    const { follower, texts, stop, running } = follow(log, {
      batchSize: 2,
      async between({ events }) {
        const { position } = await follower.status();
        seen.push([events.length, position === events.at(-1)?.position]);
      },
    });
    await until(() => texts().length === 4 && seen.length >= 2, 'all are handled');
    expect(seen.slice(0, 2)).toEqual([
      [2, true],
      [2, true],
    ]);
    stop.abort();
    await running;
  });
});
