import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { openFields, SEALED, type SealedEntry, sealedEntriesOf, sealFields } from '../../src/log/sealed-fields.ts';
import type { NewRecord } from '../../src/ports/event-store.ts';
import { execute, group, message, messagesOf, newId, startNode } from '../commands/node.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import { eventsOf, followed, newEvent, newStream, olderRegistry, openTestStores, withoutSources } from './fixtures.ts';

const { random } = system;
const newKey = (): KeyObject => createSecretKey(randomBytes(32));
const binding = { id: '01890a5d-ac96-774b-bcce-b302099a8057', type: 'LetterSent' };

const letter = (data: JsonObject = {}): NewEvent =>
  newEvent('LetterSent', {
    senderId: 'ann',
    receiverId: 'bob',
    stamp: 7,
    subject: 'secret subject',
    text: 'secret text',
    answer: 'secret answer',
    ...data,
  });

/** Any text that JSON can carry: also empty, with control characters, astral characters and lone surrogates. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\u0000', '😀𝒳', '\ud800', '\udfff\ud800', '"\\\u2028'),
);
const value = fc.oneof(text, fc.jsonValue({ noUnicodeString: false }).map(roundTripped));
const fieldName = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9]{0,12}$/).filter((name) => name !== 'personId');
const fields = fc.dictionary(fieldName, value, { minKeys: 1, maxKeys: 5, noNullPrototype: true });

/** A value as it is after JSON: without `-0`. */
function roundTripped(json: unknown) {
  return JSON.parse(JSON.stringify(json));
}

const seal = (key: KeyObject, data: JsonObject, names = Object.keys(data)): SealedEntry =>
  sealFields(key, binding, 'personId', names, data, random);

describe('sealed fields', () => {
  it('open under the same key to the same values, whatever these are', () => {
    fc.assert(
      fc.property(fields, (data) => {
        const key = newKey();
        const entry = seal(key, data);
        expect(entry.slice(0, 2)).toEqual(['personId', Object.keys(data).join(',')]);
        expect(openFields(key, binding, roundTripped(entry))).toEqual(Object.values(data));
      }),
      { numRuns: 300 },
    );
  });

  const tampered = { numRuns: 300 };

  it('do not open when any bit of them was changed', () => {
    fc.assert(
      fc.property(fields, fc.nat(), fc.nat({ max: 7 }), (data, at, bit) => {
        const key = newKey();
        const [personField, names, sealed] = seal(key, data);
        const bytes = Buffer.from(sealed, 'base64');
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
        expect(() => openFields(key, binding, [personField, names, bytes.toString('base64')])).toThrow();
      }),
      tampered,
    );
  });

  it('do not open when any character was changed, unless that stands for the same bytes', () => {
    fc.assert(
      fc.property(fields, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (data, at, character) => {
        const key = newKey();
        const [personField, names, sealed] = seal(key, data);
        const index = at % sealed.length;
        const changed = sealed.slice(0, index) + character + sealed.slice(index + 1);
        const open = () => openFields(key, binding, [personField, names, changed]);
        if (Buffer.from(changed, 'base64').equals(Buffer.from(sealed, 'base64'))) {
          expect(open()).toEqual(Object.values(data));
        } else expect(open).toThrow();
      }),
      tampered,
    );
  });

  it('do not open when bytes are missing or added', () => {
    const key = newKey();
    const [personField, names, sealed] = seal(key, { text: 'a text', subject: '' });
    const bytes = Buffer.from(sealed, 'base64');
    const parts = Array.from(bytes, (_, length) => [bytes.subarray(0, length), bytes.subarray(length + 1)]).flat();
    for (const part of [...parts, Buffer.concat([bytes, Buffer.of(0)]), Buffer.concat([Buffer.of(0), bytes])]) {
      expect(() => openFields(key, binding, [personField, names, part.toString('base64')])).toThrow();
    }
  });

  it('do not open in another event, in an event of another type, under other field names or under another key', () => {
    fc.assert(
      fc.property(fields, fc.uuid(), fieldName, (data, otherId, other) => {
        const key = newKey();
        const entry = seal(key, data);
        const [personField, names, sealed] = entry;
        const elsewhere = [
          () => openFields(key, { ...binding, id: otherId }, entry),
          () => openFields(key, { ...binding, type: other }, entry),
          () => openFields(key, { id: `${binding.id}\n${binding.type}`, type: '' }, entry),
          () => openFields(key, binding, [personField, `${names},${other}`, sealed]),
          () => openFields(key, binding, [personField, '', sealed]),
          () => openFields(newKey(), binding, entry),
        ];
        const renamed = names.split(',').with(0, other).join(',');
        if (renamed !== names) elsewhere.push(() => openFields(key, binding, [personField, renamed, sealed]));
        for (const open of elsewhere) expect(open).toThrow();
      }),
      tampered,
    );
  });

  it('are absent where there is no such member, and rejected where their form is not known', () => {
    const key = newKey();
    const entry = seal(key, { text: 'a' });
    expect(sealedEntriesOf({ text: 'a' })).toBeNull();
    expect(sealedEntriesOf({ [SEALED]: [1, entry, entry] })).toEqual([entry, entry]);
    const unknown: readonly (readonly [JsonObject[string], string])[] = [
      [[2, [...entry]], 'unknown form of sealed fields: 2'],
      [['1', [...entry]], 'unknown form of sealed fields: 1'],
      [[], 'unknown form of sealed fields: undefined'],
      [null, 'unknown form of sealed fields: undefined'],
      [{ form: 1 }, 'unknown form of sealed fields: undefined'],
      [[1, [...entry, 'more']], 'malformed sealed fields'],
      [[1, ['a', 'b', 3]], 'malformed sealed fields'],
      [[1, 'abc'], 'malformed sealed fields'],
    ];
    for (const [member, reason] of unknown) expect(() => sealedEntriesOf({ [SEALED]: member })).toThrow(reason);
  });
});

