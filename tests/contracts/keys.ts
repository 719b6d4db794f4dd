import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KeyStore } from '../../src/ports/keys.ts';
import { service } from '../support/services.ts';

/** An adapter under test. */
export type KeysAdapter = Readonly<{
  name: string;
  /** `true`, or the reason why it cannot be tested. */
  available: true | string;
  /** Provides storage for keys, which may contain some already. */
  prepare(): Promise<KeysPlace>;
}>;

export type KeysPlace = Readonly<{
  /** Opens another store over the same storage, as another node would. */
  open(secret: Uint8Array): Promise<KeyStore>;
  /** Closes all stores and removes the storage. */
  dispose(): Promise<void>;
}>;

const INVALID = { name: 'StoreError', code: 'INVALID' };

const badNames = ['', 'kind', 'kind/', '/id', 'kind/a b', 'kind/ä', 'kind/\n', `kind/${'x'.repeat(196)}`];

/** The contract of `src/ports/keys.ts`: the same for every adapter, without options. */
export function describeKeysContract(adapter: KeysAdapter): void {
  const isAvailable = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isAvailable)(`keys contract: ${adapter.name}`, () => {
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

    /** A kind of names that is unique to a test. */
    const newKind = () => `test-${randomUUID()}`;
    const bytes = (secret: Uint8Array | null) => (secret === null ? null : Buffer.from(secret).toString('hex'));
    const secret = (text: string) => Buffer.from(text);
    const hex = (text: string) => secret(text).toString('hex');

    describe('a key', () => {
      it('is the same at every store once it was created', async () => {
        const name = `${newKind()}/a`;
        expect(bytes(await keys.create(name, secret('one')))).toBe(hex('one'));
        expect(bytes(await keys.get(name))).toBe(hex('one'));
        expect(bytes(await other.get(name))).toBe(hex('one'));
      });

      it('is null when it was not created', async () => {
        expect(await keys.get(`${newKind()}/a`)).toBeNull();
      });

      it('is not replaced by another creation, which returns the stored secret', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        expect(bytes(await other.create(name, secret('two')))).toBe(hex('one'));
        expect(bytes(await keys.get(name))).toBe(hex('one'));
      });

      it('is the same for all callers that create it concurrently', async () => {
        const name = `${newKind()}/a`;
        const tries = Array.from({ length: 16 }, (_, i) =>
          (i % 2 === 0 ? keys : other).create(name, secret(`try ${i}`)),
        );
        const given = new Set((await Promise.all(tries)).map(bytes));
        expect(given.size).toBe(1);
        expect([...given]).toEqual([bytes(await other.get(name))]);
      });

      it('can contain any bytes, up to 64 KiB', async () => {
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

      it('has a case-sensitive name', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('lower'));
        await keys.create(`${kind}/A`, secret('upper'));
        expect([bytes(await keys.get(`${kind}/a`)), bytes(await keys.get(`${kind}/A`))]).toEqual([
          hex('lower'),
          hex('upper'),
        ]);
      });

      it('can have a name of 200 characters with any printable ASCII characters', async () => {
        const name = `${newKind()}/%_$.*^\\"'~!/`.padEnd(200, 'x');
        await keys.create(name, secret('one'));
        expect(bytes(await other.get(name))).toBe(hex('one'));
      });

      it.each(badNames)('is rejected under the invalid name %j', async (name) => {
        await expect(keys.get(name)).rejects.toMatchObject(INVALID);
        await expect(keys.getMany([`${newKind()}/a`, name])).rejects.toMatchObject(INVALID);
        await expect(keys.create(name, secret('one'))).rejects.toMatchObject(INVALID);
        await expect(keys.destroy(name)).rejects.toMatchObject(INVALID);
      });
    });

    describe('reading several keys', () => {
      const hexOf = (found: ReadonlyMap<string, Uint8Array | null>) =>
        new Map([...found].map(([name, each]) => [name, bytes(each)]));

      it('returns present and destroyed keys, and leaves out absent ones', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('one'));
        await keys.create(`${kind}/b`, secret('two'));
        await keys.create(`${kind}/gone`, secret('three'));
        await keys.create(`${kind}/unread`, secret('four'));
        await keys.destroy(`${kind}/gone`);
        await keys.destroy(`${kind}/never`);
        const names = ['b', 'absent', 'gone', 'A', 'a', 'never', 'b'].map((id) => `${kind}/${id}`);
        expect(hexOf(await other.getMany(names))).toEqual(
          new Map([
            [`${kind}/a`, hex('one')],
            [`${kind}/b`, hex('two')],
            [`${kind}/gone`, null],
            [`${kind}/never`, null],
          ]),
        );
      });

      it('returns an empty map for an empty list, and when there are no such keys', async () => {
        expect(await keys.getMany([])).toEqual(new Map());
        expect(await keys.getMany([`${newKind()}/a`])).toEqual(new Map());
      });

      it('finds keys whose names contain any printable ASCII characters', async () => {
        const name = `${newKind()}/%_$.*^\\"'~!/[]{},`;
        await keys.create(name, secret('one'));
        expect(hexOf(await other.getMany([name]))).toEqual(new Map([[name, hex('one')]]));
      });

      it('reads up to 4,096 keys, and rejects more', async () => {
        const kind = newKind();
        const names = Array.from({ length: 4_097 }, (_, i) => `${kind}/${i}`);
        const present = names.filter((_, i) => i % 64 === 0);
        await Promise.all(present.map((name) => keys.create(name, secret(name))));
        const found = await keys.getMany(names.slice(0, 4_096));
        expect(hexOf(found)).toEqual(new Map(present.slice(0, 64).map((name) => [name, hex(name)])));
        await expect(keys.getMany(names)).rejects.toMatchObject(INVALID);
      });

      it('rejects keys that were sealed under another server secret, but returns destroyed ones', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('one'));
        await keys.create(`${kind}/gone`, secret('two'));
        await keys.destroy(`${kind}/gone`);
        const stranger = await open(randomBytes(32));
        await stranger.create(`${kind}/own`, secret('three'));
        await expect(stranger.getMany([`${kind}/own`, `${kind}/a`])).rejects.toMatchObject(INVALID);
        expect(hexOf(await stranger.getMany([`${kind}/own`, `${kind}/gone`]))).toEqual(
          new Map([
            [`${kind}/own`, hex('three')],
            [`${kind}/gone`, null],
          ]),
        );
      });
    });

    describe('a destroyed key', () => {
      it('is null at every store, and cannot be created again', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        await other.destroy(name);
        for (const store of [keys, other]) {
          expect(await store.get(name)).toBeNull();
          expect(await store.create(name, secret('two'))).toBeNull();
          expect(await store.get(name)).toBeNull();
        }
      });

      it('can be destroyed again', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        await keys.destroy(name);
        await other.destroy(name);
        expect(await keys.create(name, secret('two'))).toBeNull();
      });

      it('cannot be created even if it never existed', async () => {
        const name = `${newKind()}/a`;
        await keys.destroy(name);
        expect(await other.create(name, secret('one'))).toBeNull();
      });

      it('does not affect other keys', async () => {
        const kind = newKind();
        await keys.create(`${kind}/a`, secret('one'));
        await keys.create(`${kind}/ab`, secret('two'));
        await keys.destroy(`${kind}/a`);
        expect(bytes(await keys.get(`${kind}/ab`))).toBe(hex('two'));
      });
    });

    describe('a list of names', () => {
      it('contains the names with the prefix that have a secret, in ASCII order', async () => {
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

      it('contains all names for the empty prefix', async () => {
        const name = `~${newKind()}/a`;
        await keys.create(name, secret('one'));
        expect(await keys.list('')).toContain(name);
        expect(await keys.list('')).toEqual((await keys.list('')).toSorted());
      });

      it('rejects a prefix that no valid name can have', async () => {
        for (const prefix of ['ä', 'a b', 'x'.repeat(201)])
          await expect(keys.list(prefix)).rejects.toMatchObject(INVALID);
      });
    });

    describe('another server secret', () => {
      it('opens no key, not even when creating it again, but can destroy it', async () => {
        const name = `${newKind()}/a`;
        await keys.create(name, secret('one'));
        const stranger = await open(randomBytes(32));
        await expect(stranger.get(name)).rejects.toMatchObject(INVALID);
        await expect(stranger.create(name, secret('two'))).rejects.toMatchObject(INVALID);
        expect(bytes(await keys.get(name))).toBe(hex('one'));
        await stranger.destroy(name);
        expect(await keys.get(name)).toBeNull();
      });

      it('is rejected when it is shorter than 16 bytes', async () => {
        await expect(open(randomBytes(15))).rejects.toMatchObject(INVALID);
      });
    });

    describe('a closed store', () => {
      it('rejects every call, and can be closed again', async () => {
        const closed = await open(serverSecret);
        const name = `${newKind()}/a`;
        await closed.create(name, secret('one'));
        await Promise.all([closed.close(), closed.close()]);
        await closed.close();
        const calls = [
          closed.get(name),
          closed.getMany([name]),
          closed.getMany([]),
          closed.create(name, secret('two')),
          closed.destroy(name),
          closed.list(''),
        ];
        for (const outcome of await Promise.allSettled(calls)) {
          expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'StoreError', code: 'CLOSED' } });
        }
        expect(bytes(await keys.get(name))).toBe(hex('one'));
      });
    });
  });
}
