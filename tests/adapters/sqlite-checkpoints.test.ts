import { mkdir, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Checkpoints } from '../../src/adapters/sqlite/checkpoints.ts';
import { openDatabase } from '../../src/adapters/sqlite/database.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let path: string;
let clock: ManualClock;
let lines: string[];
let checkpoints: Checkpoints;
let database: ReturnType<typeof openDatabase>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-checkpoints-'));
  path = join(folder, 'data.db');
  clock = manualClock();
  lines = [];
  const log = (level: string) => (_fields: object, message: string) => void lines.push(`${level}: ${message}`);
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  database = openDatabase(path, 'full');
  database.exec('CREATE TABLE texts (text TEXT)');
  checkpoints = new Checkpoints(path, clock, logger);
});
afterEach(async () => {
  await checkpoints.close();
  if (database.isOpen) database.close();
  await rm(folder, { recursive: true });
});

const until = (condition: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(condition, { timeout: 30_000, interval: 10 });

/** Commits a megabyte, which stays in the write-ahead log until it is copied. */
function commit(): void {
  database.exec(`INSERT INTO texts VALUES ('${'x'.repeat(1_000_000)}')`);
  checkpoints.touch();
}

it('a thread that fails is started again after growing pauses, and copies what was committed meanwhile', async () => {
  // In place of the database that the thread opens.
  await rename(path, join(folder, 'moved.db'));
  await mkdir(path);
  commit();
  await clock.advance(500);
  await until(() => expect(lines).toEqual(['error: the WAL checkpoint thread failed and will be started again']));
  expect(clock.sleeping()).toBe(1);
  commit();
  await clock.advance(199);
  expect(clock.sleeping()).toBe(1);
  await clock.advance(1);
  expect(clock.sleeping()).toBe(0);
  await until(() => expect(clock.sleeping()).toBe(1));
  await clock.advance(399);
  expect(clock.sleeping()).toBe(1);

  await rmdir(path);
  await rename(join(folder, 'moved.db'), path);
  await clock.advance(1);
  await until(async () => expect((await stat(path)).size).toBeGreaterThan(2_000_000));
  await until(() => expect(lines.at(-1)).toBe('info: the WAL checkpoint thread works again'));
  expect(lines).toHaveLength(2);
});

it('closes while the thread is to be started again', async () => {
  await rename(path, join(folder, 'moved.db'));
  await mkdir(path);
  checkpoints.touch();
  await clock.advance(500);
  await until(() => expect(lines).toHaveLength(1));
  await checkpoints.close();
  await clock.advance(60_000);
  expect([clock.sleeping(), lines.length]).toEqual([0, 1]);
});

it('closes while the thread fails', async () => {
  await rename(path, join(folder, 'moved.db'));
  await mkdir(path);
  checkpoints.touch();
  await clock.advance(500);
  await checkpoints.close();
  expect([clock.sleeping(), lines]).toEqual([0, []]);
});
