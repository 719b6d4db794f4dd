import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { Appended, EventStore, ExpectedRevision, NewRecord } from '../../src/ports/event-store.ts';
import { newStream, note, notes, textsOf } from '../contracts/events.ts';
import { readAll, readStream } from '../contracts/following.ts';
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

const texts = async (stream: string, from: EventStore = store) => textsOf((await readStream(from, stream)).records);

const systemClock = createSystemClock();

/** Repeats the identical append while its outcome is unknown. Throws other errors, `UNAVAILABLE` only if it was the first. */
async function appendUntilKnown(
  stream: string,
  records: readonly NewRecord[],
  expected: ExpectedRevision,
): Promise<Appended> {
  let isUnknown = false;
  for (;;) {
    try {
      return await store.append(stream, records, { expect: expected });
    } catch (error) {
      isUnknown ||= isStoreError(error, 'UNKNOWN');
      if (!isUnknown || !isStoreError(error, 'UNKNOWN', 'UNAVAILABLE')) throw error;
      await systemClock.sleep(20);
    }
  }
}

describe('the outcome of an append', () => {
  it.each<AppendFault>([
    { kind: 'cut', written: false },
    { kind: 'timeout', written: false },
  ])('is unknown after a $kind before the write, and the repeated append succeeds', async (fault) => {
    const stream = newStream();
    server.faults.appends.push(fault);
    const records = [note('a')];
    await expect(store.append(stream, records, { expect: 'none' })).rejects.toMatchObject({ code: 'UNKNOWN' });
    expect(server.log.of(stream)).toEqual([]);
    expect(await store.append(stream, records, { expect: 'none' })).toMatchObject({ revision: 0n });
    expect(await texts(stream)).toEqual(['a']);
  });

  it.each<AppendFault>([
    { kind: 'cut', written: true },
    { kind: 'timeout', written: true },
  ])('is unknown after a $kind following the write, and the repeated append conflicts', async (fault) => {
    const stream = newStream();
    await store.append(stream, [note('first')], { expect: 'none' });
    server.faults.appends.push(fault);
    const records = notes(2);
    await expect(store.append(stream, records, { expect: 0n })).rejects.toMatchObject({ code: 'UNKNOWN' });
    await expect(store.append(stream, records, { expect: 0n })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: 2n,
    });
    const written = (await readStream(store, stream)).records.slice(1);
    expect(written.map(({ id }) => id)).toEqual(records.map(({ id }) => id));
  });

  it('is UNAVAILABLE, with nothing written, when the server is too busy', async () => {
    const stream = newStream();
    server.faults.appends.push({ kind: 'busy' });
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(server.log.of(stream)).toEqual([]);
    expect(await store.append(stream, [note('a')], { expect: 'none' })).toMatchObject({ revision: 0n });
  });

  it('is INVALID when the append exceeds the limit of the server', async () => {
    // The server also counts the type names and the mark of Parley's records.
    const records = notes(2_000, 'x'.repeat(320));
    await expect(store.append(newStream(), records, { expect: 'none' })).rejects.toMatchObject({ code: 'INVALID' });
  });

  it('is UNAVAILABLE for a permanently deleted stream', async () => {
    const stream = newStream();
    await store.append(stream, [note('a')], { expect: 'none' });
    server.log.delete(stream, 'any', { permanent: true });
    await expect(store.append(stream, [note('b')], { expect: 0n })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('is resolved by repeating the append, also for many at once while connections are cut: each is in the log once', {
    timeout: 15_000,
  }, async () => {
    const streams = Array.from({ length: 40 }, () => newStream());
    await Promise.all(
      streams.map(async (stream, s) => {
        for (let n = 0; n < 10; n++) {
          if (n % 4 === 1 && s % 8 === 0) server.faults.appends.push({ kind: 'cut', written: s % 16 === 0 });
          const expected = n === 0 ? 'none' : BigInt(n - 1);
          await appendUntilKnown(stream, [note(`${n}`)], expected).catch((error: unknown) => {
            // An earlier attempt was written, and its response was lost.
            if (!isStoreError(error, 'VERSION_CONFLICT') || error.actual !== BigInt(n)) throw error;
          });
        }
      }),
    );
    expect(server.faults.appends).toEqual([]);
    for (const stream of streams) expect(await texts(stream)).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`));
  });

  it('is not affected by a cut connection of another store', async () => {
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

  it('is UNAVAILABLE for more appends than may be pending, and the others are appended', async () => {
    const release = server.faults.holdAppends();
    const stream = newStream();
    const text = 'x'.repeat(990_000);
    // None of them times out, however long a busy machine takes to send them.
    const patient = await open(server.url, { clock: manualClock() });
    const appends = Array.from({ length: 72 }, () => patient.append(stream, [note(text)], { expect: 'any' }));
    const outcomes = Promise.allSettled(appends);
    await expect(appends.at(-1)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /too many/ });
    release();
    const appended = (await outcomes).filter((outcome) => outcome.status === 'fulfilled');
    expect(appended.length).toBeLessThan(72);
    expect(server.log.of(stream)).toHaveLength(appended.length);
    await patient.close();
  });
});

describe('a server that does not respond', () => {
  it('makes the outcome of an append UNKNOWN after the timeout, and its late response is ignored', async () => {
    const clock = manualClock();
    const patient = await open(server.url, { clock });
    const release = server.faults.holdAppends();
    const stream = newStream();
    const outcome = expect(patient.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({
      code: 'UNKNOWN',
    });
    // Connected, the append is sent, and only its deadline is pending.
    await vi.waitFor(() => expect([server.heldAppends, clock.sleeping()]).toEqual([1, 1]));
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

  it('makes a read UNAVAILABLE after the timeout', async () => {
    const hasty = await open(server.url, { timeouts: { readMs: 200 } });
    server.faults.reads.push('silence');
    await expect(readStream(hasty, newStream())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await readStream(hasty, newStream())).toEqual({ records: [], end: true });
    await hasty.close();
  });
});

describe('a read', () => {
  it.each(['unavailable', 'break'] as const)(
    'that the server ends (%s) is UNAVAILABLE, and the next one succeeds',
    async (fault) => {
      const stream = newStream();
      await store.append(stream, notes(3), { expect: 'none' });
      server.faults.reads.push(fault);
      await expect(readStream(store, stream)).rejects.toMatchObject({ name: 'StoreError', code: 'UNAVAILABLE' });
      expect(await texts(stream)).toHaveLength(3);
    },
  );

  it('from a position that this log does not have is INVALID', async () => {
    const from = `${'7'.padStart(20, '0')}-${'7'.padStart(20, '0')}`;
    await expect(readAll(store, { from })).rejects.toMatchObject({ code: 'INVALID' });
  });
});

describe('while the server is down', () => {
  const calls: Record<string, () => Promise<unknown>> = {
    append: () => store.append(newStream(), [note('a')], { expect: 'any' }),
    readStream: () => readStream(store, newStream()),
    readAll: () => readAll(store),
    setRetention: () => store.setRetention(newStream(), { maxCount: 1 }),
    head: () => store.head(),
    idAt: () => store.idAt(`${'0'.repeat(20)}-${'0'.repeat(20)}`),
    epoch: () => store.epoch(),
  };

  it.each(Object.keys(calls))('`%s` throws UNAVAILABLE', async (name) => {
    await server.stop();
    await expect(calls[name]?.()).rejects.toMatchObject({ name: 'StoreError', code: 'UNAVAILABLE' });
  });

  it('a store can be opened, and works once the server is up', async () => {
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

  it('the store keeps trying, and works once the server is up again', async () => {
    await store.append('a-1', [note('before')], { expect: 'none' });
    await server.stop();
    await expect(readStream(store, 'a-1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await server.start();
    await vi.waitFor(() => readStream(store, 'a-1'), { timeout: 10_000, interval: 20 });
    await store.append('a-1', [note('after')], { expect: 0n });
    expect(await texts('a-1')).toEqual(['before', 'after']);
  });

  it('the store can be closed', async () => {
    await server.stop();
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.close();
    await expect(store.head()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
