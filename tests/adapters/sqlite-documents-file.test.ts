import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { put, remove } from '../contracts/documents-fixtures.ts';
import { manualClock } from '../support/manual-clock.ts';
import { BATCH, COLLECTIONS, positionOf } from './sqlite-documents.batches.ts';

const CHILD = fileURLToPath(new URL('./sqlite-documents.child.ts', import.meta.url));
const DAY_MS = 24 * 60 * 60 * 1_000;
const MINUTE_MS = 60_000;

let folder: string;
let path: string;
let store: DocumentStore | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-documents-'));
  path = join(folder, 'sub', 'documents.db');
});
afterEach(async () => {
  await store?.close();
  store = undefined;
  await rm(folder, { recursive: true });
});

async function open(clock = manualClock()): Promise<DocumentStore> {
  store = await openSqliteDocuments({ path, clock, logger: silentLogger });
  return store;
}

/** Reads directly from the file. */
function rows(sql: string): readonly Record<string, unknown>[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

/** Runs the child until it has written a number of batches, kills it, and returns the number of the last batch it has reported. */
async function writeAndKill(batches: number): Promise<number> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let written = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    written = Number(line);
    if (written >= batches) child.kill('SIGKILL');
  }
  await exited;
  return written;
}

describe('a process that is killed', () => {
  it('leaves all reported batches, no incomplete batch, and consistent indexes', async () => {
    const written = await writeAndKill(30);
    const after = await open();
    await after.define(COLLECTIONS);
    const checkpoint = (await after.getMany('checkpoints', ['p'])).get('p');
    const reached = Number(checkpoint?.body.n);
    expect(reached).toBeGreaterThanOrEqual(written);
    expect((await after.getMany('items', ['hot'])).get('hot')?.position).toBe(positionOf(reached));
    for (let n = 1; n <= reached; n++) {
      expect(await after.count('items', { tags: { contains: `batch-${n}` } }, 100)).toBe(BATCH);
      expect(await after.count('items', { n }, 100)).toBe(BATCH + (n === reached ? 1 : 0));
    }
    expect(await after.count('items', { tags: { containsPrefix: 'hot-' } }, 100)).toBe(1);
    expect(await after.count('items', {}, 100_000)).toBe(BATCH * reached + 1);
    expect(rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
  });
});

describe('tombstones', () => {
  it('are purged after they expire, a limited number by each batch', async () => {
    const clock = manualClock();
    const documents = await open(clock);
    await documents.define([{ name: 'a', indexes: [] }]);
    const count = () => rows('SELECT count(*) AS n FROM tombstones')[0]?.n;
    await documents.apply({ writes: Array.from({ length: 1_200 }, (_, i) => remove('a', `id${i}`, '01')) });
    await clock.advance(DAY_MS / 2);
    await documents.apply({ writes: [remove('a', 'young', '01')] });
    expect(count()).toBe(1_201);

    await clock.advance(DAY_MS / 2);
    const counts: unknown[] = [];
    for (let n = 0; n < 4; n++) {
      await documents.apply({ writes: [] });
      counts.push(count());
    }
    expect(counts).toEqual([701, 201, 1, 1]);
  });

  it('are purged at most once a minute when few have expired', async () => {
    const clock = manualClock();
    const documents = await open(clock);
    await documents.define([{ name: 'a', indexes: [] }]);
    const ids = () => rows('SELECT id FROM tombstones').map(({ id }) => id);
    await documents.apply({ writes: [remove('a', 'first', '01')] });
    await clock.advance(MINUTE_MS / 2);
    await documents.apply({ writes: [remove('a', 'second', '01')] });
    await clock.advance(DAY_MS - MINUTE_MS / 2);
    await documents.apply({ writes: [] });
    expect(ids()).toEqual(['second']);
    await clock.advance(MINUTE_MS / 2);
    await documents.apply({ writes: [] });
    expect(ids()).toEqual(['second']);
    await clock.advance(MINUTE_MS / 2);
    await documents.apply({ writes: [] });
    expect(ids()).toEqual([]);
  });
});

describe('the file', () => {
  it('contains nothing of a collection that was dropped', async () => {
    const documents = await open();
    const objects = () => rows('SELECT name FROM sqlite_schema ORDER BY name').map(({ name }) => name);
    const before = objects();
    await documents.define([{ name: 'a', indexes: [{ fields: ['x'] }, { fields: ['x'], array: 'tags' }] }]);
    await documents.apply({ writes: [put('a', 'id', { x: 1, tags: ['t'] }), remove('a', 'gone', '01')] });
    expect(objects().length).toBeGreaterThan(before.length);
    await documents.drop('a');
    expect(objects()).toEqual(before);
    expect(rows('SELECT * FROM tombstones')).toEqual([]);
    expect(rows('SELECT * FROM collections')).toEqual([]);
  });

  it('contains nothing of replaced content once it is opened again, although a crash prevented the purge', async () => {
    const documents = await open();
    await documents.define([{ name: 'a', indexes: [] }]);
    await documents.apply({ writes: [put('a', 'id', { text: 'easy to find' })] });
    await documents.apply({ writes: [put('a', 'id', { text: null }, { position: '02', guard: '01' })] });
    // What a crash leaves is what is in the files now.
    const copy = join(folder, 'copy');
    await cp(join(folder, 'sub'), copy, { recursive: true });
    const content = async () => {
      const files = (await readdir(copy)).map((file) => readFile(join(copy, file), 'latin1'));
      return (await Promise.all(files)).join('');
    };
    expect(await content()).toContain('easy to find');
    const path = join(copy, 'documents.db');
    const opened = await openSqliteDocuments({ path, clock: manualClock(), logger: silentLogger });
    expect(await content()).not.toContain('easy to find');
    await opened.close();
  });

  it('contains nothing of replaced and removed content after a purge, however often its pages were rearranged', async () => {
    const documents = await open();
    await documents.define([{ name: 'a', indexes: [{ array: 'terms', fields: ['name'] }] }]);
    const body = (n: number, version: number) => ({
      name: `person${n}`,
      terms: [`secret${n}x`, `version${version}`, `secret${n}y`.repeat(1 + (n % 7))],
      text: `secret${n}z `.repeat(1 + ((n * 37) % 60)),
    });
    const ids = Array.from({ length: 3_000 }, (_, n) => n);
    for (let version = 1; version <= 3; version++) {
      for (let from = 0; from < ids.length; from += 500) {
        const writes = ids.slice(from, from + 500).map((n) =>
          put('a', `id${(n * 7_919) % 3_000}`, body((n * 7_919) % 3_000, version), {
            position: `0${version}`,
            guard: version === 1 ? null : `0${version - 1}`,
          }),
        );
        expect(await documents.apply({ writes })).toEqual({ rejected: [] });
      }
    }
    const erased = ids.filter((n) => n % 30 === 0);
    await documents.apply({ writes: erased.map((n) => remove('a', `id${n}`, '04', '03')) });
    await documents.purge();
    const files = (await readdir(join(folder, 'sub'))).map((file) => readFile(join(folder, 'sub', file), 'latin1'));
    const content = (await Promise.all(files)).join('');
    expect(content).toContain('secret1x');
    expect(erased.filter((n) => new RegExp(`secret${n}[xyz]`).test(content))).toEqual([]);
  });

  it('is not changed by new indexes that the documents do not fit', async () => {
    const documents = await open();
    await documents.define([{ name: 'a', indexes: [{ fields: ['x'] }] }]);
    await documents.apply({ writes: [put('a', 'id', { x: 1, list: ['t'] })] });
    const wrong = { name: 'a', indexes: [{ fields: ['list'] }] };
    await expect(documents.define([{ name: 'b', indexes: [] }, wrong])).rejects.toMatchObject({ code: 'INVALID' });
    await expect(documents.getMany('b', ['id'])).rejects.toMatchObject({ code: 'INVALID' });
    expect(await documents.count('a', { x: 1 }, 10)).toBe(1);
    expect(await documents.apply({ writes: [put('a', 'other', { x: 1 })] })).toEqual({ rejected: [] });
    expect(await documents.count('a', { x: 1 }, 10)).toBe(2);
  });

  it('is rejected when it is not a database', async () => {
    const text = join(folder, 'text.db');
    await writeFile(text, 'this is not a database, but text that is long enough to be read as one'.repeat(20));
    const opening = openSqliteDocuments({ path: text, clock: manualClock(), logger: silentLogger });
    await expect(opening).rejects.toMatchObject({ name: 'StoreError', code: 'UNAVAILABLE' });
  });

  it('is rejected when it has another format', async () => {
    await (await open()).close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(open()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('another version'),
    });
  });
});

describe('a store in memory', () => {
  it('works without a file, and is deleted when it is closed', async () => {
    path = ':memory:';
    const documents = await open();
    await documents.define([{ name: 'a', indexes: [{ fields: ['n'], array: 'tags' }] }]);
    const writes = Array.from({ length: 100 }, (_, n) => put('a', `id${n}`, { n, tags: ['t'] }));
    expect(await documents.apply({ writes, last: put('a', 'last', {}) })).toEqual({
      rejected: [],
    });
    const sort = { fields: ['n'], direction: 'desc' } as const;
    const page = await documents.find('a', { filter: { tags: { contains: 't' } }, sort, limit: 2 });
    expect(page.items.map(({ id }) => id)).toEqual(['id99', 'id98']);
    await documents.close();
    const again = await open();
    await again.define([{ name: 'a', indexes: [] }]);
    expect(await again.count('a', {}, 10)).toBe(0);
  });
});
