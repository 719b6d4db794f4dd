import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KeyStore } from '../../src/ports/keys.ts';
import { service } from '../support/services.ts';

/** An adapter that is held to the contract. */
export type KeysAdapter = Readonly<{
  name: string;
  /** `true`, or in words what is missing. */
  available: true | string;
  /** A place for keys, which may hold some already. */
  prepare(): Promise<KeysPlace>;
}>;

export type KeysPlace = Readonly<{
  /** Opens a store over the place, beside those that are open already, as another node would. */
  open(secret: Uint8Array): Promise<KeyStore>;
  /** Closes what was opened, and takes away what was made. */
  dispose(): Promise<void>;
}>;

const INVALID = { name: 'StoreError', code: 'INVALID' };

const badNames = ['', 'kind', 'kind/', '/id', 'kind/a b', 'kind/ä', 'kind/\n', `kind/${'x'.repeat(196)}`];

/** The contract of `src/ports/keys.ts`: the same for every adapter, without an option. */
export function describeKeysContract(adapter: KeysAdapter): void {
  const isThere = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isThere)(`keys contract: ${adapter.name}`, () => {
    const serverSecret = randomBytes(32);
    let place: KeysPlace | undefined;
    let open: KeysPlace['open'];
    let keys: KeyStore;
    let other: KeyStore;
    beforeAll(async () => {
      place = await adapter.prepare();
      open = place.open;
      [keys, other] = [await open(serverSecret), await open(serverSecret)];
    });
    afterAll(() => place?.dispose());

    /** Names of one test, and of no other. */
    const newKind = () => `test-${randomUUID()}`;
    const bytes = (secret: Uint8Array | null) => (secret === null ? null : Buffer.from(secret).toString('hex'));
    const secret = (text: string) => Buffer.from(text);
    const hex = (text: string) => secret(text).toString('hex');

    describe('a key', () => {
      it('that was created is the same at every store', async () => {
        const name = `${newKind()}/a`;
        expect(bytes(await keys.create(name, secret('one')))).toBe(hex('one'));
        expect(bytes(await keys.get(name))).toBe(hex('one'));
        expect(bytes(await other.get(name))).toBe(hex('one'));
      });

      it('that nobody created is null', async () => {
        expect(await keys.get(`${newKind()}/a`)).toBeNull();
      });

      it('that exists is not replaced: its creation gives the one that holds', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        expect(bytes(await other.create(name, secret('two')))).toBe(hex('one'));
        expect(bytes(await keys.get(name))).toBe(hex('one'));
      });

      it('that many create at once is one and the same for all', async () => {
        const name = `${newKind()}/a`;
        const tries = Array.from({ length: 16 }, (_, i) =>
          (i % 2 === 0 ? keys : other).create(name, secret(`try ${i}`)),
        );
        const given = new Set((await Promise.all(tries)).map(bytes));
        expect(given.size).toBe(1);
        expect([...given]).toEqual([bytes(await other.get(name))]);
      });

      it('may have any bytes, up to 64 KiB', async () => {
        const kind = newKind();
        const all = Uint8Array.from({ length: 256 }, (_, i) => i);
        const large = randomBytes(65_536);
        expect(bytes(await keys.create(`${kind}/all`, all))).toBe(bytes(all));
        expect(bytes(await keys.create(`${kind}/large`, large))).toBe(bytes(large));
        expect(bytes(await other.get(`${kind}/large`))).toBe(bytes(large));
        await expect(keys.create(`${kind}/larger`, randomBytes(65_537))).rejects.toMatchObject(INVALID);
        await expect(keys.create(`${kind}/none`, new Uint8Array())).rejects.toMatchObject(INVALID);
        expect(await keys.list(kind)).toEqual([`${kind}/all`, `${kind}/large`]);
      });

      it('has a name in which upper and lower case differ', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('lower'));
        await keys.create(`${kind}/A`, secret('upper'));
        expect([bytes(await keys.get(`${kind}/a`)), bytes(await keys.get(`${kind}/A`))]).toEqual([
          hex('lower'),
          hex('upper'),
        ]);
      });

      it('may have a name of 200 characters of any kind', async () => {
        const name = `${newKind()}/%_$.*^\\"'~!/`.padEnd(200, 'x');
        await keys.create(name, secret('one'));
        expect(bytes(await other.get(name))).toBe(hex('one'));
      });

      it.each(badNames)('is refused under the name %j', async (name) => {
        await expect(keys.get(name)).rejects.toMatchObject(INVALID);
        await expect(keys.create(name, secret('one'))).rejects.toMatchObject(INVALID);
        await expect(keys.destroy(name)).rejects.toMatchObject(INVALID);
      });
    });

    describe('a destroyed key', () => {
      it('is gone at every store, and cannot be created again', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        await other.destroy(name);
        for (const store of [keys, other]) {
          expect(await store.get(name)).toBeNull();
          expect(await store.create(name, secret('two'))).toBeNull();
          expect(await store.get(name)).toBeNull();
        }
      });

      it('may be destroyed again', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        await keys.destroy(name);
        await other.destroy(name);
        expect(await keys.create(name, secret('two'))).toBeNull();
      });

      it('that never was cannot be created either', async () => {
        const name = `${newKind()}/a`;
        await keys.destroy(name);
        expect(await other.create(name, secret('one'))).toBeNull();
      });

      it('leaves the others as they are', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('one'));
        await keys.create(`${kind}/ab`, secret('two'));
        await keys.destroy(`${kind}/a`);
        expect(bytes(await keys.get(`${kind}/ab`))).toBe(hex('two'));
      });
    });

    describe('a list of names', () => {
      it('has those that start so and hold a secret, in the order of ASCII', async () => {
        const kind = newKind();
        for (const id of ['b', 'a', 'B', 'a.b', 'a%', 'a_', 'aa', 'gone'])
          await keys.create(`${kind}/${id}`, secret(id));
        await keys.create(`${kind}2/a`, secret('of another kind'));
        await keys.destroy(`${kind}/gone`);
        await keys.destroy(`${kind}/never`);
        const list = async (prefix: string) => (await other.list(prefix)).map((name) => name.slice(kind.length));
        expect(await list(`${kind}/`)).toEqual(['/B', '/a', '/a%', '/a.b', '/a_', '/aa', '/b']);
        expect(await list(`${kind}/a%`)).toEqual(['/a%']);
        expect(await list(`${kind}/a.`)).toEqual(['/a.b']);
        expect(await list(kind)).toEqual(['/B', '/a', '/a%', '/a.b', '/a_', '/aa', '/b', '2/a']);
        expect(await list(`${kind}/gone`)).toEqual([]);
      });

      it('has all of them for the empty prefix', async () => {
        const name = `~${newKind()}/a`;
        await keys.create(name, secret('one'));
        expect(await keys.list('')).toContain(name);
        expect(await keys.list('')).toEqual((await keys.list('')).toSorted());
      });

      it('is refused for a prefix that no name has', async () => {
        for (const prefix of ['ä', 'a b', 'x'.repeat(201)])
          await expect(keys.list(prefix)).rejects.toMatchObject(INVALID);
      });
    });

    describe('another secret of the server', () => {
      it('opens no key, also not by its creation, but may destroy it', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        const stranger = await open(randomBytes(32));
        await expect(stranger.get(name)).rejects.toMatchObject(INVALID);
        await expect(stranger.create(name, secret('two'))).rejects.toMatchObject(INVALID);
        expect(bytes(await keys.get(name))).toBe(hex('one'));
        await stranger.destroy(name);
        expect(await keys.get(name)).toBeNull();
      });

      it('is refused when it is shorter than 16 bytes', async () => {
        await expect(open(randomBytes(15))).rejects.toMatchObject(INVALID);
      });
    });

    describe('a closed store', () => {
      it('refuses every call, and may be closed again', async () => {
        const closed = await open(serverSecret);
        const name = `${newKind()}/a`;
        await closed.create(name, secret('one'));
        await Promise.all([closed.close(), closed.close()]);
        await closed.close();
        const calls = [closed.get(name), closed.create(name, secret('two')), closed.destroy(name), closed.list('')];
        for (const outcome of await Promise.allSettled(calls)) {
          expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'StoreError', code: 'CLOSED' } });
        }
        expect(bytes(await keys.get(name))).toBe(hex('one'));
      });
    });
  });
}
