import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { Subscribe } from '../../src/log/event-log.ts';
import {
  eventsOf,
  followed,
  newEvent,
  newStream,
  note,
  notes,
  olderRegistry,
  openTestStores,
  readWhole,
  textsOf,
  withoutSources,
} from './fixtures.ts';

const INVALID = { name: 'StoreError', code: 'INVALID' };

describe('an event of an older version', () => {
  const old = () => newEvent('AddressGiven', { line: 'Main Street 1, Springfield' });
  const expected = {
    data: { street: 'Main Street 1', city: 'Springfield', country: 'unknown' },
    schemaVersion: 3,
  };

  it('is brought up to date in every read', async () => {
    const { log, another } = await openTestStores();
    const older = another({ registry: olderRegistry });
    const stream = newStream();
    await older.log.append(stream, [old()], { expect: 'none' });
    const current = { street: 'Side Street 2', city: 'Shelbyville', country: 'US' };
    await log.append(stream, [newEvent('AddressGiven', current)], { expect: 0n });
    const both = [expected, { data: current, schemaVersion: 3 }];
    const shown = (events: readonly RecordedEvent[]) =>
      events.map(({ data, schemaVersion }) => ({ data, schemaVersion }));
    expect(shown((await log.readStream(stream)).events)).toEqual(both);
    expect(shown((await log.readStream(stream, { direction: 'backwards' })).events)).toEqual(both.toReversed());
    expect(shown((await log.readAll({ direction: 'forwards', from: null })).events)).toEqual(both);
    expect(shown(eventsOf(await followed(log)))).toEqual(both);
    expect(shown(eventsOf(await followed(log, { filter: { types: ['AddressGiven'] } })))).toEqual(both);
  });

  it('is brought up to date in a live subscription', async () => {
    const { store, another } = await openTestStores();
    const log = another().log;
    const older = another({ registry: olderRegistry, store });
    const live = log.subscribe({ after: null })[Symbol.asyncIterator]();
    expect((await live.next()).value?.caughtUp).toBe(true);
    await older.log.append(newStream(), [old()], { expect: 'none' });
    expect((await live.next()).value?.events).toMatchObject([expected]);
    await live.return?.();
  });

  it('is read as it is by a program of its own version, and so is one of a newer version', async () => {
    const { log, another } = await openTestStores();
    const older = another({ registry: olderRegistry }).log;
    const stream = newStream();
    await older.append(stream, [old()], { expect: 'none' });
    const current = { street: 'Side Street 2', city: 'Shelbyville', country: 'US' };
    await log.append(stream, [newEvent('AddressGiven', current)], { expect: 0n });
    expect((await older.readStream(stream)).events).toMatchObject([
      { data: old().data, schemaVersion: 1 },
      { data: current, schemaVersion: 3 },
    ]);
  });
});

