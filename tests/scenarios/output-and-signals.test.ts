import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NODE_OPTIONS } from '../support/node-options.ts';
import { freePort, startServer } from '../support/server.ts';
import { service } from '../support/services.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'src/main.ts');

vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let url: string;
let env: Record<string, string>;
let server: ChildProcess;
let ended: Promise<unknown[]>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-output-'));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  env = { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port), DATA_DIR: folder };
});
afterEach(async () => {
  server.kill('SIGKILL');
  await ended;
  await rm(folder, { recursive: true });
});

/** Starts a command in a process group of its own, as a terminal does. */
function start(command: string, args: readonly string[]): void {
  server = spawn(command, args, { env, cwd: ROOT, detached: true });
  ended = once(server, 'exit');
}

/** Starts the server, and waits until it is ready. */
async function startMain(): Promise<void> {
  start(process.execPath, [...NODE_OPTIONS, MAIN]);
  server.stderr?.resume();
  await ready(server);
}

async function ready({ stdout }: ChildProcess): Promise<void> {
  if (stdout === null) throw new Error('the server has no output');
  const lines = createInterface({ input: stdout });
  for await (const line of lines) if (line.startsWith('Parley is ready')) return;
  throw new Error('the server ended before it was ready');
}

const answers = (): Promise<void> =>
  vi.waitFor(async () => expect((await fetch(`${url}/healthz`)).status).toBe(200), { timeout: 60_000, interval: 50 });

/** Registers a user: the server then prints the address of a mail. */
async function register(name: string): Promise<void> {
  const body = JSON.stringify({ email: `${name}@example.org`, username: name });
  const headers = { 'content-type': 'application/json' };
  expect((await fetch(`${url}/api/v1/users`, { method: 'POST', headers, body })).status).toBe(202);
}

const droppedLines = async (): Promise<number> => {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^parley_output_lines_dropped_total (\d+)$/m.exec(metrics)?.[1]);
};

describe('signals', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    '%s stops the server in order, also when it is repeated at once',
    async (signal) => {
      await startMain();
      server.kill(signal);
      server.kill(signal);
      // A terminal and npm both pass Ctrl-C on.
      server.kill('SIGINT');
      expect(await ended).toEqual([0, null]);
    },
  );

  it('a server whose output is closed goes on, counts the lines that it drops, and stops in order', async () => {
    start(process.execPath, [...NODE_OPTIONS, MAIN]);
    server.stderr?.destroy();
    await ready(server);
    const dropped = (least: number) =>
      vi.waitFor(async () => expect(await droppedLines()).toBeGreaterThanOrEqual(least), {
        timeout: 20_000,
        interval: 50,
      });
    // The node logs that it has taken its leases.
    await dropped(1);
    server.stdout?.destroy();
    const before = await droppedLines();
    for (const user of ['ann', 'bob', 'cat']) await register(user);
    await dropped(before + 3);
    server.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('a server whose output is closed before it is ready starts, and stops in order', async () => {
    start(process.execPath, [...NODE_OPTIONS, MAIN]);
    server.stdout?.destroy();
    server.stderr?.destroy();
    await answers();
    await register('ann');
    server.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('invalid settings have exit code 2, also when the output is closed', async () => {
    env.PORT = 'none';
    start(process.execPath, [...NODE_OPTIONS, MAIN]);
    server.stdout?.destroy();
    server.stderr?.destroy();
    expect(await ended).toEqual([2, null]);
  });
});

/** Why `npm start` cannot run here; `null` when it can. */
const missingNpm = await new Promise<string | null>((resolve) => {
  execFile('npm', ['--version'], (error) => resolve(error === null ? null : 'npm is not installed'));
});

describe.skipIf(!service('npm', missingNpm))('npm start', () => {
  it.each([
    ['SIGTERM to npm alone', () => server.kill('SIGTERM')],
    ['SIGINT to the whole group, as a terminal sends it', () => process.kill(-(server.pid ?? 0), 'SIGINT')],
  ])('%s stops the server in order, and leaves no process with the port and the lock', async (_name, stop) => {
    start('npm', ['start']);
    server.stderr?.resume();
    await ready(server);
    stop();
    expect(await ended).toEqual([0, null]);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    // The lock is free: another server opens the same data.
    const next = await startServer({ PORT: env.PORT ?? '', DATA_DIR: folder });
    expect(await next.stop()).toBe(0);
  });
});
