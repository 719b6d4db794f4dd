import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { linkInOutbox, type Scene, signIn, signUp } from '../../examples/two-people.ts';
import { NODE_OPTIONS } from '../support/node-options.ts';
import { freePort, startServer } from '../support/server.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let dataDir: string;
let env: Record<string, string>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-lost-'));
  dataDir = join(folder, 'data');
  env = { PORT: String(await freePort()), DATA_DIR: dataDir };
});
afterEach(() => rm(folder, { recursive: true }));

const sceneAt = (url: string): Scene => ({
  url,
  linkFor: (email) => linkInOutbox(join(dataDir, 'outbox'), email),
  report: () => {},
});

/** Starts a server that is expected to refuse, and returns its exit code and its last line. */
function refusal(more: Readonly<Record<string, string>> = {}): Promise<[code: unknown, line: string | undefined]> {
  const options = { env: { PATH: process.env.PATH ?? '', LOG_LEVEL: 'fatal', ...env, ...more }, timeout: 60_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [...NODE_OPTIONS, MAIN], options, (error, _stdout, stderr) =>
      resolve([error?.code, stderr.trim().split('\n').at(-1)]),
    );
  });
}

it('a lost or wrong secret, and lost keys, are refused in words; with the right ones people sign in again', async () => {
  const first = await startServer(env);
  const ann = await signUp(sceneAt(first.url), 'ann');
  await first.stop();
  const [secret, keys] = [join(dataDir, 'secret'), join(dataDir, 'keys.db')];
  const kept = join(folder, 'kept');
  await cp(dataDir, kept, { recursive: true });

  await rm(secret);
  const events = 'and the event log cannot be used without';
  expect(await refusal()).toEqual([
    2,
    `Parley could not start: ${secret} is missing, ${events} it: restore it from a backup`,
  ]);
  await rm(keys);
  expect(await refusal()).toEqual([
    2,
    `Parley could not start: ${secret} and ${keys} are missing, ${events} them: restore them from a backup`,
  ]);
  await rename(join(dataDir, 'events.db'), join(folder, 'events.db'));
  await cp(join(kept, 'keys.db'), keys);
  expect(await refusal()).toEqual([
    2,
    `Parley could not start: ${secret} is missing, and ${keys} cannot be used without it: restore it from a backup`,
  ]);
  await rename(join(folder, 'events.db'), join(dataDir, 'events.db'));
  const files = await readdir(dataDir);
  expect([files.includes('secret'), files.includes('keys.db')]).toEqual([false, true]);

  const wrong = [2, expect.stringMatching(/^Parley could not start: the secret does not fit the event log: /)];
  expect(await refusal({ PARLEY_SECRET: 'another secret of at least 32 characters' })).toEqual(wrong);
  await writeFile(secret, 'another secret of at least 32 characters');
  expect(await refusal()).toEqual(wrong);

  await cp(join(kept, 'secret'), secret);
  const other = await startServer({ ...env, DATA_DIR: join(folder, 'other') });
  await other.stop();
  await cp(join(folder, 'other', 'keys.db'), keys);
  expect(await refusal()).toEqual([2, expect.stringMatching(/the secret does not fit the key store/)]);

  await cp(join(kept, 'keys.db'), keys);
  const again = await startServer(env);
  expect(await signIn(sceneAt(again.url), ann)).toMatchObject({ userId: ann.userId });
  await again.stop();
});

it('every file is for its owner alone, also in a folder and of files with wider modes', async () => {
  await mkdir(dataDir);
  await chmod(dataDir, 0o755);
  const first = await startServer(env);
  await signUp(sceneAt(first.url), 'ann');
  const modes = async (): Promise<Record<string, string>> => {
    const names = await readdir(dataDir, { recursive: true });
    const found = await Promise.all(names.sort().map(async (name) => [name, await stat(join(dataDir, name))] as const));
    return Object.fromEntries(found.map(([name, { mode }]) => [name, (mode & 0o777).toString(8)]));
  };
  const made = await modes();
  const expected = Object.fromEntries(Object.keys(made).map((name) => [name, name === 'outbox' ? '700' : '600']));
  expect(made).toEqual(expected);
  const databases = ['documents.db', 'events.db', 'keys.db'].flatMap((name) => [name, `${name}-shm`, `${name}-wal`]);
  expect(Object.keys(made)).toEqual(expect.arrayContaining(['secret', 'events.db.lock', 'outbox', ...databases]));

  // Killed, so that the write-ahead logs stay.
  await first.kill();
  for (const name of Object.keys(made)) await chmod(join(dataDir, name), name === 'outbox' ? 0o755 : 0o644);
  const second = await startServer(env);
  expect(await modes()).toEqual(expected);
  expect(((await stat(dataDir)).mode & 0o777).toString(8)).toBe('755');
  await second.stop();
});
