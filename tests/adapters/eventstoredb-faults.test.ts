import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { appendUntilKnown } from '../../src/commands/append.ts';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note, notes } from '../contracts/events.ts';
import type { AppendFault } from '../support/eventstoredb-server/faults.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type OnServer, open, openOnServer } from './eventstoredb.ts';

let opened: OnServer;
let server: EventStoreDbServer;
let store: EventStore;

beforeEach(async () => {
  opened = await openOnServer();
  ({ server, store } = opened);
});
afterEach(() => opened.dispose());

const texts = async (stream: string, from: EventStore = store) =>
  (await from.readStream(stream)).events.map((event) => event.data.text);

describe('the outcome of an append', () => {
  it.each<AppendFault>([
    { kind: 'cut', written: false },
    { kind: 'timeout', written: false },
  ])('$kind before the write: unknown, and the identical repetition appends it', async (fault) => {
    const stream = newStream();
    server.faults.appends.push(fault);
    const events = [note('a')];
    await expect(store.append(stream, events, { expect: 'none' })).rejects.toMatchObject({ code: 'UNKNOWN' });
    expect(server.log.of(stream)).toEqual([]);
    expect(await store.append(stream, events, { expect: 'none' })).toMatchObject({ revision: 0n });
    expect(await texts(stream)).toEqual(['a']);
  });

  it.each<AppendFault>([
    { kind: 'cut', written: true },
    { kind: 'timeout', written: true },
  ])('$kind after the write: unknown, and the identical repetition conflicts', async (fault) => {
    const stream = newStream();
    await store.append(stream, [note('first')], { expect: 'none' });
    server.faults.appends.push(fault);
    const events = notes(2);
    await expect(store.append(stream, events, { expect: 0n })).rejects.toMatchObject({ code: 'UNKNOWN' });
    await expect(store.append(stream, events, { expect: 0n })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: 2n,
    });
    expect((await store.readStream(stream)).events.map((event) => event.id).slice(1)).toEqual(
      events.map(({ id }) => id),
    );
  });

  it('refused by a busy server: unavailable, and nothing is written', async () => {
    const stream = newStream();
    server.faults.appends.push({ kind: 'busy' });
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(server.log.of(stream)).toEqual([]);
    expect(await store.append(stream, [note('a')], { expect: 'none' })).toMatchObject({ revision: 0n });
  });

  it('larger than the server takes: invalid', async () => {
    // The names of types, and what marks events as Parley's, are no part of what the port counts.
    const events = notes(2_000, 'x'.repeat(320));
    await expect(store.append(newStream(), events, { expect: 'none' })).rejects.toMatchObject({ code: 'INVALID' });
  });

  it('to a stream that was deleted for good: unavailable', async () => {
    const stream = newStream();
    await store.append(stream, [note('a')], { expect: 'none' });
    server.log.delete(stream, 'any', true);
    await expect(store.append(stream, [note('b')], { expect: 0n })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('many at once while the connection is cut again and again: each is in the log once', {
    timeout: 20_000,
  }, async () => {
    const deps = { events: store, clock: createSystemClock() };
    const deadline = deps.clock.monotonic() + 15_000;
    const streams = Array.from({ length: 40 }, () => newStream());
    await Promise.all(
      streams.map(async (stream, s) => {
        for (let n = 0; n < 10; n++) {
          if (n % 4 === 1 && s % 8 === 0) server.faults.appends.push({ kind: 'cut', written: s % 16 === 0 });
          const expected = n === 0 ? 'none' : BigInt(n - 1);
          const appending = appendUntilKnown(deps, stream, [note(`${n}`)], { expect: expected, deadline });
          await appending.catch((error: unknown) => {
            // It was written at an earlier try, whose answer was lost.
            if (!isStoreError(error, 'VERSION_CONFLICT') || error.actual !== BigInt(n)) throw error;
          });
        }
      }),
    );
    expect(server.faults.appends).toEqual([]);
    for (const stream of streams) expect(await texts(stream)).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`));
  });

  it('a cut of one connection harms no append over another', async () => {
    const other = await openOnServer();
    const streams = Array.from({ length: 5 }, () => newStream());
    const release = other.server.faults.holdAppends();
    const held = Promise.all(streams.map((stream) => other.store.append(stream, [note('a')], { expect: 'none' })));
    server.faults.appends.push({ kind: 'cut', written: true });
    await expect(store.append(newStream(), [note('b')], { expect: 'none' })).rejects.toMatchObject({ code: 'UNKNOWN' });
    release();
    expect((await held).map(({ revision }) => revision)).toEqual([0n, 0n, 0n, 0n, 0n]);
    await other.dispose();
  });

  it('more than may wait: unavailable, the others are appended', async () => {
    const release = server.faults.holdAppends();
    const stream = newStream();
    const text = 'x'.repeat(990_000);
    const appends = Array.from({ length: 72 }, () => store.append(stream, [note(text)], { expect: 'any' }));
    const outcomes = Promise.allSettled(appends);
    await expect(appends.at(-1)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /too many/ });
    release();
    const appended = (await outcomes).filter((outcome) => outcome.status === 'fulfilled');
    expect(appended.length).toBeLessThan(72);
    expect(server.log.of(stream)).toHaveLength(appended.length);
  });
});

describe('a server that does not answer', () => {
  it('makes an append unknown when its time is over, and the answer that comes then is passed over', async () => {
    const clock = manualClock();
    const patient = await open(server.url, { clock });
    const release = server.faults.holdAppends();
    const stream = newStream();
    const outcome = expect(patient.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({
      code: 'UNKNOWN',
    });
    // The connection is made, the append is out, and only its deadline is waited for.
    await vi.waitFor(() => expect([server.openAppends, clock.sleeping()]).toEqual([1, 1]));
    await clock.advance(5_000);
    await outcome;
    release();
    await expect(patient.append(stream, [note('b')], { expect: 'none' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: 0n,
    });
    expect(await texts(stream, patient)).toEqual(['a']);
    await patient.close();
  });

  it('makes a read unavailable', async () => {
    const hasty = await open(server.url, { timeouts: { readMs: 200 } });
    server.faults.reads.push('silence');
    await expect(hasty.readStream(newStream())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await hasty.readStream(newStream())).toEqual({ events: [], end: true });
    await hasty.close();
  });
});

describe('a read', () => {
  it.each(['unavailable', 'break'] as const)(
    'that the server ends (%s) is unavailable, the next one works',
    async (fault) => {
      const stream = newStream();
      await store.append(stream, notes(3), { expect: 'none' });
      server.faults.reads.push(fault);
      await expect(store.readStream(stream)).rejects.toMatchObject({ name: 'StoreError', code: 'UNAVAILABLE' });
      expect(await texts(stream)).toHaveLength(3);
    },
  );

  it('behind a position that this log does not have is invalid', async () => {
    const from = `${'7'.padStart(20, '0')}-${'7'.padStart(20, '0')}`;
    await expect(store.readAll({ direction: 'forwards', from })).rejects.toMatchObject({ code: 'INVALID' });
  });
});

describe('a server that is away', () => {
  const calls: Record<string, () => Promise<unknown>> = {
    append: () => store.append(newStream(), [note('a')], { expect: 'any' }),
    readStream: () => store.readStream(newStream()),
    readAll: () => store.readAll({ direction: 'forwards', from: null }),
    setRetention: () => store.setRetention(newStream(), { maxCount: 1 }),
    head: () => store.head(),
    epoch: () => store.epoch(),
  };

  it.each(Object.keys(calls))('`%s` is unavailable', async (name) => {
    await server.stop();
    await expect(calls[name]?.()).rejects.toMatchObject({ name: 'StoreError', code: 'UNAVAILABLE' });
  });

  it('at first: the store opens all the same, and works once the server is there', async () => {
    const late = await startEventStoreDbServer();
    await late.stop();
    const early = await open(late.url);
    await expect(early.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await late.start();
    await vi.waitFor(() => early.append('a-1', [note('a')], { expect: 'any' }), { timeout: 10_000, interval: 20 });
    expect(await texts('a-1', early)).toContain('a');
    await early.close();
    await late.close();
  });

  it('for a while: the store finds it again by itself', async () => {
    await store.append('a-1', [note('before')], { expect: 'none' });
    await server.stop();
    await expect(store.readStream('a-1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await server.start();
    await vi.waitFor(() => store.readStream('a-1'), { timeout: 10_000, interval: 20 });
    await store.append('a-1', [note('after')], { expect: 0n });
    expect(await texts('a-1')).toEqual(['before', 'after']);
  });

  it('can be closed while it is', async () => {
    await server.stop();
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.close();
    await expect(store.head()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
