import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import { AppendHealth } from '../../src/log/append-health.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { openOnServer } from '../adapters/eventstoredb.ts';
import { note } from '../contracts/events.ts';
import { type FaultyEventStore, faultyStore } from '../support/faulty-event-log.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';

const FAILED = 'the last append to the event log failed';

/** Stores of each kind, and what disposes of them. */
const engines: Readonly<Record<string, () => Promise<{ store: EventStore; dispose(): Promise<void> }>>> = {
  'the embedded event store': async () => {
    const store = await openSqliteEventStore({ ...system, path: ':memory:' });
    return { store, dispose: () => store.close() };
  },
  EventStoreDB: () => openOnServer(),
};

describe.each(Object.entries(engines))('appends to %s', (_name, open) => {
  let events: FaultyEventStore;
  /** Makes the writes of probes fail, and counts them. */
  let probes: { fail: boolean; count: number };
  let clock: ManualClock;
  let health: AppendHealth;
  let dispose: () => Promise<void>;
  let revision: bigint | 'none';

  beforeEach(async () => {
    const opened = await open();
    dispose = opened.dispose;
    events = faultyStore(opened.store);
    probes = { fail: false, count: 0 };
    clock = manualClock();
    const store: EventStore = {
      ...events,
      async setRetention(stream, retention) {
        probes.count++;
        if (probes.fail) throw new StoreError('UNAVAILABLE', 'the disk is full');
        return opened.store.setRetention(stream, retention);
      },
    };
    health = new AppendHealth(store, { clock, random: { ...system.random, fraction: () => 1 } });
    revision = 'none';
  });
  afterEach(() => dispose());

  const append = async (): Promise<void> => {
    ({ revision } = await health.store.append('notes-1', [note('a')], { expect: revision }));
  };
  const failingAppend = async (): Promise<void> => {
    events.faults.push('away');
    await expect(append()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  };

  it('are ready until one fails, and again when one succeeds', async () => {
    expect(await health.check()).toBeNull();
    await append();
    expect(await health.check()).toBeNull();
    await failingAppend();
    expect(await health.check()).toBe(FAILED);
    await append();
    expect(await health.check()).toBeNull();
    expect(probes.count).toBe(0);
  });

  it('are not ready after one whose outcome is unknown', async () => {
    events.faults.push('unknown-before-write');
    await expect(append()).rejects.toMatchObject({ code: 'UNKNOWN' });
    expect(await health.check()).toBe(FAILED);
  });

  it('are not affected by a conflict, in either state', async () => {
    await append();
    const conflict = () =>
      expect(health.store.append('notes-1', [note('a')], { expect: 'none' })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
      });
    await conflict();
    expect(await health.check()).toBeNull();
    await failingAppend();
    await conflict();
    expect(await health.check()).toBe(FAILED);
  });

  it('become ready without commands: a probe writes, and adds no record', async () => {
    await append();
    const head = await events.head();
    await failingAppend();
    await clock.advance(999);
    expect([await health.check(), probes.count]).toEqual([FAILED, 0]);
    await clock.advance(1);
    expect([await health.check(), probes.count]).toEqual([null, 1]);
    expect(await events.head()).toBe(head);
    expect((await events.readAll({ direction: 'forwards', from: null, limit: 10 })).records).toHaveLength(1);
    expect([await health.check(), probes.count]).toEqual([null, 1]);
  });

  /** Checks until the next probe, and returns the time until then. */
  const untilProbed = async (): Promise<number> => {
    const [before, start] = [probes.count, clock.monotonic()];
    while (probes.count === before) {
      expect(await health.check()).toBe(FAILED);
      await clock.advance(500);
      await health.check();
    }
    return clock.monotonic() - start;
  };

  it('are ready within a second after a long outage', async () => {
    await failingAppend();
    probes.fail = true;
    const pauses: number[] = [];
    for (let n = 0; n < 12; n++) pauses.push(await untilProbed());
    expect(pauses).toEqual(Array(12).fill(1_000));
    probes.fail = false;
    await clock.advance(1_000);
    expect(await health.check()).toBeNull();
  });

  it('are probed after growing pauses while appends fail after successful probes', async () => {
    const pauses: number[] = [];
    for (let n = 0; n < 6; n++) {
      await failingAppend();
      pauses.push(await untilProbed());
      expect(await health.check()).toBeNull();
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);

    await append();
    await failingAppend();
    await clock.advance(1_000);
    expect(await health.check()).toBeNull();
  });

  it('are probed once for concurrent checks', async () => {
    await failingAppend();
    await clock.advance(1_000);
    expect(await Promise.all([health.check(), health.check(), health.check()])).toEqual([null, null, null]);
    expect(probes.count).toBe(1);
  });
});
