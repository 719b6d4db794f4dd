import { describe, expect, it } from 'vitest';
import type { NewEvent, RecordedEvent } from '../../src/kernel/event.ts';
import { anchorOf } from '../../src/log/anchor.ts';
import type { EventBatch } from '../../src/log/event-log.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { MAX_APPEND_BYTES, MAX_APPEND_EVENTS, type Retention } from '../../src/ports/event-store.ts';
import {
  eventsOf,
  followed,
  newEvent,
  newStream,
  note,
  notes,
  openTestStores,
  readWhole,
  textsOf,
  withoutSources,
} from './fixtures.ts';

const INVALID = { name: 'StoreError', code: 'INVALID' };

describe('an append', () => {
  const invalid: Record<string, () => NewEvent[]> = {
    'no events': () => [],
    'an unknown type': () => [note('a'), newEvent('NeverDefined', { text: 'b' })],
    'data that its schema does not allow': () => [note('a'), newEvent('NoteTaken', { text: 7 })],
    'too many events': () => notes(MAX_APPEND_EVENTS + 1),
    'too many bytes': () => [note('x'.repeat(MAX_APPEND_BYTES / 2)), note('ü'.repeat(MAX_APPEND_BYTES / 4))],
    'an id that is no UUID': () => [note('a'), { ...note('b'), id: 'b' }],
  };

  it.each(Object.keys(invalid))('of %s is invalid, and nothing of it is written', async (name) => {
    const { log, store } = await openTestStores();
    const stream = newStream();
    const append = log.append(stream, invalid[name]!(), { expect: 'any' });
    await expect(append).rejects.toMatchObject(INVALID);
    await expect(log.encode(invalid[name]!())).rejects.toMatchObject(INVALID);
    expect(await log.readStream(stream)).toEqual({ events: [], end: true });
    expect(await store.head()).toBeNull();
  });

  it.each(Object.keys(invalid).filter((name) => name !== 'too many bytes'))('of %s is not admitted', async (name) => {
    const { log } = await openTestStores();
    expect(log.admit(invalid[name]!())).toMatchObject(INVALID);
  });

  it('that is valid is admitted at once', async () => {
    const { log } = await openTestStores();
    expect(log.admit([note('a')])).toBeNull();
  });

  it('of the most events that one may have is written', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    const { revision } = await log.append(stream, notes(MAX_APPEND_EVENTS), { expect: 'none' });
    expect(revision).toBe(BigInt(MAX_APPEND_EVENTS) - 1n);
    expect(textsOf(await readWhole(log, stream))).toEqual(textsOf(notes(MAX_APPEND_EVENTS) as RecordedEvent[]));
  });

  it.each(['', '$system', `t-${'x'.repeat(199)}`, `t-${'x'.repeat(200)}`, 't-\ud800'])(
    'to the stream name %j is invalid',
    async (stream) => {
      const { log } = await openTestStores();
      await expect(log.append(stream, [note('a')], { expect: 'any' })).rejects.toMatchObject(INVALID);
      await expect(log.readStream(stream)).rejects.toMatchObject(INVALID);
      await expect(log.setRetention(stream, { maxCount: 1 })).rejects.toMatchObject(INVALID);
    },
  );

  it('to a stream name of 200 characters of any text is written', async () => {
    const { log } = await openTestStores();
    for (const stream of [`t-${'x'.repeat(198)}`, "t-with-ünicode 🙂 'quotes' and %_"]) {
      await log.append(stream, [note('a')], { expect: 'none' });
      expect((await log.readStream(stream)).events.map((event) => event.stream)).toEqual([stream]);
    }
  });

  it.each([-1n, 'some'])('with the expectation %s is invalid', async (expected) => {
    const { log } = await openTestStores();
    const append = log.append(newStream(), [note('a')], { expect: expected as bigint });
    await expect(append).rejects.toMatchObject(INVALID);
  });

  const uuid = '0123abcd-0123-7abc-8def-0123456789ab';
  it.each([
    '',
    'x',
    uuid.toUpperCase(),
    uuid.slice(0, -1),
    `${uuid}0`,
    ` ${uuid}`,
    `${uuid}\n`,
    uuid.replaceAll('-', ''),
    `{${uuid}}`,
    uuid.replace('a', 'g'),
  ])('of an event with the id %j is invalid', async (id) => {
    const { log } = await openTestStores();
    await expect(log.append(newStream(), [{ ...note('a'), id }], { expect: 'any' })).rejects.toMatchObject(INVALID);
    await log.append(newStream(), [{ ...note('a'), id: uuid }], { expect: 'any' });
  });

  it('of encoded events appends the same again', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    const encoded = await log.encode(notes(2));
    const { revision } = await log.append(stream, encoded, { expect: 'none' });
    await expect(log.append(stream, encoded, { expect: 'none' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: revision,
    });
    await log.append(stream, encoded, { expect: revision });
    const ids = (await readWhole(log, stream)).map(({ id }) => id);
    expect(ids.slice(2)).toEqual(ids.slice(0, 2));
  });
});

