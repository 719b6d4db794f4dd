import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import { system } from '../support/stores.ts';
import { followed, newEvent, newStream, openTestStores } from './fixtures.ts';
import { endlessKeys, keysWith, letter, unreliable } from './key-stores.ts';

describe('a key that is read while its person is erased', () => {
  /** A node whose calls to the key store are answered only when the gate is opened, with what was there when they were made. */
  async function slowNode() {
    const stores = await openTestStores();
    const stream = newStream();
    await stores.log.append(stream, [letter('ann'), letter('bob')], { expect: 'none' });
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const late = async <Result>(call: Promise<Result>): Promise<Result> => {
      const result = await call;
      asked.resolve();
      await gate.promise;
      return result;
    };
    const keys = keysWith(stores.keys, {
      getMany: (names) => late(stores.keys.getMany(names)),
      create: (name, secret) => late(stores.keys.create(name, secret)),
    });
    return { stores, stream, gate, asked, node: stores.another({ keys }) };
  }

  it('to open events, does not stay in memory', async () => {
    const { stores, stream, gate, asked, node } = await slowNode();
    const reading = node.log.readStream(stream);
    await asked.promise;
    await stores.personalKeys.destroy('ann');
    await stores.log.append(newStream(), [newEvent('PersonErased', { personId: 'ann' })], { expect: 'none' });
    await followed(node.log, { after: await stores.log.head().then(before) });
    gate.resolve();
    await reading;
    expect(node.personalKeys.cached('ann') ?? null).toBeNull();
    expect(node.personalKeys.cached('bob')).toBeTruthy();
    expect((await node.log.readStream(stream)).events.map(({ data }) => data.text)).toEqual([null, 'secret of bob']);
  });

  it('to seal events, is not used', async () => {
    const { gate, asked, node } = await slowNode();
    const encoding = node.log.encode([letter('ann')]);
    await asked.promise;
    await node.personalKeys.destroy('ann');
    gate.resolve();
    await expect(encoding).rejects.toMatchObject({ code: 'ERASED' });
    expect(node.personalKeys.cached('ann')).toBeNull();
  });

  /** The position before another, in the embedded store. */
  const before = (position: string | null): string => String(Number(position) - 1).padStart(16, '0');
});

describe('a key in memory', () => {
  const persons = Array.from({ length: 25_000 }, (_, n) => `person-${n}`);

  it('is one of the 20,000 that were used last', async () => {
    const personalKeys = new PersonalKeys({ ...system, keys: endlessKeys().store });
    const found = await personalKeys.read(new Set(persons));
    expect(found.size).toBe(25_000);
    expect([...found.values()].every((key) => key !== null)).toBe(true);
    const cached = persons.filter((person) => personalKeys.cached(person) !== undefined);
    expect(cached).toEqual(persons.slice(5_000));
  });

  it('was read with at most 4,096 names in one call, and is not read again', async () => {
    const { store, reads } = endlessKeys();
    const personalKeys = new PersonalKeys({ ...system, keys: store });
    await personalKeys.read(new Set(persons.slice(0, 10_000)));
    expect(reads).toEqual([4_096, 4_096, 1_808]);
    await personalKeys.read(new Set(persons.slice(0, 10_001)));
    expect(reads).toEqual([4_096, 4_096, 1_808, 1]);
    await personalKeys.read(new Set());
    expect(reads).toHaveLength(4);
  });

  it('is used for its events even if it leaves the memory while the keys of others are read', async () => {
    const stores = await openTestStores();
    const stream = newStream();
    await stores.log.append(stream, [letter('ann'), letter('bob')], { expect: 'none' });
    const endless = endlessKeys().store;
    const keys = keysWith(stores.keys, {
      async getMany(names) {
        if (names.some((name) => name.startsWith('person/person-'))) return endless.getMany(names);
        if (names.includes('person/bob')) await node.personalKeys.read(new Set(persons));
        return stores.keys.getMany(names);
      },
    });
    const node = stores.another({ keys });
    await node.personalKeys.read(new Set(['ann']));
    const texts = (await node.log.readStream(stream)).events.map(({ data }) => data.text);
    expect(node.personalKeys.cached('ann')).toBeUndefined();
    expect(texts).toEqual(['secret of ann', 'secret of bob']);
  });

  it('is read again when more persons write at once than the memory holds', async () => {
    const stores = await openTestStores();
    const node = stores.another({ keys: endlessKeys().store });
    const batches = Array.from({ length: 10 }, (_, n) => persons.slice(n * 2_500, (n + 1) * 2_500));
    const encoded = await Promise.all(
      batches.map((some) => node.log.encode(some.map((person) => letter(person, { text: 'x' })))),
    );
    expect(encoded.map(({ records }) => records.length)).toEqual(batches.map(({ length }) => length));
    expect(encoded.flatMap(({ records }) => records).every(({ data }) => data.includes('"$":[1,'))).toBe(true);
  });

  it('is read again from the key store once it was forgotten', async () => {
    const stores = await openTestStores();
    const { store, state } = unreliable(stores.keys);
    const personalKeys = new PersonalKeys({ ...system, keys: store });
    const key = await personalKeys.create('ann');
    expect((await personalKeys.read(new Set(['ann']))).get('ann')).toBe(key);
    expect(state.reads).toEqual([]);
    personalKeys.forget('ann');
    expect(personalKeys.cached('ann')).toBeUndefined();
    const again = (await personalKeys.read(new Set(['ann']))).get('ann');
    expect(state.reads).toEqual(['person/ann']);
    expect(key && again?.equals(key)).toBe(true);
  });

  it('that was destroyed stays destroyed, also once that was forgotten', async () => {
    const { keys } = await openTestStores();
    const [here, there] = [new PersonalKeys({ ...system, keys }), new PersonalKeys({ ...system, keys })];
    for (const personalKeys of [here, there]) await personalKeys.create('ann');
    await here.destroy('ann');
    expect([here.cached('ann'), there.cached('ann')]).toEqual([null, expect.anything()]);
    for (const personalKeys of [here, there]) {
      personalKeys.forget('ann');
      expect(personalKeys.cached('ann')).toBeUndefined();
      expect((await personalKeys.read(new Set(['ann']))).get('ann')).toBeNull();
      expect(personalKeys.cached('ann')).toBeNull();
      expect(await personalKeys.create('ann')).toBeNull();
    }
  });

  it('stays when the key store fails to destroy it', async () => {
    const stores = await openTestStores();
    const destroy = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
    const personalKeys = new PersonalKeys({ ...system, keys: keysWith(stores.keys, { destroy }) });
    const key = await personalKeys.create('ann');
    await expect(personalKeys.destroy('ann')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(personalKeys.cached('ann')).toBe(key);
  });

  it('is 32 random bytes, and the same for all who create it at once', async () => {
    const { keys } = await openTestStores();
    const nodes = Array.from({ length: 4 }, () => new PersonalKeys({ ...system, keys }));
    const created = await Promise.all(nodes.flatMap((node) => [node.create('ann'), node.create('ann')]));
    const secrets = new Set(created.map((key) => key?.export().toString('hex')));
    expect([...secrets]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    const other = await nodes[0]?.create('bob');
    expect(secrets).not.toContain(other?.export().toString('hex'));
  });
});
