import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { describeKeysContract } from '../contracts/keys.ts';

const newFolder = () => mkdtemp(join(tmpdir(), 'parley-keys-'));

describeKeysContract({
  name: 'SQLite on a file',
  available: true,
  async prepare() {
    const folder = await newFolder();
    const opened: KeyStore[] = [];
    return {
      async open(secret) {
        const store = await openSqliteKeys({ path: join(folder, 'keys.db'), secret });
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

  async function content(): Promise<string> {
    const files = await readdir(folder);
    const contents = await Promise.all(files.map((file) => readFile(join(folder, file), 'latin1')));
    return contents.join('');
  }

  it('never hold a secret in the open', async () => {
    const keys = await openSqliteKeys({ path: join(folder, 'keys.db'), secret });
    await keys.create('person/a', Buffer.from('a secret that is easy to find'));
    expect(await content()).toContain('person/a');
    expect(await content()).not.toContain('easy to find');
    await keys.close();
    expect(await content()).not.toContain('easy to find');
  });

  it('hold nothing of a destroyed one, not even sealed', async () => {
    const path = join(folder, 'keys.db');
    const keys = await openSqliteKeys({ path, secret });
    await keys.create('person/a', new Uint8Array(64).fill(1));
    const database = new DatabaseSync(path, { readOnly: true });
    const sealed = database.prepare('SELECT sealed FROM keys').get()?.sealed;
    database.close();
    if (!(sealed instanceof Uint8Array)) throw new Error('there is no sealed secret');
    const part = Buffer.from(sealed).toString('latin1', 20, 60);
    expect(await content()).toContain(part);
    await keys.destroy('person/a');
    expect(await content()).not.toContain(part);
    await keys.close();
  });

  it('that are no database are refused in words', async () => {
    const path = join(folder, 'keys.db');
    await writeFile(path, 'this is no database, but a text that is long enough to be taken for one'.repeat(20));
    await expect(openSqliteKeys({ path, secret })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a key store in memory', () => {
  it('is gone when it is closed', async () => {
    const secret = new Uint8Array(32);
    const first = await openSqliteKeys({ path: ':memory:', secret });
    expect(await first.create('signing/1', Uint8Array.of(1))).toEqual(Buffer.of(1));
    await first.close();
    const second = await openSqliteKeys({ path: ':memory:', secret });
    expect(await second.list('')).toEqual([]);
    await second.close();
  });
});
