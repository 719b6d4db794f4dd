import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { NewEvent, RecordedEvent } from '../../src/kernel/event.ts';
import type { EventDefinition, EventRegistry } from '../../src/kernel/event-definition.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { MAX_APPEND_BYTES, type NewRecord } from '../../src/ports/event-store.ts';
import { execute, group, message, messagesOf, newId, startNode } from '../commands/node.ts';
import { newRecord } from '../contracts/events.ts';
import { openMemoryStores } from '../support/stores.ts';
import { newEvent, newStream, note, notes, olderRegistry, openTestStores, testRegistry } from './fixtures.ts';

const readTypes = async (log: EventLog, stream: string) =>
  (await log.readStream(stream)).events.map(({ type, schemaVersion, data }) => ({ type, schemaVersion, data }));

describe('an append of events', () => {
  const secret = 'text that no error may contain';
  const invalid: Readonly<Record<string, readonly [NewEvent[], RegExp]>> = {
    'an event that does not match its schema': [
      [note('a'), newEvent('NoteTaken', { text: 1, secret })],
      /^event 'NoteTaken' does not match its schema: \/text must be a string$/,
    ],
    'a missing field': [[newEvent('NumberDrawn', {})], /^event 'NumberDrawn' does not match its schema: \/n must be/],
    'an unknown type': [[note('a'), newEvent('NoteLost', { secret })], /^unknown event type 'NoteLost'$/],
    'the name of a member of every object as its type': [[newEvent('constructor', {})], /^unknown event type/],
    'an invalid id': [[{ ...note(secret), id: 'x' }], /^an event id must be a UUID in lower case, not 'x'$/],
    'no events': [[], /^an append must have 1 to 4096 events, not 0$/],
    'too many events': [notes(4_097), /^an append must have 1 to 4096 events, not 4097$/],
    'too many bytes': [
      [note('x'.repeat(MAX_APPEND_BYTES / 2)), note('x'.repeat(MAX_APPEND_BYTES / 2))],
      /^an append must have at most 1000000 bytes of data and metadata, not 100\d+$/,
    ],
    'a value that JSON does not know': [
      [newEvent('NoteTaken', { text: 'a', big: 1n } as unknown as JsonObject)],
      /^an event cannot be written as JSON: TypeError/,
    ],
    'a personal field that JSON does not know': [
      [newEvent('LetterSent', { senderId: 'ann', receiverId: null, stamp: 1, text: 1n } as unknown as JsonObject)],
      /^an event cannot be written as JSON: TypeError/,
    ],
  };

  it.each(Object.entries(invalid))('fails as INVALID for %s, and writes nothing', async (_, [events, text]) => {
    const { log } = await openTestStores();
    const failed = { name: 'StoreError', code: 'INVALID', message: expect.stringMatching(text) };
    await expect(log.append(newStream(), events, { expect: 'any' })).rejects.toMatchObject(failed);
    await expect(log.encode(events)).rejects.toMatchObject(failed);
    await expect(log.append(newStream(), events, { expect: 'any' })).rejects.not.toThrow(secret);
    expect(await log.head()).toBeNull();
  });
});

describe('a command whose event does not match its schema', () => {
  it('fails by itself, and the other commands of its batch are handled', async () => {
    const stores = await openMemoryStores();
    onTestFinished(() => stores.close());
    const node = await startNode(stores);
    const [ann, bob] = [newId(), newId()];
    const id = await group(node, ann, bob);
    for (const sender of [ann, bob]) await execute(node, sender, message(id, 'first'));
    const appends = node.log.counts.appends;
    const outcomes = await Promise.allSettled([
      execute(node, ann, message(id, 'one')),
      execute(node, bob, message(id, 'not sent', 'this is no UUID')),
      execute(node, bob, message(id, 'two')),
      execute(node, ann, message(id, 'x'.repeat(16_385))),
      execute(node, ann, message(id, 'three')),
    ]);
    expect(node.log.counts.appends - appends).toBe(1);
    const failed = { status: 'rejected', reason: { name: 'StoreError', code: 'INVALID' } };
    const handled = { status: 'fulfilled' };
    expect(outcomes).toMatchObject([handled, failed, handled, failed, handled]);
    expect((await messagesOf(stores, id)).map(({ content, seq }) => [seq, content])).toEqual([
      [1, 'first'],
      [2, 'first'],
      [3, 'one'],
      [4, 'two'],
      [5, 'three'],
    ]);
  });
});

describe('an event of an older schema version', () => {
  /** The registry at the time of the second version of `AddressGiven`. */
  const address = testRegistry.get('AddressGiven') as EventDefinition;
  const secondRegistry: EventRegistry = new Map([
    ...testRegistry,
    ['AddressGiven', { ...address, version: 2, upcasters: address.upcasters.slice(0, 1), check: () => null }],
  ]);

  it('is read in the current version, through each version in between', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    await another({ registry: olderRegistry }).log.append(
      stream,
      [newEvent('AddressGiven', { line: 'Main Street, Springfield' })],
      { expect: 'none' },
    );
    await another({ registry: secondRegistry }).log.append(
      stream,
      [newEvent('AddressGiven', { street: 'High Street', city: 'Oxford' })],
      { expect: 0n },
    );
    await log.append(stream, [newEvent('AddressGiven', { street: 'Rue', city: 'Paris', country: 'FR' })], {
      expect: 1n,
    });
    const current = { type: 'AddressGiven', schemaVersion: 3 };
    expect(await readTypes(log, stream)).toEqual([
      { ...current, data: { street: 'Main Street', city: 'Springfield', country: 'unknown' } },
      { ...current, data: { street: 'High Street', city: 'Oxford', country: 'unknown' } },
      { ...current, data: { street: 'Rue', city: 'Paris', country: 'FR' } },
    ]);
  });

  it('cannot be read where its upcaster throws', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    await another({ registry: olderRegistry }).log.append(stream, [newEvent('AddressGiven', { line: 'a' })], {
      expect: 'none',
    });
    const cause = new Error('a bug');
    const upcasters = [
      () => {
        throw cause;
      },
    ];
    const registry = new Map([...testRegistry, ['AddressGiven', { ...address, version: 2, upcasters }] as const]);
    await expect(another({ registry }).log.readStream(stream)).rejects.toMatchObject({ code: 'UNAVAILABLE', cause });
    expect(await readTypes(log, stream)).toHaveLength(1);
  });
});

