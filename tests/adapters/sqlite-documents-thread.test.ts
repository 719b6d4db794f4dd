import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ThreadWrites } from '../../src/adapters/sqlite/documents-thread.ts';
import type { EncodedBatch } from '../../src/adapters/sqlite/documents-writes.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { manualClock } from '../support/manual-clock.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-thread-'));
});
afterEach(() => rm(folder, { recursive: true }));

const batch = (id: string): EncodedBatch => ({
  now: 0,
  targets: [{ name: 'items', collection: 1, indexes: 0, columns: 0, arrays: 0 }],
  values: [0, id, '1', null, '{}'],
  size: 1,
  hasLast: false,
});

it('rejects the calls of a thread that ended by itself, and starts another one after a pause', async () => {
  const path = join(folder, 'documents.db');
  const clock = manualClock();
  await writeFile(path, 'This text is not a database, so the thread cannot start.');
  const writes = new ThreadWrites(path, clock, silentLogger);
  const first = [writes.define([{ name: 'items', indexes: [] }]), writes.apply(batch('a'))];
  for (const call of first) await expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });

  await rm(path);
  await expect(writes.apply(batch('a'))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('was not started again yet'),
  });
  await clock.advance(1_000);
  await writes.define([{ name: 'items', indexes: [] }]);
  expect(await writes.apply(batch('a'))).toEqual([]);
  expect(await writes.apply(batch('a'))).toEqual([0]);
  await writes.close();
});

it('asks for a batch to be encoded again when an index was added meanwhile', async () => {
  const writes = new ThreadWrites(join(folder, 'documents.db'), manualClock(), silentLogger);
  await writes.define([{ name: 'items', indexes: [] }]);
  await writes.define([{ name: 'items', indexes: [{ fields: ['text'] }] }]);
  expect(await writes.apply(batch('a'))).toBe('stale');
  await writes.close();
});
