import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkInOutbox, type Scene, signUp } from '../../examples/two-people.ts';
import { freePort, type Server, startServer } from '../support/server.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

type Change = Readonly<{ path: string; hunks: readonly string[] }>;

/** The changes to files that a section of CONTRIBUTING.md shows, in its order. */
async function changesOf(heading: string): Promise<readonly Change[]> {
  const text = await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
  const section = text.split(/^## /m).find((candidate) => candidate.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/```diff\n\+\+\+ (\S+)\n([\s\S]*?)```/g)].map(([, path = '', body = '']) => ({
    path,
    hunks: body.split(/^@@\n/m),
  }));
}

/** Replaces the lines with ' ' and '-' by those with ' ' and '+'. What is replaced has to be in the text exactly once. */
function apply(text: string, hunk: string): string {
  const lines = hunk.replace(/\n$/, '').split('\n');
  const side = (sign: string) =>
    lines
      .filter((line) => line.startsWith(' ') || line.startsWith(sign))
      .map((line) => `${line.slice(1)}\n`)
      .join('');
  const parts = text.split(side('-'));
  if (parts.length !== 2) throw new Error(`${parts.length - 1} places match:\n${side('-')}`);
  return parts.join(side('+'));
}

let folder: string;
let server: Server;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-walks-'));
  for (const name of ['src', 'package.json', 'tsconfig.json']) {
    await cp(join(ROOT, name), join(folder, name), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true });
});

it.each([
  ['Add a command', 6],
  ['Add a projection', 3],
])('%s: takes %i files, and its changes apply', async (heading, files) => {
  const changes = await changesOf(heading);
  expect(new Set(changes.map(({ path }) => path)).size).toBe(files);
  for (const { path, hunks } of changes) {
    const file = join(folder, path);
    const isNew = hunks.every((hunk) => hunk.split('\n').every((line) => line === '' || line.startsWith('+')));
    const before = isNew ? '' : await readFile(file, 'utf8');
    const after = isNew ? hunks.map((hunk) => hunk.replaceAll(/^\+/gm, '')).join('') : hunks.reduce(apply, before);
    await writeFile(file, after);
  }
});

it('the result has no type errors', async () => {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const options = { cwd: folder, timeout: 60_000 };
  // It prints the errors, which a failed assertion then shows.
  const { stdout } = await run(process.execPath, [tsc, '--noEmit'], options).catch((error) => error);
  expect(stdout).toBe('');
}, 60_000);

it('the result serves the command over REST and WebSocket, pushes and projects it, and documents it', async () => {
  const env = { PORT: String(await freePort()), DATA_DIR: join(folder, 'data') };
  server = await startServer(env, join(folder, 'src/main.ts'));
  const scene: Scene = {
    url: server.url,
    linkFor: (email) => linkInOutbox(join(env.DATA_DIR, 'outbox'), email),
    report: () => {},
  };
  const ann = await signUp(scene, 'ann');
  const ask = async (method: string, path: string, body?: object, minPosition = '0') => {
    const headers = {
      authorization: `Bearer ${ann.accessToken}`,
      'min-position': minPosition,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await fetch(new URL(path, server.url), init);
    return { status: response.status, body: (await response.json()) as Record<string, string> };
  };
  const live = new WebSocket(new URL('/api/v1/live', server.url.replace(/^http/, 'ws')));
  const received: string[] = [];
  live.addEventListener('message', ({ data }) => received.push(String(data)));
  await new Promise((resolve) => live.addEventListener('open', resolve, { once: true }));
  live.send(JSON.stringify({ type: 'auth', id: 'a', token: ann.accessToken }));
  await expect.poll(() => received, { timeout: 10_000 }).toContainEqual(expect.stringContaining('"id":"a","ok":true'));

  const group = (await ask('POST', '/api/v1/conversations', { name: 'team' })).body._id;
  const path = `/api/v1/conversations/${group}/topic`;
  expect(await ask('PUT', path, { topic: '' })).toMatchObject({ status: 422, body: { code: 'out-of-range' } });
  const set = await ask('PUT', path, { topic: 'Engines' });
  expect(set).toEqual({ status: 202, body: { _id: group, position: expect.any(String) } });
  expect(await ask('GET', path, undefined, set.body.position)).toEqual({ status: 200, body: { topic: 'Engines' } });
  await expect.poll(() => received, { timeout: 10_000 }).toContainEqual(expect.stringContaining('"topic":"Engines"'));

  live.send(JSON.stringify({ type: 'topic', id: 'b', conversationId: group, topic: 'Looms' }));
  await expect.poll(() => received, { timeout: 10_000 }).toContainEqual(expect.stringContaining('"topic":"Looms"'));
  live.close();

  const openapi = (await ask('GET', '/openapi.json')).body as unknown as { paths: Record<string, object> };
  expect(Object.keys(openapi.paths['/api/v1/conversations/{id}/topic'] ?? {}).sort()).toEqual(['get', 'put']);
  const ready = (await (await fetch(new URL('/readyz', server.url))).json()) as { parts: { name: string }[] };
  expect(ready.parts.map(({ name }) => name)).toContain('projection:topics');
}, 60_000);
