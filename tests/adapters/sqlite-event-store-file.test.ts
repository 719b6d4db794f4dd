import { readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { newEvent, newStream, note, notes } from '../contracts/events.ts';
import { follow, readToEnd } from '../contracts/following.ts';
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

describe('one owner', () => {
  it('a second process is refused in words', async () => {
    store = await open(path);
    expect(await outputOf(startChild('open', path))).toBe(
      `UNAVAILABLE: cannot lock the event log ${path}: it is already open, in this or another process\n`,
    );
  });

  it('a second opening in the same process is refused, also of another name of the file', async () => {
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

  it('once closed, the log can be opened by another', async () => {
    await (await open(path)).close();
    expect(await outputOf(startChild('open', path))).toBe('opened\n');
  });
});

describe('the file', () => {
  it('keeps everything over a restart, and goes on where it was', async () => {
    store = await open(path);
    const stream = newStream();
    const first = await store.append(stream, notes(50), { expect: 'none' });
    const [epoch, before] = [await store.epoch(), await store.readStream(stream)];
    await store.close();
    store = await open(path);
    expect([await store.epoch(), await store.head(), await store.readStream(stream)]).toEqual([
      epoch,
      first.position,
      before,
    ]);
    await expect(store.append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 49n });
    const second = await store.append(stream, [note('a')], { expect: 49n });
    expect(Number(second.position)).toBe(Number(first.position) + 1);
  });

  it('positions have no gaps, also after conflicts', async () => {
    store = await open(path);
    const stream = newStream();
    await store.append(stream, notes(3), { expect: 'none' });
    await expect(store.append(stream, notes(3), { expect: 'none' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
    });
    await store.append(stream, notes(3), { expect: 2n });
    const { events } = await readToEnd(store, { direction: 'forwards', from: null });
    expect(events.map((event) => event.position)).toEqual([1, 2, 3, 4, 5, 6].map((n) => String(n).padStart(16, '0')));
  });

  it('keeps what a stream may forget, and its last revision when everything is gone', async () => {
    store = await open(path);
    await store.append('a-1', notes(3), { expect: 'none' });
    await store.append('b-1', [note('the last of the log')], { expect: 'none' });
    await store.setRetention('a-1', { truncateBefore: 3n, maxCount: 1 });
    expect(await store.scavenge()).toBe(3);
    await store.close();
    store = await open(path);
    await expect(store.append('a-1', [note('a')], { expect: 'none' })).rejects.toMatchObject({ actual: 2n });
    await store.append('a-1', notes(2), { expect: 2n });
    expect((await store.readStream('a-1')).events.map((event) => event.revision)).toEqual([4n]);
  });

  it('of a newer format is refused in words', async () => {
    await (await open(path)).close();
    const database = new DatabaseSync(path);
    database.exec("UPDATE meta SET value = '2' WHERE name = 'format'");
    database.close();
    await expect(open(path)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `the event log ${path} has format 2, this program knows formats up to 1: it was written by a newer one`,
    });
  });

  it('that is another database is refused, and left alone', async () => {
    const database = new DatabaseSync(path);
    database.exec('CREATE TABLE other (a)');
    database.close();
    await expect(open(path)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `${path} is a database, but not an event log`,
    });
  });

  it('that cannot be made is refused', async () => {
    await writeFile(path, 'not a folder');
    await expect(open(join(path, 'events.db'))).rejects.toMatchObject({
      name: 'StoreError',
      code: 'UNAVAILABLE',
      message: expect.stringContaining(path),
    });
  });

  it('that is no database is refused, and left alone', async () => {
    const text = 'a shopping list, certainly not a database '.repeat(100);
    await writeFile(path, text);
    await expect(open(path)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(path) });
    expect(await readFile(path, 'utf8')).toBe(text);
  });
});

describe('checksums', () => {
  const damages = {
    'the data of an event': "UPDATE events SET data = replace(data, 'note 1', 'note 7') WHERE position = 2",
    'the metadata of an event':
      'UPDATE events SET metadata = replace(metadata, \'"actor":null\', \'"actor":0\') WHERE position = 2',
    'the time of an event': 'UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 2',
    'the revision of an event': 'UPDATE events SET revision = 9 WHERE position = 2',
    'the id of an event': "UPDATE events SET id = x'00112233445566778899aabbccddeeff' WHERE position = 2",
    'the name of its stream': "UPDATE streams SET name = 'other-1' WHERE id = 1",
    'the name of its type': "UPDATE types SET name = 'NumberDrawn' WHERE id = 1",
  };

  it.each(Object.entries(damages))('damage to %s is told when it is read, never passed over', async (_name, damage) => {
    store = await open(path);
    await store.append('damaged-1', notes(3), { expect: 'none' });
    await store.close();
    const database = new DatabaseSync(path);
    database.exec(damage);
    database.close();
    store = await open(path);
    const told = {
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/damaged at position [12], revision \d of stream/),
    };
    await expect(store.readAll({ direction: 'forwards', from: null })).rejects.toMatchObject(told);
    await expect(follow(store, { after: null }, () => false)).rejects.toMatchObject(told);
  });

  it('a flipped byte in the file is told, with its place', async () => {
    store = await open(path);
    await store.append('damaged-1', [note('before'), note('a mark to be found'), note('behind')], { expect: 'none' });
    await store.close();
    const bytes = await readFile(path);
    const at = bytes.indexOf('a mark to be found');
    bytes[at] = bytes[at]! ^ 1;
    await writeFile(path, bytes);
    store = await open(path);
    await expect(store.readStream('damaged-1')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: "the event log is damaged at position 2, revision 1 of stream 'damaged-1'",
    });
    expect((await store.readStream('damaged-1', { from: 2n })).events).toMatchObject([{ data: { text: 'behind' } }]);
  });
});

describe('group commit', () => {
  it('what is appended at the same moment is one transaction', async () => {
    store = await open(path);
    await store.append(newStream(), [note('a')], { expect: 'none' });
    const before = await commitsIn(`${path}-wal`);
    await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        store?.append(`group-${n}`, [newEvent('NumberDrawn', { n })], { expect: 'none' }),
      ),
    );
    const after = await commitsIn(`${path}-wal`);
    // The write-ahead log may have been started anew in between.
    expect(after.salt === before.salt ? after.commits - before.commits : after.commits).toBe(1);
  });

  it('more than may wait is refused as UNAVAILABLE, and nothing of it is written', async () => {
    store = await open(path);
    const streams = Array.from({ length: 5 }, () => newStream());
    const outcomes = await Promise.allSettled(
      streams.map((stream) => store?.append(stream, notes(4_096), { expect: 'none' })),
    );
    expect(outcomes.map((outcome) => outcome.status)).toEqual([...Array(4).fill('fulfilled'), 'rejected']);
    expect(outcomes[4]).toMatchObject({ reason: { code: 'UNAVAILABLE' } });
    expect((await store.readStream(streams[4]!)).events).toEqual([]);
    await store.append(streams[4]!, [note('later')], { expect: 'none' });
  });

  it('the write-ahead log is copied in the background, and stays bounded', async () => {
    store = await open(path);
    const megabyte = 'x'.repeat(900_000);
    for (let n = 0; n < 80; n++) await store.append('large-1', [note(megabyte)], { expect: 'any' });
    expect((await stat(`${path}-wal`)).size).toBeLessThan(60_000_000);
    await vi.waitFor(async () => expect((await stat(path)).size).toBeGreaterThan(70_000_000), {
      timeout: 10_000,
      interval: 20,
    });
  });
});

/** Transactions in the current part of a write-ahead log: frames of its salt that say how large the database is after them. */
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
