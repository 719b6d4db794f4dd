import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePort } from '../support/server.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

let folder: string;
let url: string;
let server: ChildProcess;
let ended: Promise<unknown[]>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-output-'));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const env = { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port), DATA_DIR: folder };
  server = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN], { env });
  ended = once(server, 'exit');
  server.stderr?.resume();
  await ready(server);
});
afterEach(async () => {
  server.kill('SIGKILL');
  await ended;
  await rm(folder, { recursive: true });
});

async function ready({ stdout }: ChildProcess): Promise<void> {
  if (stdout === null) throw new Error('the server has no output');
  for await (const line of createInterface({ input: stdout })) if (line.startsWith('Parley is ready')) return;
  throw new Error('the server ended before it was ready');
}

it('a second signal does not keep the server from stopping in order', async () => {
  server.kill('SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 10));
  server.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
});

it('a server whose output is closed goes on, and stops in order', async () => {
  server.stdout?.destroy();
  server.stderr?.destroy();
  for (const name of ['ann', 'bob', 'cat']) {
    const body = JSON.stringify({ email: `${name}@example.org`, username: name });
    const headers = { 'content-type': 'application/json' };
    // Each registration prints the address of a mail, and logs the request.
    expect((await fetch(`${url}/api/v1/users`, { method: 'POST', headers, body })).status).toBe(202);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  server.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});
