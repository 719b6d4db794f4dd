import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import { system } from '../support/stores.ts';
import { followed, newEvent, newStream, note, openTestStores, type TestStores } from './fixtures.ts';
import { keysWith, letter, unreliable } from './key-stores.ts';

const UNAVAILABLE = { name: 'StoreError', code: 'UNAVAILABLE' };

/** The data of all records as they are stored. */
async function stored({ store }: TestStores): Promise<readonly string[]> {
  const { records } = await store.readAll({ direction: 'forwards', from: null, limit: 4_096 });
  return records.map(({ data }) => data);
}

describe('the key of a person', () => {
  it('is made when something of the person is first sealed, and is in the key store alone', async () => {
    const { log, keys } = await openTestStores();
    await log.append(newStream(), [note('a'), letter('ann', { text: null })], { expect: 'none' });
    expect(await keys.list('person/')).toEqual([]);
    await log.append(newStream(), [letter('ann')], { expect: 'none' });
    expect(await keys.list('person/')).toEqual(['person/ann']);
    expect((await keys.get('person/ann'))?.length).toBe(32);
  });

  it('is made once when many commands of a new person run at once, on two nodes', async () => {
    const stores = await openTestStores();
    const counted = [unreliable(stores.keys), unreliable(stores.keys)];
    const nodes = counted.map(({ store }) => stores.another({ keys: store }));
    const appends = Array.from({ length: 100 }, (_, n) =>
      nodes[n % 2]!.log.append(newStream(), [letter('ann', { text: `secret ${n}` })], { expect: 'none' }),
    );
    await Promise.all(appends);
    expect(counted.map(({ state }) => state.creates)).toEqual([['person/ann'], ['person/ann']]);
    expect(await stores.keys.list('person/')).toEqual(['person/ann']);
    const { events } = await stores.another().log.readAll({ direction: 'forwards', from: null });
    expect(new Set(events.map(({ data }) => data.text))).toEqual(
      new Set(Array.from({ length: 100 }, (_, n) => `secret ${n}`)),
    );
  });

  it('is read once for all events of a batch, and not again after that', async () => {
    const stores = await openTestStores();
    const persons = ['ann', 'bob', 'cid'];
    const events = persons.flatMap((person) => [letter(person), letter(person)]);
    await stores.log.append(newStream(), events, { expect: 'none' });
    const { store, state } = unreliable(stores.keys);
    const { log } = stores.another({ keys: store });
    for (let reads = 0; reads < 3; reads++) {
      expect((await log.readAll({ direction: 'forwards', from: null })).events).toHaveLength(6);
    }
    expect(state.reads.toSorted()).toEqual(persons.map((person) => `person/${person}`));
  });

  it('that never existed opens nothing, and may be made later', async () => {
    const stores = await openTestStores();
    const stream = newStream();
    const encoded = await stores.log.encode([letter('ann')]);
    const empty = await openTestStores();
    const node = stores.another({ keys: empty.keys });
    await stores.log.append(stream, encoded, { expect: 'none' });
    expect((await node.log.readStream(stream)).events[0]?.data.text).toBeNull();
    expect(node.personalKeys.cached('ann')).toBeUndefined();
    await node.log.encode([letter('ann')]);
    expect(await empty.keys.list('person/')).toEqual(['person/ann']);
  });

  it('is read again when it has left the memory while events are encoded', async () => {
    const stores = await openTestStores();
    let node = stores.another();
    let forgotten = 0;
    const keys = keysWith(stores.keys, {
      async create(name, secret) {
        const created = await stores.keys.create(name, secret);
        // After the key was put into the cache, before it is used.
        if (forgotten++ < 2) setTimeout(() => node.personalKeys.forget('ann'), 0);
        return created;
      },
    });
    node = stores.another({ keys });
    const stream = newStream();
    const bob = keysWith(stores.keys, {});
    await node.log.append(stream, [letter('ann')], { expect: 'none' });
    expect((await stores.another({ keys: bob }).log.readStream(stream)).events[0]?.data.text).toBe('secret of ann');
  });
});

