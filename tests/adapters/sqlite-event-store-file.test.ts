import { readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { newRecord, newStream, note, notes, textsOf } from '../contracts/events.ts';
import { follow, readAll, readStream, readToEnd } from '../contracts/following.ts';
import { newFolder, open, outputOf, startChild } from './sqlite-event-store.ts';

let folder: string;
let path: string;
let store: SqliteEventStore | undefined;

beforeEach(async () => {
  folder = await newFolder();
  path = join(folder, 'events.db');
});

afterEach(async () => {
  await store?.close();
  store = undefined;
  await rm(folder, { recursive: true });
});

describe('the lock', () => {
  it('rejects a second process', async () => {
    store = await open(path);
    expect(await outputOf(startChild('open', path))).toBe(
      `UNAVAILABLE: cannot lock the event store ${path}: it is already open in this or another process\n`,
    );
  });

  it('rejects a second store in the same process, also through a symbolic link', async () => {
    store = await open(path);
    await expect(open(path)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('already open'),
    });
    const otherName = join(folder, 'other.db');
    await symlink(path, otherName);
    await expect(open(otherName)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await store.append(newStream(), [note('still works')], { expect: 'none' });
  });

  it('is released when the store is closed', async () => {
    await (await open(path)).close();
    expect(await outputOf(startChild('open', path))).toBe('opened\n');
  });
});

describe('the file', () => {
  it('keeps everything across a restart', async () => {
    store = await open(path);
    const stream = newStream();
    const first = await store.append(stream, notes(50), { expect: 'none' });
    const [epoch, before] = [await store.epoch(), await readStream(store, stream)];
    await store.close();
    store = await open(path);
    expect([await store.epoch(), await store.head(), await readStream(store, stream)]).toEqual([
      epoch,
      first.position,
      before,
    ]);
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 49n });
    const second = await store.append(stream, [note('a')], { expect: 49n });
    expect(Number(second.position)).toBe(Number(first.position) + 1);
  });

  it('has positions without gaps, also after conflicts', async () => {
    store = await open(path);
    const stream = newStream();
    await store.append(stream, notes(3), { expect: 'none' });
    await expect(store.append(stream, notes(3), { expect: 'none' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
    });
    await store.append(stream, notes(3), { expect: 2n });
    const { records } = await readToEnd(store);
    expect(records.map((record) => record.position)).toEqual(
      [1, 2, 3, 4, 5, 6].map((n) => String(n).padStart(16, '0')),
    );
  });

  it('keeps the retention of a stream, and its last revision when no records remain', async () => {
    store = await open(path);
    await store.append('a-1', notes(3), { expect: 'none' });
    await store.append('b-1', [note('the last of the log')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3n, maxCount: 1 });
    expect(await store.scavenge()).toBe(3);
    await store.close();
    store = await open(path);
    await expect(store.append('a-1', [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 2n });
    await store.append('a-1', notes(2), { expect: 2n });
    expect((await readStream(store, 'a-1')).records.map((record) => record.revision)).toEqual([4n]);
  });

  it.each([
    ['2', 'an older, incompatible version'],
    ['4', 'a newer version'],
  ])('is rejected when it has format %s, and left unchanged', async (format, writer) => {
    await (await open(path)).close();
    const database = new DatabaseSync(path);
    database.exec(`UPDATE meta SET value = '${format}' WHERE name = 'format'`);
    database.close();
    const bytes = await readFile(path);
    await expect(open(path)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `the event store ${path} has format ${format} and cannot be read: it was written by ${writer} (this version uses format 3)`,
    });
    expect(await readFile(path)).toEqual(bytes);
  });

  it('is rejected when it is another database, and its tables are left unchanged', async () => {
    const database = new DatabaseSync(path);
    database.exec('CREATE TABLE other (a)');
    database.close();
    await expect(open(path)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `${path} is a database, but not an event store`,
    });
    const other = new DatabaseSync(path);
    const tables = other.prepare('SELECT name FROM sqlite_schema').all();
    other.close();
    expect(tables).toEqual([{ name: 'other' }]);
  });

  it('is rejected when it cannot be created', async () => {
    await writeFile(path, 'not a folder');
    await expect(open(join(path, 'events.db'))).rejects.toMatchObject({
      name: 'StoreError',
      code: 'UNAVAILABLE',
      message: expect.stringContaining(path),
    });
  });

  it('is rejected when it is not a database, and left unchanged', async () => {
    const text = 'plain text, not a database '.repeat(100);
    await writeFile(path, text);
    await expect(open(path)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(path) });
    expect(await readFile(path, 'utf8')).toBe(text);
  });
});

