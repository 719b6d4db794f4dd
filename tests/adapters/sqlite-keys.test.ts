import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { describeKeysContract } from '../contracts/keys.ts';

const random = createSystemRandom();
const newFolder = () => mkdtemp(join(tmpdir(), 'parley-keys-'));

describeKeysContract({
  name: 'SQLite on a file',
  available: true,
  async prepare() {
    const folder = await newFolder();
    const opened: KeyStore[] = [];
    return {
      async open(secret) {
        const store = await openSqliteKeys({ path: join(folder, 'keys.db'), secret, random });
        opened.push(store);
        return store;
      },
      async dispose() {
        await Promise.all(opened.map((store) => store.close()));
        await rm(folder, { recursive: true });
      },
    };
  },
});

describe('the files of the key store', () => {
  const secret = new Uint8Array(32).fill(7);
  let folder: string;
  beforeEach(async () => {
    folder = await newFolder();
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function content(of = folder): Promise<string> {
    const files = await readdir(of);
    const contents = await Promise.all(files.map((file) => readFile(join(of, file), 'latin1')));
    return contents.join('');
  }

  it('never contain an unencrypted secret', async () => {
    const keys = await openSqliteKeys({ path: join(folder, 'keys.db'), secret, random });
    await keys.create('person/a', Buffer.from('a secret that is easy to find'));
    expect(await content()).toContain('person/a');
    expect(await content()).not.toContain('easy to find');
    await keys.close();
    expect(await content()).not.toContain('easy to find');
  });

  it('contain nothing of a destroyed secret, not even sealed', async () => {
    const path = join(folder, 'keys.db');
    const keys = await openSqliteKeys({ path, secret, random });
    await keys.create('person/a', new Uint8Array(64).fill(1));
    const database = new DatabaseSync(path, { readOnly: true });
    const sealed = database.prepare('SELECT sealed FROM keys').get()?.sealed;
    database.close();
    if (!(sealed instanceof Uint8Array)) throw new Error('no sealed secret was found');
    const part = Buffer.from(sealed).toString('latin1', 20, 60);
    expect(await content()).toContain(part);
    await keys.destroy('person/a');
    expect(await content()).not.toContain(part);
    await keys.close();
  });

  it('contain nothing of a destroyed secret once they are opened again after a crash', async () => {
    const path = join(folder, 'keys.db');
    const keys = await openSqliteKeys({ path, secret, random });
    await keys.create('person/a', new Uint8Array(64).fill(1));
    const database = new DatabaseSync(path);
    const sealed = database.prepare('SELECT sealed FROM keys').get()?.sealed;
    if (!(sealed instanceof Uint8Array)) throw new Error('no sealed secret was found');
    // The process is killed before it empties the write-ahead log.
    database.exec('PRAGMA secure_delete = ON; UPDATE keys SET sealed = NULL');
    const copy = join(folder, 'copy');
    for (const file of await readdir(folder)) await cp(join(folder, file), join(copy, file));
    database.close();
    await keys.close();

    const part = Buffer.from(sealed).toString('latin1', 20, 60);
    expect(await content(copy)).toContain(part);
    const opened = await openSqliteKeys({ path: join(copy, 'keys.db'), secret, random });
    expect(await content(copy)).not.toContain(part);
    await opened.close();
  });

  it('are rejected when they are not a database', async () => {
    const path = join(folder, 'keys.db');
    await writeFile(path, 'this is not a database, but text that is long enough to be read as one'.repeat(20));
    await expect(openSqliteKeys({ path, secret, random })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a key store in memory', () => {
  it('is deleted when it is closed', async () => {
    const secret = new Uint8Array(32);
    const first = await openSqliteKeys({ path: ':memory:', secret, random });
    expect(await first.create('signing/1', Uint8Array.of(1))).toEqual(Buffer.of(1));
    await first.close();
    const second = await openSqliteKeys({ path: ':memory:', secret, random });
    expect(await second.list('')).toEqual([]);
    await second.close();
  });
});
