import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PUBLISH_MS } from '../../src/identity/signing-keys.ts';
import { freePort, type Server, startServer } from '../support/server.ts';
import { parley } from './terminal.ts';

type Key = Readonly<{ kid: string; state: string; signsFrom: number }>;

let env: Record<string, string>;
let server: Server;

beforeAll(async () => {
  const DATA_DIR = await mkdtemp(join(tmpdir(), 'parley-cli-keys-'));
  env = { PORT: String(await freePort()), DATA_DIR };
  server = await startServer(env);
});
afterAll(async () => {
  await server.kill();
  await rm(env.DATA_DIR ?? '', { recursive: true });
});

async function keysOf(...argv: readonly string[]): Promise<readonly Key[]> {
  const { code, out, err } = await parley(env, ...argv, '--json');
  expect({ code, err }).toEqual({ code: 0, err: [] });
  return JSON.parse(out.join('\n')).keys;
}

async function published(): Promise<readonly string[]> {
  const response = await fetch(new URL('/.well-known/jwks.json', server.url));
  const { keys } = (await response.json()) as { keys: readonly { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

describe('while the server runs', () => {
  it('keys rotate publishes the next key at once, and it signs 15 minutes later', async () => {
    const [first, ...others] = await keysOf('keys', 'list');
    expect(others).toEqual([]);
    expect(first).toMatchObject({ state: 'current', signsFrom: 0 });
    const before = Date.now();
    const rotated = await keysOf('keys', 'rotate');
    expect(rotated).toMatchObject([first, { state: 'next' }]);
    const signsFrom = rotated[1]?.signsFrom ?? 0;
    expect(signsFrom).toBeGreaterThanOrEqual(before + PUBLISH_MS);
    expect(signsFrom).toBeLessThanOrEqual(Date.now() + PUBLISH_MS);
    expect(await published()).toEqual(rotated.map(({ kid }) => kid));

    const { code, out, err } = await parley(env, 'keys', 'rotate');
    const at = new Date(signsFrom).toISOString();
    expect({ code, out }).toEqual({ code: 1, out: [] });
    expect(err).toEqual([`the next key is published already, and signs from ${at}`]);
    const list = await parley(env, 'keys', 'list');
    expect(list.out[0]).toMatch(/^KEY +STATE +SIGNS FROM$/);
    expect(list.out[1]).toMatch(new RegExp(`^${first?.kid} +current +the start$`));
    expect(list.out[2]).toMatch(new RegExp(`^${rotated[1]?.kid} +next +${at}$`));
  });

  it('keys rotate --now leaves one key', async () => {
    const before = await published();
    const rotated = await keysOf('keys', 'rotate', '--now');
    expect(rotated).toMatchObject([{ state: 'current' }]);
    expect(before).not.toContain(rotated[0]?.kid);
    expect(await published()).toEqual(rotated.map(({ kid }) => kid));
  });
});

it('without a running server, the keys are rotated in the data itself', async () => {
  const before = await keysOf('keys', 'list');
  await server.kill();
  const rotated = await keysOf('keys', 'rotate');
  expect(rotated).toMatchObject([before[0], { state: 'next' }]);
  server = await startServer(env);
  expect(await published()).toEqual(rotated.map(({ kid }) => kid));
});

it.each([
  [['keys', 'rotate', 'x'], 'keys rotate takes no arguments'],
  [['keys', 'list', 'x'], 'keys list takes no arguments'],
])('%j is a wrong use', async (argv, message) => {
  const { code, err } = await parley(env, ...argv);
  expect({ code, first: err[0] }).toEqual({ code: 2, first: message });
});
