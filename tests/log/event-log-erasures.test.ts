import { describe, expect, it } from 'vitest';
import type { EventRegistry } from '../../src/kernel/event-definition.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { eventsOf, followed, newEvent, newStream, note, openTestStores, testRegistry } from './fixtures.ts';
import { keysWith, letter } from './key-stores.ts';

const erasureOf = (personId: string) => newEvent('PersonErased', { personId });

/** The persons whose erasure the log reports from now on. */
function erasedOf(log: EventLog): string[] {
  const erased: string[] = [];
  log.onErased((personId) => erased.push(personId));
  return erased;
}

describe('an erasure', () => {
  it('is reported to every listener, by each subscription and each read that passes it', async () => {
    const { log } = await openTestStores();
    const [stream, other] = [newStream(), newStream()];
    await log.append(stream, [erasureOf('ann'), note('a'), erasureOf('bob')], { expect: 'none' });
    await log.append(other, [note('b')], { expect: 'none' });
    const [first, second] = [erasedOf(log), erasedOf(log)];
    const reads: Readonly<Record<string, () => Promise<unknown>>> = {
      'a subscription': () => followed(log),
      'a second subscription': () => followed(log),
      'a subscription to other types': () => followed(log, { filter: { types: ['NumberDrawn'] } }),
      'a subscription in small batches': () => followed(log, { batchSize: 1 }),
      'a read of the stream': () => log.readStream(stream),
      'a read of the whole log': () => log.readAll({ direction: 'forwards', from: null }),
    };
    for (const [name, read] of Object.entries(reads)) {
      await read();
      expect(first.splice(0), name).toEqual(['ann', 'bob']);
      expect(second.splice(0), name).toEqual(['ann', 'bob']);
    }
    await log.readStream(other);
    await followed(log, { after: await log.head() });
    expect([first, second]).toEqual([[], []]);
  });

  it('is reported before the subscriber gets its batch, also when it was just appended in this process', async () => {
    const { log, personalKeys } = await openTestStores();
    await log.append(newStream(), [letter('ann')], { expect: 'none' });
    expect(personalKeys.cached('ann')).toBeTruthy();
    const live = log.subscribe({ after: null, filter: { types: ['NoteTaken'] } })[Symbol.asyncIterator]();
    expect(await live.next()).toMatchObject({ value: { events: [], caughtUp: true } });
    const erased = erasedOf(log);
    const { position } = await log.append(newStream(), [erasureOf('ann')], { expect: 'none' });
    expect(await live.next()).toMatchObject({ value: { events: [], position } });
    expect(erased).toEqual(['ann']);
    expect(personalKeys.cached('ann')).toBeUndefined();
    await live.return?.();
  });

  it('is not read by a subscription to categories without it', async () => {
    const { log } = await openTestStores();
    await log.append('person-1', [erasureOf('ann')], { expect: 'none' });
    await log.append('note-1', [note('a')], { expect: 'none' });
    const erased = erasedOf(log);
    expect(eventsOf(await followed(log, { filter: { categories: ['note'] } }))).toHaveLength(1);
    expect(erased).toEqual([]);
    expect(eventsOf(await followed(log, { filter: { categories: ['person'] } }))).toHaveLength(1);
    expect(erased).toEqual(['ann']);
  });

  it('is any event of a type that erases, as the registry says', async () => {
    const { log, another } = await openTestStores();
    const erasing = testRegistry.get('PersonErased');
    const registry: EventRegistry = new Map([...testRegistry, ['AccountClosed', { ...erasing!, erases: 'owner' }]]);
    const later = another({ registry }).log;
    expect([...log.erasingTypes]).toEqual(['PersonErased']);
    expect([...later.erasingTypes]).toEqual(['PersonErased', 'AccountClosed']);
    const closed = newEvent('AccountClosed', { personId: 'cid', owner: 'ann' });
    await later.append(newStream(), [closed, erasureOf('bob')], { expect: 'none' });
    const [early, erased] = [erasedOf(log), erasedOf(later)];
    for (const each of [log, later]) await followed(each, { filter: { types: ['NoteTaken'] } });
    expect([early, erased]).toEqual([['bob'], ['ann', 'bob']]);
  });

  it('without the id of a person is read and reported to no listener', async () => {
    const { log, store } = await openTestStores();
    const { id, metadata } = note('');
    const record = { id, type: 'PersonErased', schemaVersion: 1, data: '{"personId":null}', metadata };
    await store.append(newStream(), [record], { expect: 'none' });
    const erased = erasedOf(log);
    expect(eventsOf(await followed(log))).toMatchObject([{ data: { personId: null } }]);
    expect(erased).toEqual([]);
  });
});