describe('an event', () => {
  it('comes back with its whole envelope, from everywhere', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    const metadata = { actor: '0123456789abcdef01234567', causationId: '00000000-0000-4000-8000-000000000000' };
    const event = newEvent('NoteTaken', { text: 'a' }, metadata);
    const { position } = await log.append(stream, [event], { expect: 'none' });
    const { events } = await log.readStream(stream);
    const recordedAt = String(events[0]?.recordedAt);
    expect(events).toStrictEqual([
      {
        type: 'NoteTaken',
        data: { text: 'a' },
        id: event.id,
        schemaVersion: 1,
        stream,
        revision: 0n,
        position,
        recordedAt,
        metadata: event.metadata,
      },
    ]);
    expect(recordedAt).toBe(new Date(recordedAt).toISOString());
    for (const each of [log, another().log]) {
      expect((await each.readAll({ direction: 'forwards', from: null })).events).toStrictEqual(events);
      expect((await each.readAll({ direction: 'backwards', from: null })).events).toStrictEqual(events);
      expect(eventsOf(await followed(each))).toStrictEqual(events);
    }
  });

  it('has data of every JSON form as it was appended', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    const data = {
      text: 'Grüße, 你好, שלום, 👩‍👩‍👧‍👦, \u0000, \u2028, "quoted" \\ and a lone \ud83d half',
      empty: { object: {}, array: [], text: '' },
      nested: { a: [{ b: [[1, 2], [null]] }, true, false] },
      numbers: [0, -1, 1.5, 1e21, -2.5e-7, Number.MAX_SAFE_INTEGER, 0.1],
      nothing: null,
      'a key with "quotes" and ünicode': 1,
    };
    await log.append(stream, [newEvent('NoteTaken', data)], { expect: 'none' });
    expect((await log.readStream(stream)).events[0]?.data).toStrictEqual(data);
    expect(eventsOf(await followed(log))[0]?.data).toStrictEqual(data);
  });

  it('appended in this process reaches its subscriptions as the same object, and others as an equal one', async () => {
    const { log, another } = await openTestStores();
    const own = log.subscribe({ after: null })[Symbol.asyncIterator]();
    const foreign = another().log.subscribe({ after: null })[Symbol.asyncIterator]();
    for (const each of [own, foreign]) expect((await each.next()).value?.caughtUp).toBe(true);
    const events = [note('a'), newEvent('LetterSent', { senderId: 'ann', receiverId: null, stamp: 1, text: 'b' })];
    await log.append(newStream(), events, { expect: 'none' });
    const [ownData, foreignData] = await Promise.all(
      [own, foreign].map(async (each) => {
        const { value } = await each.next();
        return (value as EventBatch).events.map(({ data }) => data);
      }),
    );
    expect(ownData?.map((data, i) => data === events[i]?.data)).toEqual([true, true]);
    expect(foreignData).toStrictEqual(events.map(({ data }) => data));
    expect(foreignData?.map((data, i) => data === events[i]?.data)).toEqual([false, false]);
    for (const each of [own, foreign]) await each.return?.();
  });

  it('of a type that this program does not know is read as it is', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    await log.append(stream, [note('a')], { expect: 'none' });
    const older = another({ registry: new Map() });
    expect((await older.log.readStream(stream)).events).toMatchObject([{ type: 'NoteTaken', data: { text: 'a' } }]);
  });

  it.each(['not JSON', '"text"', 'null', '[]', '{"$":[2]}', '{"$":"x"}'])(
    'with the damaged data %s makes reads fail',
    async (data) => {
      const { log, store } = await openTestStores();
      const stream = newStream();
      const { metadata, id } = note('');
      await store.append(stream, [{ id, type: 'NoteTaken', schemaVersion: 1, data, metadata }], { expect: 'none' });
      const damaged = { code: 'UNAVAILABLE', message: expect.stringContaining('damaged') };
      await expect(log.readStream(stream)).rejects.toMatchObject(damaged);
      await expect(log.readAll({ direction: 'forwards', from: null })).rejects.toMatchObject(damaged);
      await expect(followed(log)).rejects.toMatchObject(damaged);
    },
  );
});