describe('checksums', () => {
  const damages = {
    'the data of a record': "UPDATE events SET data = replace(data, 'note 1', 'note 7') WHERE position = 2",
    'the metadata of a record':
      'UPDATE events SET metadata = replace(metadata, \'"actor":null\', \'"actor":0\') WHERE position = 2',
    'the time of a record': 'UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 2',
    'the revision of a record': 'UPDATE events SET revision = 9 WHERE position = 2',
    'the id of a record': "UPDATE events SET id = x'00112233445566778899aabbccddeeff' WHERE position = 2",
    'the name of its stream': "UPDATE streams SET name = 'other-1' WHERE id = 1",
    'the name of its type': "UPDATE types SET name = 'NumberDrawn' WHERE id = 1",
  };

  it.each(Object.entries(damages))('detect damage to %s in every kind of read', async (_name, damage) => {
    store = await open(path);
    await store.append('damaged-1', notes(3), { expect: 'none' });
    await store.close();
    const database = new DatabaseSync(path);
    database.exec(damage);
    database.close();
    store = await open(path);
    const damaged = {
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/damaged at position [12], revision \d of stream/),
    };
    await expect(readAll(store)).rejects.toMatchObject(damaged);
    await expect(store.idAt('2'.padStart(16, '0'))).rejects.toMatchObject(damaged);
    await expect(follow(store, {}, () => false)).rejects.toMatchObject(damaged);
  });

  it('detect a changed bit in the file, and the error has the position', async () => {
    store = await open(path);
    await store.append('damaged-1', [note('before'), note('a text to find'), note('after')], { expect: 'none' });
    await store.close();
    const bytes = await readFile(path);
    const at = bytes.indexOf('a text to find');
    bytes[at] = bytes[at]! ^ 1;
    await writeFile(path, bytes);
    store = await open(path);
    await expect(readStream(store, 'damaged-1')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: "the event store is damaged at position 2, revision 1 of stream 'damaged-1'",
    });
    expect(textsOf((await readStream(store, 'damaged-1', { from: 2n })).records)).toEqual(['after']);
  });
});

describe('group commit', () => {
  it('writes concurrent appends in one transaction', async () => {
    store = await open(path);
    await store.append(newStream(), [note('a')], { expect: 'none' });
    const before = await commitsIn(`${path}-wal`);
    await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        store?.append(`group-${n}`, [newRecord('NumberDrawn', { n })], { expect: 'none' }),
      ),
    );
    const after = await commitsIn(`${path}-wal`);
    // The write-ahead log may have been restarted in between.
    expect(after.salt === before.salt ? after.commits - before.commits : after.commits).toBe(1);
  });

  it('rejects appends with UNAVAILABLE when the queue is full, and writes nothing of them', async () => {
    store = await open(path);
    const streams = Array.from({ length: 5 }, () => newStream());
    const outcomes = await Promise.allSettled(
      streams.map((stream) => store?.append(stream, notes(4_096), { expect: 'none' })),
    );
    expect(outcomes.map((outcome) => outcome.status)).toEqual([...Array(4).fill('fulfilled'), 'rejected']);
    expect(outcomes[4]).toMatchObject({ reason: { code: 'UNAVAILABLE' } });
    expect((await readStream(store, streams[4]!)).records).toEqual([]);
    await store.append(streams[4]!, [note('later')], { expect: 'none' });
  });

  it('copies the write-ahead log in the background, which limits its size', async () => {
    store = await open(path);
    const megabyte = 'x'.repeat(900_000);
    for (let n = 0; n < 160; n++) await store.append('large-1', [note(megabyte)], { expect: 'any' });
    expect((await stat(`${path}-wal`)).size).toBeLessThan(100_000_000);
    await vi.waitFor(async () => expect((await stat(path)).size).toBeGreaterThan(140_000_000), {
      timeout: 10_000,
      interval: 20,
    });
  });
});

/** Transactions in the current part of a write-ahead log: frames with its salt and with a database size, which marks a commit. */
async function commitsIn(wal: string): Promise<{ salt: string; commits: number }> {
  const bytes = await readFile(wal);
  const [header, frameHeader, page] = [32, 24, bytes.readUInt32BE(8)];
  const salt = bytes.toString('hex', 16, 24);
  let commits = 0;
  for (let at = header; at + frameHeader + page <= bytes.length; at += frameHeader + page) {
    if (bytes.toString('hex', at + 8, at + 16) !== salt) break;
    if (bytes.readUInt32BE(at + 4) > 0) commits++;
  }
  return { salt, commits };
}