describe('an event of a newer program', () => {
  it('is read as it is where its schema version is newer than the known one, with opened personal fields', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    const address = { street: 'Rue', city: 'Paris', country: 'FR' };
    const profile = { personId: 'ann', first: 'Ann', last: 'Example' };
    await log.append(stream, [newEvent('AddressGiven', address), newEvent('ProfileGiven', profile)], {
      expect: 'none',
    });
    expect(await readTypes(another({ registry: olderRegistry }).log, stream)).toEqual([
      { type: 'AddressGiven', schemaVersion: 3, data: address },
      { type: 'ProfileGiven', schemaVersion: 2, data: profile },
    ]);
  });

  it('is read as it is where its type is unknown, with opened personal fields', async () => {
    const { log, another, personalKeys } = await openTestStores();
    const stream = newStream();
    const letter = { senderId: 'ann', receiverId: null, stamp: 1, text: 'hello' };
    await log.append(stream, [newEvent('LetterSent', letter)], { expect: 'none' });
    const older = another({ registry: new Map() }).log;
    expect(await readTypes(older, stream)).toEqual([{ type: 'LetterSent', schemaVersion: 1, data: letter }]);
    await personalKeys.destroy('ann');
    expect(await readTypes(another({ registry: new Map() }).log, stream)).toMatchObject([{ data: { text: null } }]);
  });
});

describe('a damaged record', () => {
  const records: Readonly<Record<string, string>> = {
    'with sealed fields that are not a list': '{"text":"a","$":{"form":1}}',
    'with a sealed entry that is not a list': '{"text":"a","$":[1,null]}',
    'with a sealed entry without a value': '{"text":"a","$":[1,["text","b"]]}',
    'with a sealed entry of a person who is not named': '{"text":"a","$":[1,["personId","b","AAAA"]]}',
  };

  it.each(Object.entries(records))('%s fails the reading with its position', async (_, data) => {
    const { log, store } = await openTestStores();
    const stream = newStream();
    const record: NewRecord = { ...newRecord('NoteTaken', {}), data };
    const { position } = await store.append(stream, [record], { expect: 'none' });
    const damaged = {
      code: 'UNAVAILABLE',
      message: expect.stringMatching(new RegExp(`^the event at position ${position} (is damaged|cannot be decoded)$`)),
      cause: expect.any(Error),
    };
    await expect(log.readStream(stream)).rejects.toMatchObject(damaged);
    await expect(log.readAll({ direction: 'forwards', from: null })).rejects.toMatchObject(damaged);
    const reading = log.subscribe({ after: null })[Symbol.asyncIterator]();
    await expect(reading.next()).rejects.toMatchObject(damaged);
    expect(await reading.next()).toMatchObject({ done: true });
  });
});

describe('subscribers', () => {
  /** Appends once the subscriber has caught up, and returns what it gets. */
  async function received(subscriber: EventLog, append: () => Promise<unknown>): Promise<readonly RecordedEvent[]> {
    const batches = subscriber.subscribe({ after: await subscriber.head() })[Symbol.asyncIterator]();
    expect(await batches.next()).toMatchObject({ value: { events: [], caughtUp: true } });
    const next = batches.next();
    await append();
    const { value } = await next;
    await batches.return?.();
    return value?.events ?? [];
  }
  const letter = newEvent('LetterSent', { senderId: 'ann', receiverId: 'bob', stamp: 1, text: 'hi', answer: 'ho' });

  it('in the process of the append get the same plain objects, without decoding', async () => {
    const { log, another, store } = await openTestStores();
    const parse = vi.spyOn(JSON, 'parse');
    onTestFinished(() => parse.mockRestore());
    // The second log stands for another part of the process, which has no key in memory and cannot read one.
    const keys = new Proxy({} as never, {
      get: () => () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it')),
    });
    for (const subscriber of [log, another({ store, keys }).log]) {
      const [event] = await received(subscriber, () => log.append(newStream(), [letter], { expect: 'none' }));
      expect(event?.data).toBe(letter.data);
      expect(event).toMatchObject({ ...letter, schemaVersion: 1, revision: 0n });
      // What is only for the store is not passed on.
      expect(event).not.toHaveProperty('source');
      expect(parse).not.toHaveBeenCalled();
    }
  });

  it('that lag read the same events from the store, decoded', async () => {
    const { log } = await openTestStores();
    await log.append(newStream(), [letter], { expect: 'none' });
    const batches = log.subscribe({ after: null })[Symbol.asyncIterator]();
    const { value } = await batches.next();
    expect(value?.events[0]?.data).not.toBe(letter.data);
    expect(value?.events[0]).toMatchObject(letter);
  });
});
