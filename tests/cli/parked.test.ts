import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Server, startServer } from '../support/server.ts';
import { service } from '../support/services.ts';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';
import { parley, type Run } from './terminal.ts';

service('SMTP server in the test');

type Parked = Readonly<{ items: readonly Readonly<{ id: string; lastError: string }>[]; total: number }>;

const rejected = 'the mail server answered 550 5.1.1 to RCPT TO';
const addresses = ['ann@example.org', 'bob@example.org', 'cid@example.org'];

let smtp: TestSmtpServer;
let isRejecting = true;
let env: Record<string, string>;
let server: Server;
let socketPath: string;

beforeAll(async () => {
  smtp = await startSmtpServer(() => (isRejecting ? 550 : 'take'));
  const DATA_DIR = await mkdtemp(join(tmpdir(), 'parley-cli-'));
  socketPath = join(DATA_DIR, 'operator.sock');
  env = { PORT: String(await freePort()), DATA_DIR, SMTP_URL: smtp.url, MAIL_FROM: 'no-reply@parley.test' };
  server = await startServer(env);
});
afterAll(async () => {
  await server.kill();
  await smtp.close();
  await rm(env.DATA_DIR ?? '', { recursive: true });
});

/** Registers a user whose mail is rejected. */
async function register(email: string): Promise<void> {
  const body = JSON.stringify({ email, username: email.replace('@', '.') });
  const headers = { 'content-type': 'application/json' };
  const { status } = await fetch(new URL('/api/v1/users', server.url), { method: 'POST', headers, body });
  expect(status).toBe(202);
}

const list = async (...options: readonly string[]): Promise<Parked> => {
  const { code, out } = await parley(env, 'parked', 'list', '--json', ...options);
  expect(code).toBe(0);
  return JSON.parse(out.join('\n'));
};

/** Waits until so many mails are parked; each call of the server takes its time. */
async function parked(count: number): Promise<Parked> {
  for (let calls = 0; calls < 2_000; calls++) {
    const found = await list();
    if (found.total === count) return found;
  }
  throw new Error(`there are not ${count} parked mails`);
}

function ask(path: string, body: unknown): Promise<Readonly<{ status: number | undefined; body: unknown }>> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', connection: 'close' };
    const asked = request({ socketPath, path, method: 'POST', headers }, (response) => {
      json(response).then((answer) => resolve({ status: response.statusCode, body: answer }), reject);
    });
    asked.on('error', reject);
    asked.end(JSON.stringify(body));
  });
}

describe('while the embedded server runs', () => {
  it('parked list shows the mails that were given up, without personal data', async () => {
    expect(await list()).toEqual({ items: [], total: 0 });
    expect((await parley(env, 'parked', 'list')).out).toEqual(['0 effects parked']);
    for (const [index, address] of addresses.entries()) {
      await register(address);
      await parked(index + 1);
    }
    const { items } = await list();
    expect(items.map(({ lastError }) => lastError)).toEqual([rejected, rejected, rejected]);

    const { code, out } = await parley(env, 'parked', 'list', '--limit=2');
    expect(code).toBe(0);
    expect(out).toHaveLength(4);
    expect(out[0]).toMatch(/^ID +PARKED AT +REACTION +EVENT +ATTEMPTS +LAST ERROR$/);
    expect(out[1]).toMatch(
      new RegExp(`^${items[0]?.id} +\\d{4}-\\S+Z +account-mails +PasswordLinkIssued +1 +${rejected}$`),
    );
    expect(out[3]).toBe('3 effects parked, the first 2 of them shown');
    expect(out.join('\n')).not.toMatch(/ann|bob|cid|example\.org/);
  });

  it('parked retry has a mail sent at once, and reports ids that are not parked', async () => {
    const { items } = await list();
    const id = items[0]?.id ?? '';
    isRejecting = false;
    expect(await parley(env, 'parked', 'retry', id)).toEqual({
      code: 0,
      out: ['1 effect will be attempted again'],
      err: [],
    });
    await smtp.waitForMail(addresses[0] ?? '');
    expect((await list()).items.map((item) => item.id)).toEqual(items.slice(1).map((item) => item.id));
    expect(await parley(env, 'parked', 'retry', id, 'unknown')).toEqual({
      code: 1,
      out: ['0 effects will be attempted again', `not parked: ${id}`, 'not parked: unknown'],
      err: [],
    });
  });

  it('the socket is for the owner of the data alone', async () => {
    const { mode } = await stat(socketPath);
    expect((await stat(socketPath)).isSocket()).toBe(true);
    expect(mode & 0o777).toBe(0o600);
  });

  it.each([
    ['/operations/parked-list', { limit: 0 }, 422, 'out-of-range'],
    ['/operations/parked-list', { limit: 1, more: true }, 400, 'malformed'],
    ['/operations/parked-retry', { ids: [] }, 400, 'malformed'],
    ['/operations/unknown', {}, 404, 'not-found'],
    ['/api/v1/users', {}, 404, 'not-found'],
  ])('POST %s %j on the socket is answered %i', async (path, body, status, code) => {
    expect(await ask(path, body)).toMatchObject({ status, body: { status, code } });
  });

  it('operations are not reachable over the network', async () => {
    const headers = { 'content-type': 'application/json' };
    const url = new URL('/operations/parked-list', server.url);
    const { status } = await fetch(url, { method: 'POST', headers, body: '{"limit":1}' });
    expect(status).toBe(404);
  });

  it.skipIf(process.getuid?.() === 0)('a socket that may not be opened is reported in words', async () => {
    await chmod(socketPath, 0);
    const { code, err } = await parley(env, 'parked', 'list');
    await chmod(socketPath, 0o600);
    expect({ code, err }).toEqual({ code: 1, err: [expect.stringMatching(/^the server is that of another user: /)] });
  });
});

describe('without a running server', () => {
  /** The last run of the CLI, which has opened the stores itself. */
  let run: Run;

  it('after a crash, the commands work on the data itself, although its socket is left', async () => {
    await server.kill();
    expect((await stat(socketPath)).isSocket()).toBe(true);
    expect(await list()).toMatchObject({ total: 2, items: [{ lastError: rejected }, { lastError: rejected }] });
    run = await parley(env, 'parked', 'retry', '--all');
    expect(run).toEqual({ code: 0, out: ['2 effects will be attempted again'], err: [] });
    expect(await list()).toEqual({ items: [], total: 0 });
    // Nothing but the server sends mails.
    expect(smtp.mails).toHaveLength(1);
  });

  it('the server sends what was retried once it runs, and removes its socket when it stops', async () => {
    server = await startServer(env);
    for (const address of addresses.slice(1)) await smtp.waitForMail(address);
    expect(await list()).toEqual({ items: [], total: 0 });
    expect(await server.stop()).toBe(0);
    await expect(stat(socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(smtp.mails.map(({ recipients }) => recipients[0]).toSorted()).toEqual(addresses);
  });

  it('commands leave the data to the server that starts next', async () => {
    expect((await list()).total).toBe(0);
    server = await startServer(env);
    expect((await list()).total).toBe(0);
    expect(await readFile(join(env.DATA_DIR ?? '', 'secret'), 'utf8')).toMatch(/\S{32,}/);
  });
});