describe('events of an erased person', () => {
  it('have null in every read, in any direction, and the texts of others stay', async () => {
    const { log, another, personalKeys } = await openTestStores();
    const stream = newStream();
    const both = newEvent('LetterSent', {
      senderId: 'ann',
      receiverId: 'bob',
      stamp: 1,
      text: 'of ann',
      answer: 'of bob',
    });
    await log.append(stream, [letter('ann'), letter('bob'), both], { expect: 'none' });
    await personalKeys.destroy('ann');
    const texts = [null, 'secret of bob', null];
    for (const reader of [log, another().log]) {
      const reads = await Promise.all([
        reader.readStream(stream),
        reader.readAll({ direction: 'forwards', from: null }),
        followed(reader).then((batches) => ({ events: eventsOf(batches) })),
        followed(reader, { filter: { types: ['LetterSent'] }, batchSize: 2 }).then((batches) => ({
          events: eventsOf(batches),
        })),
      ]);
      for (const { events } of reads) {
        expect(events.map(({ data }) => data.text)).toEqual(texts);
        expect(events[2]?.data).toEqual({ ...both.data, text: null });
      }
      const backwards = await reader.readStream(stream, { direction: 'backwards' });
      expect(backwards.events.map(({ data }) => data.text)).toEqual(texts.toReversed());
    }
  });
});

describe('admission of events', () => {
  /** A node whose key store answers only when the gate is opened. */
  async function gatedNode() {
    const stores = await openTestStores();
    const gate = Promise.withResolvers<void>();
    const created: string[] = [];
    const keys = keysWith(stores.keys, {
      async create(name, secret) {
        created.push(name);
        await gate.promise;
        return stores.keys.create(name, secret);
      },
    });
    return { stores, gate, created, ...stores.another({ keys }) };
  }

  it('is decided at once where no key has to be read', async () => {
    const { log, created, stores } = await gatedNode();
    expect(log.admit([note('a'), letter('ann', { text: null }), letter('ann', { senderId: null })])).toBeNull();
    expect(log.admit([letter('ann'), newEvent('NoteTaken', {})])).toMatchObject({ code: 'INVALID' });
    expect(created).toEqual([]);
    await stores.personalKeys.create('ann');
    expect(stores.log.admit([letter('ann')])).toBeNull();
    await stores.personalKeys.destroy('ann');
    expect(stores.log.admit([letter('ann')])).toMatchObject({ code: 'ERASED' });
  });

  it('waits for the keys that have to be read, one call for each person, and then needs them no more', async () => {
    const { log, gate, created } = await gatedNode();
    const events = [letter('ann'), letter('bob'), letter('ann')];
    const waiting = [log.admit(events), log.admit([letter('ann')]), log.encode(events)];
    expect(waiting).toEqual([expect.any(Promise), expect.any(Promise), expect.any(Promise)]);
    expect(created).toEqual(['person/ann', 'person/bob']);
    gate.resolve();
    const [admitted, alone, encoded] = await Promise.all(waiting);
    expect([admitted, alone]).toEqual([null, null]);
    expect(encoded).toMatchObject({ records: [{ type: 'LetterSent' }, {}, {}] });
    expect(log.admit(events)).toBeNull();
    expect(created).toEqual(['person/ann', 'person/bob']);
  });

  it('ends with the error of the key store or of the erasure where it had to wait', async () => {
    const { log, gate, stores } = await gatedNode();
    await stores.personalKeys.destroy('ann');
    const waiting = log.admit([letter('bob'), letter('ann')]);
    gate.resolve();
    expect(await waiting).toMatchObject({ code: 'ERASED' });
    await stores.keys.close();
    expect(await log.admit([letter('cid')])).toMatchObject({ code: 'CLOSED' });
  });
});
