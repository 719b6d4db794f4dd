import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BODY_MAX } from '../../src/http/app.ts';
import type { Position } from '../../src/kernel/position.ts';
import { type Asking, expectProblem, group, type Person, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;
let bob: Person;
let eve: Person;
let team: string;
let before: Position | null;

beforeAll(async () => {
  server = await startServer();
  [ada, bob, eve] = await Promise.all([signUp(server, 'ada'), signUp(server, 'bob'), signUp(server, 'eve')]);
  team = await group(server, ada, bob);
});
afterAll(() => server.close());
beforeEach(async () => {
  before = await server.log.head();
});

/** A rejected request writes nothing. */
async function nothingWritten(): Promise<void> {
  expect(await server.log.head()).toBe(before);
}

const send = (more: Partial<Asking>): Asking => ({
  method: 'POST',
  url: `/api/v1/conversations/${team}/messages`,
  ...more,
});

describe('a body of the wrong shape is rejected as malformed', () => {
  it.each([
    ['a wrong type', { content: 1 }, ['/content']],
    ['null instead of a string', { content: null }, ['/content']],
    ['a missing field', {}, ['/content']],
    ['an unknown field', { content: 'x', extra: true }, ['/extra']],
    ['a lone surrogate', { content: 'x\ud800' }, ['/content']],
    ['a wrong type in a list', { content: 'x', mentions: ['0'.repeat(24), 7] }, ['/mentions/1']],
    ['a string instead of a list', { content: 'x', mentions: 'x' }, ['/mentions']],
    ['a list', [], ['']],
    ['a number', 12, ['']],
    ['null', null, ['']],
  ])('%s', async (_name, body, paths) => {
    const payload = JSON.stringify(body);
    const answer = await server.ask(ada, send({ payload, headers: { 'content-type': 'application/json' } }));
    expectProblem(answer, 400, 'malformed', paths);
    await nothingWritten();
  });

  it.each([
    ['broken JSON', '{"content":'],
    ['JSON followed by other text', '{"content":"x"} y'],
    ['__proto__', '{"content":"x","__proto__":{"admin":true}}'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x63, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d])],
  ])('%s', async (_name, payload) => {
    const answer = await server.ask(ada, send({ payload, headers: { 'content-type': 'application/json' } }));
    expectProblem(answer, 400, 'malformed');
    await nothingWritten();
  });

  it('a missing body', async () => {
    expectProblem(await server.ask(ada, send({})), 400, 'malformed', ['']);
    const headers = { 'content-type': 'application/json' };
    expectProblem(await server.ask(ada, send({ headers, payload: '' })), 400, 'malformed', ['']);
  });

  it('a form with text instead of a number, or with invalid UTF-8', async () => {
    const read: Asking = { method: 'PUT', url: `/api/v1/conversations/${team}/read` };
    expectProblem(await server.ask(ada, { ...read, form: { seq: 'two' } }), 400, 'malformed', ['/seq']);
    expectProblem(await server.ask(ada, { ...read, form: { seq: ['0', '0'] } }), 400, 'malformed', ['/seq']);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expectProblem(await server.ask(ada, send({ headers, payload: 'content=%ff' })), 400, 'malformed');
    await nothingWritten();
  });
});