describe('when the key store is unavailable', () => {
  it('events of persons whose keys are in memory are appended, and others are not, in any form', async () => {
    const stores = await openTestStores();
    const { store, state } = unreliable(stores.keys);
    const { log } = stores.another({ keys: store });
    await log.append(newStream(), [letter('ann')], { expect: 'none' });
    state.isAway = true;
    await log.append(newStream(), [note('plain'), letter('ann', { text: 'secret more' })], { expect: 'none' });
    const before = await stored(stores);
    const unsealable = [[letter('bob')], [letter('ann'), letter('bob')], [note('plain'), letter('bob')]];
    for (const events of unsealable) {
      await expect(log.append(newStream(), events, { expect: 'none' })).rejects.toMatchObject(UNAVAILABLE);
      await expect(log.encode(events)).rejects.toMatchObject(UNAVAILABLE);
      expect(await log.admit(events)).toMatchObject(UNAVAILABLE);
    }
    const after = await stored(stores);
    expect(after).toEqual(before);
    expect(after.join()).not.toContain('secret');
    state.isAway = false;
    await log.append(newStream(), [letter('bob')], { expect: 'none' });
    expect((await stored(stores)).join()).not.toContain('secret');
  });

  it('events of persons whose keys are in memory are read, and others make the read fail for now', async () => {
    const stores = await openTestStores();
    const [ann, bob] = [newStream(), newStream()];
    await stores.log.append(ann, [letter('ann')], { expect: 'none' });
    await stores.log.append(bob, [letter('bob')], { expect: 'none' });
    const { store, state } = unreliable(stores.keys);
    const { log } = stores.another({ keys: store });
    await log.readStream(ann);
    state.isAway = true;
    expect((await log.readStream(ann)).events[0]?.data.text).toBe('secret of ann');
    await expect(log.readStream(bob)).rejects.toMatchObject(UNAVAILABLE);
    await expect(log.readAll({ direction: 'forwards', from: null })).rejects.toMatchObject(UNAVAILABLE);
    await expect(followed(log)).rejects.toMatchObject(UNAVAILABLE);
    state.isAway = false;
    expect((await followed(log)).flatMap(({ events }) => events.map(({ data }) => data.text))).toEqual([
      'secret of ann',
      'secret of bob',
    ]);
  });

  it('errors that are not failures of it are not hidden', async () => {
    const stores = await openTestStores();
    const broken = (error: Error) =>
      stores.another({ keys: keysWith(stores.keys, { create: () => Promise.reject(error) }) }).log;
    await expect(broken(new TypeError('broken')).encode([letter('ann')])).rejects.toThrow('broken');
    const invalid = broken(new StoreError('INVALID', 'sealed under another server secret'));
    await expect(invalid.encode([letter('ann')])).rejects.toMatchObject({ code: 'INVALID' });
  });
});

describe('after the key of a person was destroyed', () => {
  it('nothing of the person is encoded or appended, on any node', async () => {
    const stores = await openTestStores();
    await stores.log.append(newStream(), [letter('ann')], { expect: 'none' });
    await stores.personalKeys.destroy('ann');
    const before = await stored(stores);
    for (const { log } of [stores, stores.another()]) {
      for (const events of [[letter('ann')], [letter('bob'), letter('ann')]]) {
        await expect(log.append(newStream(), events, { expect: 'none' })).rejects.toMatchObject({ code: 'ERASED' });
        await expect(log.encode(events)).rejects.toMatchObject({ code: 'ERASED' });
        expect(await log.admit(events)).toMatchObject({ code: 'ERASED' });
      }
    }
    expect(await stored(stores)).toEqual(before);
  });

  it('events of the person without personal fields are appended', async () => {
    const { log, personalKeys } = await openTestStores();
    await personalKeys.destroy('ann');
    const stream = newStream();
    await log.append(stream, [letter('ann', { text: null })], { expect: 'none' });
    expect((await log.readStream(stream)).events).toHaveLength(1);
  });

  it('it cannot be made again', async () => {
    const { personalKeys, keys } = await openTestStores();
    await personalKeys.create('ann');
    await personalKeys.destroy('ann');
    expect(await personalKeys.create('ann')).toBeNull();
    const other = new PersonalKeys({ ...system, keys });
    expect([await other.create('ann'), (await other.read(new Set(['ann']))).get('ann')]).toEqual([null, null]);
    expect(await keys.list('person/')).toEqual([]);
  });

  it('a node drops it from its memory when it reads the erasure, with any subscription', async () => {
    const stores = await openTestStores();
    await stores.log.append(newStream(), [letter('ann'), letter('bob')], { expect: 'none' });
    const nodes = [{}, { filter: { types: ['NoteTaken'] } }, { filter: { types: ['PersonErased'] } }].map(
      (options) => ({
        node: stores.another(),
        options,
      }),
    );
    for (const { node } of nodes) await node.log.readAll({ direction: 'forwards', from: null });
    await stores.personalKeys.destroy('ann');
    await stores.log.append(newStream(), [newEvent('PersonErased', { personId: 'ann' })], { expect: 'none' });
    for (const { node, options } of nodes) {
      const { personalKeys, log } = node;
      expect(personalKeys.cached('ann')).toBeTruthy();
      const erased: string[] = [];
      log.onErased((personId) => erased.push(personId));
      await followed(log, options);
      expect(personalKeys.cached('ann') ?? null).toBeNull();
      expect(personalKeys.cached('bob')).toBeTruthy();
      expect(erased).toEqual(['ann']);
      expect((await log.readAll({ direction: 'forwards', from: null })).events[0]?.data.text).toBeNull();
      await expect(log.encode([letter('ann')])).rejects.toMatchObject({ code: 'ERASED' });
    }
  });

  it('events after the erasure read as null also on a node that had the key in memory', async () => {
    const stores = await openTestStores();
    await stores.log.append(newStream(), [letter('ann', { text: 'before' })], { expect: 'none' });
    // Sealed before the key was destroyed, and appended after the erasure.
    const late = await stores.log.encode([letter('ann', { text: 'after' })]);
    const node = stores.another();
    await node.log.readAll({ direction: 'forwards', from: null });
    await stores.personalKeys.destroy('ann');
    await stores.log.append(newStream(), [newEvent('PersonErased', { personId: 'ann' })], { expect: 'none' });
    await stores.log.append(newStream(), late, { expect: 'none' });
    const texts = (await followed(node.log)).flatMap(({ events }) => events.map(({ data }) => data.text));
    expect(texts.slice(1)).toEqual([undefined, null]);
  });
});
