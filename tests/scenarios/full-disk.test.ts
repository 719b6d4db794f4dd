import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { NODE_OPTIONS } from '../support/node-options.ts';
import { freePort } from '../support/server.ts';
import { service } from '../support/services.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const DISK = '24m';
/** Mounts a file system of limited size that only the command and its children see, and runs the command. */
const ON_SMALL_DISK = `mount -t tmpfs -o size=${DISK},mode=700 none "$DATA_DIR" && exec "$@"`;
const unshare = (command: readonly string[]): string[] => [
  '--map-root-user',
  '--mount',
  'sh',
  '-c',
  ON_SMALL_DISK,
  'sh',
  ...command,
];

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const missing = await new Promise<string | null>((resolve) => {
  const env = { PATH: process.env.PATH ?? '', DATA_DIR: tmpdir() };
  execFile('unshare', unshare(['true']), { env }, (error) =>
    resolve(error === null ? null : 'a file system of limited size cannot be mounted'),
  );
});

describe.skipIf(!service('a small disk', missing))('a server whose disk is full', () => {
  let folder: string;
  let disk: string;
  let url: string;
  let server: ChildProcess;
  let ended: Promise<unknown[]>;
  const log: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-disk-'));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const env = {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: folder,
      RATE_LIMITS: 'off',
    };
    server = spawn('unshare', unshare([process.execPath, ...NODE_OPTIONS, MAIN]), { env });
    ended = once(server, 'exit');
    if (server.stdout === null || server.stderr === null) throw new Error('the server has no output');
    createInterface({ input: server.stderr }).on('line', (line) => log.push(line));
    for await (const line of createInterface({ input: server.stdout })) if (line.startsWith('Parley is ready')) break;
    server.stdout.resume();
    // The folder as the server sees it.
    disk = join('/proc', String(server.pid), 'root', folder);
  });
  afterAll(async () => {
    server.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true });
  });

  let names = 0;
  async function register(): Promise<number> {
    const username = `user${names++}`;
    const body = JSON.stringify({ email: `${username}@example.org`, username });
    const headers = { 'content-type': 'application/json' };
    return (await fetch(`${url}/api/v1/users`, { method: 'POST', headers, body })).status;
  }

  async function readiness(): Promise<{ status: number; away: string[] }> {
    const response = await fetch(`${url}/readyz`);
    const { parts } = (await response.json()) as { parts: { name: string; ready: boolean }[] };
    return { status: response.status, away: parts.filter(({ ready }) => !ready).map(({ name }) => name) };
  }

  /** Writes to a file until nothing fits any more. */
  async function fill(): Promise<void> {
    const filler = await open(join(disk, 'filler'), 'a');
    for (const size of [65_536, 4_096]) {
      try {
        for (;;) await filler.write(Buffer.alloc(size));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      }
    }
    await filler.close();
  }

  const until = (condition: () => Promise<void>): Promise<void> =>
    vi.waitFor(condition, { timeout: 60_000, interval: 50 });

  it('is not ready from the first append that fails, and is ready again without commands once there is space', async () => {
    expect(await register()).toBe(202);
    expect(await readiness()).toEqual({ status: 200, away: [] });
    await fill();
    // What is left in the write-ahead logs is used up first.
    let answer = 202;
    await until(async () => {
      answer = await register();
      expect(await readiness()).toMatchObject({ status: 503, away: expect.arrayContaining(['event-store']) });
    });
    expect(answer).toBe(503);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);

    await rm(join(disk, 'filler'));
    await until(async () => expect(await readiness()).toEqual({ status: 200, away: [] }));
    expect(await register()).toBe(202);
  });

  it('copies its write-ahead log again', async () => {
    const { size } = await stat(join(disk, 'events.db'));
    await until(async () => {
      expect(await register()).toBe(202);
      expect((await stat(join(disk, 'events.db'))).size).toBeGreaterThan(size);
    });
    const count = (message: string): number => log.filter((line) => line.includes(message)).length;
    // Each file has a thread, which is started again after pauses of its own.
    await until(async () => {
      await register();
      expect(count('the WAL checkpoint thread works again')).toBe(count('the WAL checkpoint thread failed'));
    });
  });

  it('stops in order', async () => {
    server.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});