describe('a retention', () => {
  it.each<Retention>([
    { maxCount: 0 },
    { maxCount: 1.5 },
    { maxAgeMs: 1_500 },
    { maxAgeMs: 0 },
    { maxAgeMs: -1_000 },
    { truncateBefore: -1n },
    { maxCount: 1, maxAgeMs: 999 },
  ])('of %o is invalid, and changes nothing', async (retention) => {
    const { log } = await openTestStores();
    const stream = newStream();
    await log.append(stream, notes(3), { expect: 'none' });
    await expect(log.setRetention(stream, retention)).rejects.toMatchObject(INVALID);
    expect((await log.readStream(stream)).events).toHaveLength(3);
  });

  it('hides what a stream may forget', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    await log.append(stream, notes(5), { expect: 'none' });
    await log.setRetention(stream, { truncateBefore: 1n, maxCount: 3, maxAgeMs: 60_000 });
    expect(textsOf((await log.readStream(stream)).events)).toEqual(['note 2', 'note 3', 'note 4']);
    await log.setRetention(stream, {});
    await log.append(stream, [note('more')], { expect: 4n });
    expect(textsOf((await log.readStream(stream)).events).slice(-2)).toEqual(['note 4', 'more']);
  });
});

describe('the log itself', () => {
  it('has a head, ids at positions, a count and an epoch', async () => {
    const { log, store } = await openTestStores();
    expect([await log.head(), await log.countAfter(null)]).toEqual([null, 0]);
    const events = notes(3);
    const { position } = await log.append(newStream(), events, { expect: 'none' });
    expect([await log.head(), await log.countAfter(null), await log.countAfter(position)]).toEqual([position, 3, 0]);
    expect(await log.idAt(position)).toBe(events[2]?.id);
    expect(await log.epoch()).toBe(await store.epoch());
  });

  it('has a last event before each position, and before its end', async () => {
    const { log } = await openTestStores();
    expect(await log.recordBefore(null)).toBeNull();
    await log.append(newStream(), notes(3), { expect: 'none' });
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    const anchors = events.map(anchorOf);
    expect(await log.recordBefore(null)).toEqual(anchors[2]);
    expect(await log.recordBefore(events[2]?.position ?? '')).toEqual(anchors[1]);
    expect(await log.recordBefore(events[0]?.position ?? '')).toBeNull();
    await expect(log.recordBefore('not a position')).rejects.toMatchObject({ code: 'INVALID' });
  });

  it('is not searched for its last event over any number of records of other programs', async () => {
    const { store, another } = await openTestStores();
    let reads = 0;
    const crowded: EventStore = {
      ...withoutSources(store),
      // A slice may be empty before the end.
      readAll: async ({ from }) => {
        reads++;
        return { records: [], next: from, end: false };
      },
    };
    expect(await another({ store: crowded }).log.recordBefore(null)).toBeNull();
    expect(reads).toBe(1);
  });

  it('reports to all listeners that it was restored', async () => {
    const { log } = await openTestStores();
    const calls: number[] = [];
    log.onRestored(() => calls.push(1));
    log.onRestored(() => calls.push(2));
    log.restored();
    expect(calls).toEqual([1, 2]);
  });

  it('closes its store', async () => {
    const { log, store } = await openTestStores();
    await log.close();
    await expect(store.head()).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(log.append(newStream(), [note('a')], { expect: 'any' })).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