describe('a value out of range is 422', () => {
  it.each([
    ['empty text', { content: '' }, ['/content']],
    ['text of 16,385 characters', { content: 'x'.repeat(16_385) }, ['/content']],
    ['an invalid id', { content: 'x', messageId: 'X' }, ['/messageId']],
    ['too many mentions', { content: 'x', mentions: Array(101).fill('0'.repeat(24)) }, ['/mentions']],
    ['a reply to an invalid id', { content: 'x', replyTo: 'x' }, ['/replyTo']],
  ])('%s', async (_name, payload, paths) => {
    expectProblem(await server.ask(ada, send({ payload })), 422, 'out-of-range', paths);
    await nothingWritten();
  });

  it('reports each field, and is malformed when the shape of any field is wrong', async () => {
    const url = '/api/v1/users';
    const range = await server.ask(null, {
      method: 'POST',
      url,
      payload: { email: 'x', username: 'a b', firstname: '' },
    });
    expectProblem(range, 422, 'out-of-range', ['/email', '/username', '/firstname']);
    const both = await server.ask(null, { method: 'POST', url, payload: { email: 'x', username: 1 } });
    expectProblem(both, 400, 'malformed', ['/email', '/username']);
    await nothingWritten();
  });

  it('in a query string', async () => {
    const url = '/api/v1/conversations';
    expectProblem(await server.ask(ada, { method: 'GET', url, query: { limit: '101' } }), 422, 'out-of-range', [
      'limit',
    ]);
    expectProblem(await server.ask(ada, { method: 'GET', url, query: { limit: '0' } }), 422, 'out-of-range', ['limit']);
    expectProblem(await server.ask(ada, { method: 'GET', url, query: { limit: 'x' } }), 400, 'malformed', ['limit']);
    expectProblem(await server.ask(ada, { method: 'GET', url, query: { before: 'x' } }), 400, 'malformed', ['before']);
  });

  it('a mark after the last message', async () => {
    const answer = await server.ask(ada, {
      method: 'PUT',
      url: `/api/v1/conversations/${team}/read`,
      payload: { seq: 10_000 },
    });
    expectProblem(answer, 422, 'out-of-range', ['/seq']);
    await nothingWritten();
  });
});

describe('a body that is too large, or of another media type', () => {
  it('is 413 above 256 KiB', async () => {
    const content = 'x'.repeat(BODY_MAX);
    expectProblem(await server.ask(ada, send({ payload: { content } })), 413, 'too-large');
    await nothingWritten();
  });

  it.each(['text/plain', 'multipart/form-data; boundary=x', 'application/xml', 'nonsense'])(
    'is 415 as %s',
    async (type) => {
      const answer = await server.ask(ada, send({ payload: 'content=x', headers: { 'content-type': type } }));
      expectProblem(answer, 415, 'unsupported-media-type');
      await nothingWritten();
    },
  );
});

describe('a body with a Content-Encoding', () => {
  it.each(['gzip', 'br', 'deflate, identity', 'x', 'identity, gzip'])('is 415 as %s', async (encoding) => {
    const headers = { 'content-encoding': encoding };
    const asked: readonly Asking[] = [
      send({ payload: { content: 'x' }, headers }),
      { method: 'POST', url: '/api/v1/sessions', payload: { email: 'a@b.c', password: 'x' }, headers },
      { method: 'PUT', url: `/api/v1/conversations/${team}/read`, payload: {}, headers },
    ];
    for (const asking of asked) {
      const answer = await server.ask(ada, asking);
      expectProblem(answer, 415, 'unsupported-media-type');
      expect(answer.headers['accept-encoding']).toBe('identity');
    }
    const page = await server.ask(null, { method: 'POST', url: '/set-password', form: { token: 'x' }, headers });
    expect(page.status).toBe(415);
    const unknown = await server.ask(ada, { method: 'POST', url: '/no/such/path', payload: 'x', headers });
    expectProblem(unknown, 404, 'not-found');
    await nothingWritten();
  });

  it.each(['identity', 'Identity', ''])('is accepted as %j', async (encoding) => {
    const answer = await server.ask(
      ada,
      send({ payload: { content: 'x' }, headers: { 'content-encoding': encoding } }),
    );
    expect(answer.status).toBe(202);
  });

  it('is ignored on a request without a body', async () => {
    const asking: Asking = { method: 'GET', url: '/api/v1/conversations', headers: { 'content-encoding': 'gzip' } };
    expect((await server.ask(ada, asking)).status).toBe(200);
  });
});

