import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { FencedOff } from '../../src/log/lease.ts';
import { until } from '../projections/node.ts';
import { newStream, notes, openTestStores } from './fixtures.ts';
import { appendTexts, checkpointAt, failing, follow, hastyClock } from './following.ts';

describe('a follower', () => {
  describe('after a failure', () => {
    const failures = {
      'to subscribe': (log: EventLog, fail: () => void): EventLog => ({
        ...log,
        subscribe(options) {
          fail();
          return log.subscribe(options);
        },
      }),
      'of its subscription': (log: EventLog, fail: () => void): EventLog => ({
        ...log,
        async *subscribe(options) {
          for await (const batch of log.subscribe(options)) {
            fail();
            yield batch;
          }
        },
      }),
      'to verify its checkpoint': (log: EventLog, fail: () => void): EventLog => ({
        ...log,
        async idAt(position) {
          fail();
          return log.idAt(position);
        },
      }),
    };

    it.each(Object.entries(failures))(
      '%s continues from its checkpoint, without gaps or duplicates',
      async (_what, wrap) => {
        const { log } = await openTestStores();
        await log.append(newStream(), notes(10), { expect: 'none' });
        const { events } = await log.readAll({ direction: 'forwards', from: null });
        const { state, fail } = failing();
        const { clock, sleeps, random } = hastyClock();
        state.left = 4;
        const { texts, follower, stop, running } = follow(wrap(log, fail), {
          clock,
          random,
          batchSize: 3,
          checkpoint: () => checkpointAt(events[0]!),
        });
        await until(() => texts().length === 9, 'all are handled');
        expect(texts()).toEqual(
          notes(10)
            .slice(1)
            .map(({ data }) => data.text),
        );
        expect(state.failed).toBe(4);
        expect(sleeps).toEqual([50, 100, 200, 400]);
        expect([follower.state, follower.lastError]).toEqual(['live', null]);
        stop.abort();
        await running;
      },
    );

    it.each(['UNAVAILABLE', 'UNKNOWN'] as const)('of `handle` (%s) handles the batch again', async (code) => {
      const { log } = await openTestStores();
      await log.append(newStream(), notes(10), { expect: 'none' });
      const { state, fail } = failing(code);
      const { clock, sleeps, random } = hastyClock();
      let calls = 0;
      const { texts, stop, running } = follow(log, {
        clock,
        random,
        batchSize: 2,
        async handle() {
          if (++calls === 3) state.left = 2;
          fail();
          return undefined;
        },
      });
      await until(() => texts().length === 10, 'all are handled');
      expect(texts()).toEqual(notes(10).map(({ data }) => data.text));
      expect(sleeps).toEqual([50, 100]);
      stop.abort();
      await running;
    });

    it('waits 1 s at most, and begins with short pauses again once it has worked', async () => {
      const { log } = await openTestStores();
      const { state, fail } = failing();
      const { clock, sleeps, random } = hastyClock();
      state.left = 10;
      const { texts, stop, running } = follow(log, {
        clock,
        random,
        async handle() {
          fail();
          return undefined;
        },
      });
      await until(() => state.left === 0, 'it has failed ten times');
      expect(sleeps).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000]);
      await appendTexts(log, 'a');
      await until(() => texts().length === 1, 'it works again');
      state.left = 1;
      await appendTexts(log, 'b');
      await until(() => texts().length === 2, 'it works again');
      expect(sleeps.slice(10)).toEqual([50]);
      stop.abort();
      await running;
    });

    it('of a task between batches or while none comes, continues after growing pauses too', async () => {
      for (const where of ['between', 'idle'] as const) {
        const { log } = await openTestStores();
        await appendTexts(log, 'a');
        const { state, fail } = failing();
        const { clock, sleeps, random } = hastyClock();
        state.left = 3;
        const run = async (): Promise<void> => fail();
        const { texts, stop, running } = follow(log, {
          clock,
          random,
          ...(where === 'between' ? { between: run } : { idle: () => ({ afterMs: 5, run }) }),
        });
        await until(() => state.left === 0, `it has failed (${where})`);
        await appendTexts(log, 'b');
        await until(() => texts().length === 2, 'all are handled');
        expect(texts()).toEqual(['a', 'b']);
        if (where === 'between') expect(sleeps).toEqual([50, 100, 200]);
        else expect(sleeps).toHaveLength(3);
        stop.abort();
        await running;
      }
    });

    it('is logged once, however often it is repeated', async () => {
      const { log } = await openTestStores();
      const { state, fail } = failing();
      const { clock, random } = hastyClock();
      const lines: string[] = [];
      const line = (_fields: object, message: string): void => void lines.push(message);
      const logger = { debug: line, info: line, warn: line, error: line };
      state.left = 5;
      const { batches, stop, running } = follow(log, {
        clock,
        random,
        logger,
        async handle() {
          fail();
          return undefined;
        },
      });
      await until(() => batches.length > 0, 'it works');
      expect(lines).toEqual(['a follower was interrupted and will try again']);
      stop.abort();
      await running;
    });
  });

  it.each([
    new TypeError('as the test wants it'),
    new StoreError('INVALID', 'as the test wants it'),
    new StoreError('ERASED', 'as the test wants it'),
    new StoreError('CLOSED', 'as the test wants it'),
    new FencedOff('as the test wants it'),
  ])('ends with %s of `handle`', async (error) => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    let calls = 0;
    const { running, follower } = follow(log, {
      handle() {
        calls++;
        throw error;
      },
    });
    await expect(running).rejects.toBe(error);
    expect([calls, follower.state]).toEqual([1, 'stopped']);
  });

  it('continues after any error that `isRetried` accepts, except when it is fenced off or a store was closed', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a', 'b', 'c');
    const { clock, random } = hastyClock();
    const errors = [new TypeError('one'), new StoreError('INVALID', 'two'), new Error('three')];
    const patient = follow(log, {
      clock,
      random,
      isRetried: () => true,
      async handle() {
        const error = errors.shift();
        if (error !== undefined) throw error;
        return undefined;
      },
    });
    await until(() => patient.texts().length === 3, 'all are handled');
    patient.stop.abort();
    await patient.running;
    for (const error of [new FencedOff('as the test wants it'), new StoreError('CLOSED', 'as the test wants it')]) {
      const { running } = follow(log, {
        isRetried: () => true,
        handle: () => Promise.reject(error),
      });
      await expect(running).rejects.toBe(error);
    }
    const impatient = follow(log, {
      isRetried: () => false,
      handle: () => Promise.reject(new StoreError('UNAVAILABLE', 'as the test wants it')),
    });
    await expect(impatient.running).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('ends with `CLOSED` when the log is closed', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    const { batches, running } = follow(log);
    await until(() => batches.some(({ caughtUp }) => caughtUp), 'it has caught up');
    await log.close();
    await expect(running).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('continues when its subscription ends by itself', async () => {
    const { log } = await openTestStores();
    await appendTexts(log, 'a');
    let subscriptions = 0;
    const { clock, random } = hastyClock();
    const ending: EventLog = {
      ...log,
      async *subscribe(options) {
        subscriptions++;
        for await (const batch of log.subscribe(options)) {
          yield batch;
          if (subscriptions < 3) return;
        }
      },
    };
    const { texts, stop, running } = follow(ending, { clock, random });
    await until(() => subscriptions === 3, 'it has subscribed again');
    await appendTexts(log, 'b');
    await until(() => texts().length === 2, 'all are handled');
    expect(texts()).toEqual(['a', 'b']);
    stop.abort();
    await running;
  });
});