describe('reading', () => {
  it.each([{ limit: 0 }, { limit: 4_097 }, { limit: 1.5 }, { from: -1n }])(
    'a stream with %o is invalid',
    async (options) => {
      const { log } = await openTestStores();
      await expect(log.readStream(newStream(), options)).rejects.toMatchObject(INVALID);
    },
  );

  it.each([{ limit: 0 }, { limit: 4_097 }, { limit: 1.5 }, { from: 'not a position' }, { from: '' }, { from: 'ü' }])(
    'the whole log with %o is invalid',
    async (options) => {
      const { log } = await openTestStores();
      const reading = log.readAll({ direction: 'forwards', from: null, ...options });
      await expect(reading).rejects.toMatchObject(INVALID);
    },
  );

  it.each([
    { batchSize: 0 },
    { batchSize: 4_097 },
    { batchSize: 1.5 },
    { after: 'not a position' },
    { after: 'x'.repeat(81) },
    { filter: { types: [''] } },
    { filter: { categories: [7 as unknown as string] } },
  ])('a subscription with %o is invalid', async (options) => {
    const { log } = await openTestStores();
    await expect(followed(log, options)).rejects.toMatchObject(INVALID);
  });

  it('by an invalid position is invalid everywhere', async () => {
    const { log } = await openTestStores();
    for (const position of ['not a position', '']) {
      await expect(log.idAt(position)).rejects.toMatchObject(INVALID);
      await expect(log.countAfter(position)).rejects.toMatchObject(INVALID);
    }
  });

  it('returns 512 events at most when no limit is given', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    await log.append(stream, notes(600), { expect: 'none' });
    const { events, end } = await log.readStream(stream);
    expect([events.length, end]).toEqual([512, false]);
    const all = await log.readAll({ direction: 'forwards', from: null });
    expect([all.events.length, all.end]).toEqual([512, false]);
    const batches = await followed(log);
    expect(Math.max(...batches.map((batch) => batch.events.length))).toBe(512);
    expect(textsOf(await readWhole(log, stream))).toEqual(textsOf(notes(600) as RecordedEvent[]));
  });

  it('takes limits up to 4,096', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    await log.append(stream, notes(4_096), { expect: 'none' });
    expect((await log.readStream(stream, { limit: 4_096 })).events).toHaveLength(4_096);
    expect((await log.readStream(stream, { limit: 1 })).events).toHaveLength(1);
    const all = await log.readAll({ direction: 'forwards', from: null, limit: 4_096 });
    expect(all.events).toHaveLength(4_096);
    const [batch] = await followed(log, { batchSize: 4_096 });
    expect(batch?.events).toHaveLength(4_096);
  });

  it('a stream starts at a revision, in both directions', async () => {
    const { log } = await openTestStores();
    const stream = newStream();
    await log.append(stream, notes(5), { expect: 'none' });
    expect(textsOf((await log.readStream(stream, { from: 3n })).events)).toEqual(['note 3', 'note 4']);
    const backwards = await log.readStream(stream, { direction: 'backwards', from: 1n });
    expect(textsOf(backwards.events)).toEqual(['note 1', 'note 0']);
    expect(textsOf((await log.readStream(stream, { direction: 'backwards', limit: 1 })).events)).toEqual(['note 4']);
  });
});

describe('a subscription', () => {
  it('delivers only what its filter selects, though it reads erasures too', async () => {
    const { log, personalKeys } = await openTestStores();
    const stream = newStream();
    const events = [note('a'), newEvent('PersonErased', { personId: 'ann' }), newEvent('NumberDrawn', { n: 1 })];
    await log.append(stream, events, { expect: 'none' });
    const seen: string[] = [];
    log.onErased((personId) => seen.push(personId));
    const typesOf = async (options: Partial<Subscribe>) =>
      eventsOf(await followed(log, options)).map(({ type }) => type);
    expect(await typesOf({ filter: { types: ['NoteTaken'] } })).toEqual(['NoteTaken']);
    expect(seen).toEqual(['ann']);
    expect(await typesOf({ filter: { types: ['PersonErased', 'NumberDrawn'] } })).toEqual([
      'PersonErased',
      'NumberDrawn',
    ]);
    expect(await typesOf({ filter: { types: [] } })).toEqual([]);
    expect(await typesOf({ filter: { categories: ['t'] } })).toHaveLength(3);
    expect(await typesOf({})).toHaveLength(3);
    expect(seen.every((personId) => personId === 'ann')).toBe(true);
    expect(personalKeys.cached('ann')).toBeUndefined();
    expect([...log.erasingTypes]).toEqual(['PersonErased']);
  });

  it('moves its position also past what its filter leaves out', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), [newEvent('PersonErased', { personId: 'ann' })], { expect: 'none' });
    const { position } = await log.append(newStream(), [note('a')], { expect: 'none' });
    const batches = await followed(log, { filter: { types: ['NumberDrawn'] } });
    expect([eventsOf(batches), batches.at(-1)?.position]).toEqual([[], position]);
  });

  it('frees that of the store when the consumer leaves it or an event cannot be decoded', async () => {
    const { log, store, another } = await openTestStores();
    let open = 0;
    const counting = {
      ...withoutSources(store),
      async *subscribe(options: Parameters<typeof store.subscribe>[0]) {
        open++;
        try {
          yield* store.subscribe(options);
        } finally {
          open--;
        }
      },
    };
    const node = another({ store: counting }).log;
    await log.append(newStream(), notes(3), { expect: 'none' });
    for await (const _ of node.subscribe({ after: null, batchSize: 1 })) break;
    expect(open).toBe(0);
    const { metadata, id } = note('');
    const damaged = { id, type: 'NoteTaken', schemaVersion: 1, data: '[]', metadata };
    await store.append(newStream(), [damaged], { expect: 'none' });
    await expect(followed(node)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(open).toBe(0);
  });
});