describe('resources that do not exist, or that the caller may not know of, are 404', () => {
  it.each([
    ['GET', '/api/v1/conversations/0123456789abcdef01234567'],
    ['GET', '/api/v1/conversations/0123456789abcdef01234567/messages'],
    ['GET', '/api/v1/conversations/0123456789abcdef01234567/members'],
    ['GET', '/api/v1/conversations/not-an-id'],
    ['GET', '/api/v1/users/0123456789abcdef01234567'],
    ['GET', '/api/v1/users/not-an-id'],
    ['DELETE', '/api/v1/conversations/0123456789abcdef01234567'],
    ['DELETE', '/conversations/0123456789ABCDEF01234567/delete'],
    ['GET', '/no/such/path'],
    ['GET', '/api/v1/conversations/%00'],
  ] as const)('%s %s', async (method, url) => {
    expectProblem(await server.ask(ada, { method, url }), 404, 'not-found');
    await nothingWritten();
  });

  it("another's conversation looks like one that does not exist", async () => {
    const missing = '0123456789abcdef01234567';
    const asked: readonly Asking[] = [
      { method: 'GET', url: '/api/v1/conversations/ID' },
      { method: 'GET', url: '/api/v1/conversations/ID/messages' },
      { method: 'GET', url: '/api/v1/conversations/ID/members' },
      { method: 'POST', url: '/api/v1/conversations/ID/messages', payload: { content: 'x' } },
      { method: 'POST', url: '/conversations/ID', payload: { message_content: 'x' } },
      { method: 'POST', url: '/conversations/ID/members', payload: { participant_id: ada.userId } },
      { method: 'DELETE', url: `/conversations/ID/members/${bob.userId}` },
      { method: 'POST', url: '/conversations/ID/leave' },
      { method: 'DELETE', url: '/conversations/ID/delete' },
      { method: 'PUT', url: '/api/v1/conversations/ID/read', payload: { seq: 0 } },
    ];
    for (const asking of asked) {
      const at = (id: string) => server.ask(eve, { ...asking, url: String(asking.url).replace('ID', id) });
      const [theirs, none] = [await at(team), await at(missing)];
      expectProblem(theirs, 404, 'not-found');
      expect({ ...theirs.json, instance: '' }).toEqual({ ...none.json, instance: '' });
    }
    await nothingWritten();
  });

  it('users who do not exist cannot be added or written to', async () => {
    const missing = '0123456789abcdef01234567';
    const members: Asking = {
      method: 'POST',
      url: `/conversations/${team}/members`,
      payload: { participant_id: missing },
    };
    expectProblem(await server.ask(ada, members), 404, 'not-found');
    const groups: Asking = { method: 'POST', url: '/conversations/', payload: { name: 'x', participants: [missing] } };
    expectProblem(await server.ask(ada, groups), 404, 'not-found');
    const direct: Asking = {
      method: 'POST',
      url: `/api/v1/chat/convo/one-to-one/message?otherUserId=${missing}`,
      payload: { content: 'x' },
    };
    expectProblem(await server.ask(ada, direct), 404, 'not-found');
    await nothingWritten();
  });
});

describe('methods and paths', () => {
  it('lists the allowed methods', async () => {
    const answer = await server.ask(ada, { method: 'PATCH', url: '/api/v1/users/me' });
    expectProblem(answer, 405, 'method-not-allowed');
    expect(answer.headers.allow).toBe('DELETE, GET, HEAD');
  });

  it('rejects invalid percent-encoding in a path as malformed', async () => {
    expectProblem(await server.ask(ada, { method: 'GET', url: '/api/v1/%zz' }), 400, 'malformed');
  });

  it('answers 404 for a path that is longer than any route', async () => {
    expectProblem(
      await server.ask(null, { method: 'GET', url: `/api/v1/password-tokens/${'x'.repeat(300)}` }),
      404,
      'not-found',
    );
  });
});

describe('invalid headers are malformed', () => {
  it.each([
    ['Idempotency-Key', 'x'.repeat(129)],
    ['Idempotency-Key', 'schlüssel'],
    ['Idempotency-Key', ''],
  ])('%s %j', async (name, value) => {
    const answer = await server.ask(ada, send({ payload: { content: 'x' }, headers: { [name]: value } }));
    expectProblem(answer, 400, 'malformed', ['Idempotency-Key']);
    await nothingWritten();
  });

  it('Min-Position', async () => {
    const asking: Asking = { method: 'GET', url: '/api/v1/conversations' };
    const header = await server.ask(ada, { ...asking, headers: { 'min-position': 'a b' } });
    expectProblem(header, 400, 'malformed', ['Min-Position']);
    const head = (await server.log.head()) ?? '';
    for (const text of ['', 'x', '0', '-1', `${head}z`, `${head}0`, head.slice(1), '0'.repeat(16), '9'.repeat(16)]) {
      const answer = await server.ask(ada, { ...asking, query: { minPosition: text } });
      expectProblem(answer, 400, 'malformed', ['Min-Position']);
    }
  });
});