describe('events with personal fields', () => {
  it('are read as they were written, for all texts and persons', async () => {
    const { log, another } = await openTestStores();
    const other = another().log;
    const person = fc.constantFrom('ann', 'bob', 'cid', null);
    const field = fc.oneof(text, fc.constant(null));
    const letters = fc.array(
      fc.record({ senderId: person, receiverId: person, subject: field, text: field, answer: field }),
      { minLength: 1, maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(letters, async (some) => {
        const stream = newStream();
        const events = some.map((data) => newEvent('LetterSent', { ...data, stamp: 1 }));
        await log.append(stream, events, { expect: 'none' });
        for (const reader of [log, other]) {
          const read = (await reader.readStream(stream)).events;
          expect(read.map(({ data }) => data)).toEqual(events.map(({ data }) => data));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('contain no byte of the personal text as they are stored, in no encoding', async () => {
    const { log } = await openTestStores();
    // Longer than anything that could be in the record by chance.
    const long = fc.string({ unit: 'binary', minLength: 12, maxLength: 100 });
    await fc.assert(
      fc.asyncProperty(long, long, long, async (subject, content, answer) => {
        const data = { senderId: 'ann', receiverId: 'bob', stamp: 1, subject, text: content, answer };
        const { records } = await log.encode([newEvent('LetterSent', data)]);
        const stored = JSON.stringify(records.map(({ source: _, ...record }) => record));
        for (const secret of [subject, content, answer]) {
          const bytes = Buffer.from(secret);
          const forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())];
          forms.push(bytes.toString('base64').slice(0, -4), bytes.toString('hex'));
          for (const form of forms) expect(stored).not.toContain(form);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('nonces', () => {
  it('never repeat in 20,000 seals under one key', async () => {
    const { log, personalKeys } = await openTestStores();
    await personalKeys.create('ann');
    const nonces = new Set<string>();
    for (let batch = 0; batch < 20; batch++) {
      const { records } = await log.encode(
        Array.from({ length: 1_000 }, () => letter({ receiverId: null, answer: null, text: 'x' })),
      );
      for (const { data } of records) {
        const [, entry] = JSON.parse(data).$ as [number, [string, string, string]];
        nonces.add(Buffer.from(entry[2], 'base64').toString('hex', 0, 12));
      }
    }
    expect(nonces.size).toBe(20_000);
  });
});

describe('personal fields of an erased person', () => {
  it('read as null everywhere, those of others do not', async () => {
    const stores = await openTestStores();
    const stream = newStream();
    const foreign = stores.another().log;
    const live = foreign.subscribe({ after: null })[Symbol.asyncIterator]();
    expect((await live.next()).value?.caughtUp).toBe(true);
    // Encoded while the key exists, and appended once it does not.
    const encoded = await stores.log.encode([letter()]);
    await stores.personalKeys.destroy('ann');
    await stores.log.append(stream, encoded, { expect: 'none' });
    const expected = [{ ...letter().data, subject: null, text: null }];
    const dataOf = (events: readonly { data: JsonObject }[]) => events.map(({ data }) => data);
    expect(dataOf((await live.next()).value?.events ?? [])).toEqual(expected);
    await live.return?.();
    for (const log of [stores.log, foreign, stores.another().log]) {
      expect(dataOf((await log.readStream(stream)).events)).toEqual(expected);
      expect(dataOf((await log.readAll({ direction: 'forwards', from: null })).events)).toEqual(expected);
      expect(dataOf((await log.readAll({ direction: 'backwards', from: null })).events)).toEqual(expected);
    }
    expect(dataOf(eventsOf(await followed(foreign)))).toEqual(expected);
  });

  it('reach upcasters as null', async () => {
    const stores = await openTestStores();
    const older = stores.another({ registry: olderRegistry });
    const stream = newStream();
    const profiles = ['ann', 'bob'].map((personId) => newEvent('ProfileGiven', { personId, name: 'Secret Name' }));
    await older.log.append(stream, profiles, { expect: 'none' });
    const { log } = stores.another();
    const read = async () => (await log.readStream(stream)).events.map(({ data }) => data);
    const known = { first: 'Secret', last: 'Name' };
    expect(await read()).toEqual([
      { personId: 'ann', ...known },
      { personId: 'bob', ...known },
    ]);
    await stores.personalKeys.destroy('ann');
    const { log: later } = stores.another();
    expect((await later.readStream(stream)).events.map(({ data }) => data)).toEqual([
      { personId: 'ann', first: null, last: null },
      { personId: 'bob', ...known },
    ]);
  });
});

describe('the records of an append', () => {
  it('are the same when the same encoded events are appended again, and new when the events are encoded again', async () => {
    const { log, store } = await openTestStores();
    const event = newEvent('LetterSent', { senderId: 'ann', receiverId: null, stamp: 1, text: 'hi' });
    const events = await log.encode([event]);
    for (const stream of ['one', 'two']) await log.append(stream, events, { expect: 'none' });
    await log.append('three', [event], { expect: 'none' });
    const { records } = await store.readAll({ direction: 'forwards', from: null, limit: 10 });
    const [first, again, encodedAgain] = records.map(({ id, data }) => ({ id, data }));
    expect(again).toEqual(first);
    expect(encodedAgain?.id).toBe(first?.id);
    expect(encodedAgain?.data).not.toBe(first?.data);
  });

  it('are byte for byte the same when the command handler repeats an append of unknown outcome', async () => {
    const stores = await openMemoryStores();
    onTestFinished(() => stores.close());
    const [ann, appended] = [newId(), [] as (readonly NewRecord[])[]];
    let unknown = 0;
    const node = await startNode({
      ...stores,
      store: {
        ...withoutSources(stores.store),
        append: async (stream, records, options) => {
          appended.push(records);
          if (unknown-- > 0) throw new StoreError('UNKNOWN', 'no answer, as the test wants it');
          return stores.store.append(stream, records, options);
        },
      },
    });
    const id = await group(node, ann);
    appended.length = 0;
    unknown = 3;
    await execute(node, ann, message(id, 'once'));
    expect(appended).toHaveLength(4);
    expect(new Set(appended.map((records) => JSON.stringify(records))).size).toBe(1);
    expect((await messagesOf(stores, id)).map(({ content }) => content)).toEqual(['once']);
    // Each command has sealed values of its own.
    await execute(node, ann, message(id, 'once'));
    expect(appended.at(-1)?.[0]?.data).not.toBe(appended[0]?.[0]?.data);
  });
});
