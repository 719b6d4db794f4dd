import { buffer } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromBufferPromise } from 'yauzl';
import { zipOf } from '../../src/http/request/zip.ts';
import { expectProblem, group, type Person, type Server, signUp, startServer } from '../support/http.ts';

/** The files of an archive, as another library reads them. */
async function unzip(bytes: Buffer): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  const zip = await fromBufferPromise(bytes, {});
  for await (const entry of zip.eachEntry()) {
    files.set(entry.fileName, (await buffer(await zip.openReadStreamPromise(entry))).toString());
  }
  return files;
}

describe('GET /api/v1/users/me/export', () => {
  let server: Server;
  let ann: Person;
  let bob: Person;
  beforeEach(async () => {
    server = await startServer();
    [ann, bob] = [await signUp(server, 'ann', { firstname: 'Ännchen' }), await signUp(server, 'bob')];
  });
  afterEach(() => server.close());

  async function exportOf(person: Person): Promise<ReadonlyMap<string, string>> {
    const headers = { authorization: `Bearer ${person.accessToken}`, 'min-position': (await server.log.head()) ?? '' };
    const response = await server.app.inject({ method: 'GET', url: '/api/v1/users/me/export', headers });
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({
      'content-type': 'application/zip',
      'content-disposition': 'attachment; filename="parley-export.zip"',
      'cache-control': 'no-store',
    });
    return unzip(response.rawPayload);
  }

  it('has everything about the person, and nothing that others wrote', async () => {
    const id = await group(server, ann, bob);
    const url = `/api/v1/conversations/${id}/messages`;
    for (let n = 0; n < 130; n++) await server.ask(ann, { method: 'POST', url, payload: { content: `ann ${n} äöü` } });
    await server.ask(bob, { method: 'POST', url, payload: { content: 'of bob' } });
    await server.ask(ann, { method: 'PUT', url: `/api/v1/conversations/${id}/read`, payload: {} });
    const files = await exportOf(ann);
    expect([...files.keys()]).toEqual([
      'profile.json',
      'account-history.json',
      'sessions-history.json',
      'read-marks-history.json',
      'conversations.json',
      'messages.json',
    ]);
    const json = (name: string) => JSON.parse(files.get(name) ?? '');
    expect(json('profile.json')).toMatchObject({ _id: ann.userId, email: ann.email, firstname: 'Ännchen' });
    const account = json('account-history.json');
    expect(account.map(({ event }: { event: string }) => event)).toEqual([
      'UserRegistered',
      'PasswordLinkIssued',
      'PasswordSet',
    ]);
    expect(account[0].data).toMatchObject({ email: ann.email, username: 'ann' });
    expect(json('sessions-history.json')).toMatchObject([
      { event: 'SessionStarted', data: { userAgent: 'lightMyRequest' } },
    ]);
    expect(json('read-marks-history.json')).toMatchObject([{ event: 'ConversationOpened', data: { readSeq: 131 } }]);
    expect(json('conversations.json')).toMatchObject([{ _id: id, name: 'team', ownerId: ann.userId, readSeq: 131 }]);
    const contents = json('messages.json').map(({ content }: { content: string }) => content);
    expect(contents).toEqual(Array.from({ length: 130 }, (_, n) => `ann ${n} äöü`));
    const all = [...files.values()].join('');
    for (const secret of ['of bob', bob.email, 'argon2', ann.refreshToken]) expect(all).not.toContain(secret);
  });

  it('is of one person only, and requires a session', async () => {
    await group(server, ann);
    const files = await exportOf(bob);
    expect([files.get('conversations.json'), files.get('messages.json')]).toEqual(['[]\n', '[]\n']);
    expect([...files.values()].join('')).not.toContain(ann.userId);
    expectProblem(await server.ask(null, { method: 'GET', url: '/api/v1/users/me/export' }), 401, 'unauthenticated');
  });
});

it('exports are limited per user', async () => {
  const server = await startServer({ config: { rateLimits: {} } });
  try {
    const [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    const ask = (person: Person) => server.ask(person, { method: 'GET', url: '/api/v1/users/me/export' });
    expect([(await ask(ann)).status, (await ask(ann)).status]).toEqual([200, 200]);
    const limited = await ask(ann);
    expectProblem(limited, 429, 'too-many-requests');
    expect(Number(limited.headers['retry-after'])).toBeGreaterThan(600);
    expect((await ask(bob)).status).toBe(200);
  } finally {
    await server.close();
  }
});

describe('zipOf', () => {
  const chunk = (n: number): string =>
    Array.from({ length: 2_000 }, (_, i) => (n * 7_919 + i * 104_729).toString(36)).join('');

  it('makes no more content than its reader takes, and ends the content when it is destroyed', async () => {
    let made = 0;
    let ended = false;
    async function* endless() {
      try {
        for (;;) yield chunk(made++);
      } finally {
        ended = true;
      }
    }
    const archive = zipOf([{ name: 'endless', content: endless }], 0);
    const bytes = archive[Symbol.asyncIterator]();
    await bytes.next();
    let before = -1;
    // It stands still once the buffers are full.
    for (let quiet = 0; quiet < 20; ) {
      await turn();
      quiet = made === before ? quiet + 1 : 0;
      before = made;
      expect(made).toBeLessThan(200);
    }
    archive.destroy();
    await vi.waitFor(() => expect(ended).toBe(true));
  });

  it('is destroyed by an error of its content, instead of ending as if it were complete', async () => {
    async function* failing() {
      yield chunk(1);
      throw new Error('the store is away');
    }
    const archive = zipOf(
      [
        { name: 'failing', content: failing },
        { name: 'never', content: failing },
      ],
      0,
    );
    await expect(buffer(archive)).rejects.toThrow('the store is away');
  });
});
