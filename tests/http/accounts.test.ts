import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Asking,
  expectProblem,
  linkToken,
  PASSWORD,
  type Person,
  read,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';

let server: Server;
let ada: Person;

beforeAll(async () => {
  server = await startServer();
  ada = await signUp(server, 'ada');
});
afterAll(() => server.close());

const register = (payload: object): Asking => ({ method: 'POST', url: '/api/v1/users', payload });

describe('signing up', () => {
  it('answers 202 with the location of the user', async () => {
    const payload = { email: 'grace@example.org', username: 'grace', firstname: 'Grace', lastname: 'Hopper' };
    const answer = await server.ask(null, register(payload));
    expect(answer.status).toBe(202);
    expect(Object.keys(answer.json)).toEqual(['_id']);
    expect(answer.headers.location).toBe(`/api/v1/users/${answer.json._id}`);
    const [registered] = (await server.log.readStream(`user-${answer.json._id}`)).events;
    expect(registered).toMatchObject({ type: 'UserRegistered', data: payload, position: expect.any(String) });
  });

  it('accepts forms as well as JSON', async () => {
    const form = { email: 'form@example.org', username: 'form', firstname: 'Fo Rm & Ünï' };
    const answer = await server.ask(null, { method: 'POST', url: '/api/v1/users/', form });
    expect(answer.status).toBe(202);
    const [registered] = (await server.log.readStream(`user-${answer.json._id}`)).events;
    expect(registered?.data).toMatchObject({ ...form, lastname: null });
  });

  it.each([
    ['fr-CH, fr;q=0.9, en;q=0.8', 'fr'],
    ['de', 'en'],
    [undefined, 'en'],
  ])('issues a link in the language that Accept-Language %j prefers', async (header, language) => {
    const username = `reader-${language}-${header?.length ?? 0}`;
    const headers = header === undefined ? {} : { 'accept-language': header };
    const answer = await server.ask(null, { ...register({ email: `${username}@example.org`, username }), headers });
    const [, issued] = (await server.log.readStream(`user-${answer.json._id}`)).events;
    expect(issued).toMatchObject({ type: 'PasswordLinkIssued', data: { language } });
  });

  it('answers the same for an address that is already in use', async () => {
    const again = await server.ask(null, register({ email: ada.email, username: 'other' }));
    expect(again.status).toBe(202);
    expect(again.json._id).not.toBe(ada.userId);
    expect(again.headers.location).toBe(`/api/v1/users/${again.json._id}`);
  });

  it('rejects a username that is taken', async () => {
    const answer = await server.ask(null, register({ email: 'new@example.org', username: 'ADA' }));
    expectProblem(answer, 409, 'username-taken', ['/username']);
  });

  it('registers once for the same key', async () => {
    const headers = { 'idempotency-key': 'sign-up-1' };
    const asking = { ...register({ email: 'once@example.org', username: 'once' }), headers };
    const [first, second] = [await server.ask(null, asking), await server.ask(null, asking)];
    expect(second.json._id).toBe(first.json._id);
    expect((await server.log.readStream(`user-${first.json._id}`)).events.map(({ type }) => type)).toEqual([
      'UserRegistered',
      'PasswordLinkIssued',
    ]);
  });
});

describe('the link to set a password', () => {
  let token: string;
  beforeAll(async () => {
    const answer = await server.ask(null, register({ email: 'alan@example.org', username: 'alan' }));
    token = await linkToken(server, answer.json._id);
  });
  const setPassword = (payload: object): Asking => ({ method: 'POST', url: '/api/v1/passwords', payload });

  it('is 204 while the link can be used, otherwise 403', async () => {
    const good = await server.ask(null, { method: 'GET', url: `/api/v1/password-tokens/${token}` });
    expect([good.status, good.text]).toEqual([204, '']);
    const bad = await server.ask(null, { method: 'GET', url: '/api/v1/password-tokens/nonsense' });
    expectProblem(bad, 403, 'invalid-link');
  });

  it('rejects weak passwords, different passwords and wrong tokens', async () => {
    const weak = await server.ask(null, setPassword({ token, password: 'short', confirmPassword: 'other' }));
    expectProblem(weak, 422, 'out-of-range', ['/password', '/confirmPassword']);
    const wrong = await server.ask(null, setPassword({ token: 'x', password: PASSWORD, confirmPassword: PASSWORD }));
    expectProblem(wrong, 403, 'invalid-link');
    const shape = await server.ask(null, setPassword({ token, password: 1, confirmPassword: 'lone \udc00' }));
    expectProblem(shape, 400, 'malformed', ['/password', '/confirmPassword']);
  });

  it('can be used once, and repeated only with the same password', async () => {
    const asking = setPassword({ token, password: PASSWORD, confirmPassword: PASSWORD });
    const headers = { 'idempotency-key': 'password-1' };
    const first = await server.ask(null, { ...asking, headers });
    expect(first.status).toBe(202);
    expect(first.headers.location).toBe('/api/v1/users/me');
    expect((await server.ask(null, { ...asking, headers })).json).toEqual(first.json);
    expect((await server.ask(null, asking)).json).toEqual(first.json);
    const other = { token, password: 'another password', confirmPassword: 'another password' };
    expectProblem(await server.ask(null, setPassword(other)), 403, 'invalid-link');
    expectProblem(
      await server.ask(null, { ...setPassword(other), headers: { 'idempotency-key': '2' } }),
      403,
      'invalid-link',
    );
  });
});

describe('the page of the mailed link', () => {
  const form = (fields: Record<string, string>): Asking => ({ method: 'POST', url: '/set-password', form: fields });

  it('sets the password without JavaScript', async () => {
    const registered = await server.ask(null, register({ email: 'page@example.org', username: 'page' }));
    const token = await linkToken(server, registered.json._id);
    const page = await server.ask(null, { method: 'GET', url: `/set-password?token=${token}` });
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.text).toContain(`name="token" value="${token}"`);
    expect(page.text).not.toContain('<script');

    const wrong = await server.ask(null, form({ token, password: 'short', confirmPassword: 'short' }));
    expect(wrong.status).toBe(422);
    expect(wrong.text).toContain('id="password-error">This must have at least 8 characters.');
    expect(wrong.text).toContain(`name="token" value="${token}"`);

    const done = await server.ask(null, form({ token, password: PASSWORD, confirmPassword: PASSWORD }));
    expect(done.status).toBe(200);
    expect(done.text).toContain('Your password is set');
    const credentials = { email: 'page@example.org', password: PASSWORD };
    expect((await server.ask(null, { method: 'POST', url: '/api/v1/sessions', form: credentials })).status).toBe(200);
  });

  it('shows the names of its registration, lets them be changed, and keeps what was entered', async () => {
    await server.ask(null, register({ email: 'victim@example.org', username: 'evil', firstname: 'Evil' }));
    const { events } = await server.log.readStream(`user-${await newestUser()}`);
    const userId = String(events[0]?.data.userId);
    await server.ask(null, register({ email: 'victim@example.org', username: 'vic', firstname: 'Vic' }));
    const token = await linkToken(server, userId);
    const page = await server.ask(null, { method: 'GET', url: `/set-password?token=${token}` });
    expect(page.text).toContain('name="username" type="text" autocomplete="username" required value="vic"');
    expect(page.text).toContain('name="firstname" type="text" autocomplete="given-name" value="Vic"');
    expect(page.text).not.toContain('evil');

    const entered = { token, password: PASSWORD, confirmPassword: PASSWORD, firstname: '', lastname: 'Tim' };
    const taken = await server.ask(null, form({ ...entered, username: 'ADA' }));
    expect(taken.status).toBe(409);
    expect(taken.text).toContain('value="ADA" aria-invalid="true" aria-describedby="username-error"');
    expect(taken.text).toContain('name="lastname" type="text" autocomplete="family-name" value="Tim"');
    const done = await server.ask(null, form({ ...entered, username: 'victor' }));
    expect(done.status).toBe(200);
    const credentials = { email: 'victim@example.org', password: PASSWORD };
    const { json } = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
    expect(json.user).toMatchObject({ _id: userId, username: 'victor', firstname: null, lastname: 'Tim' });
    const shown = await read(server, ada, `/api/v1/users/${userId}`);
    expect(shown.json).toMatchObject({ username: 'victor', firstname: null, displayName: 'Tim' });
    const found = await read(server, ada, '/api/v1/users?search=victor');
    expect(found.json.items.map(({ _id }: { _id: string }) => _id)).toEqual([userId]);
  });

  /** The id of the account that was opened last. */
  async function newestUser(): Promise<string> {
    const filter = { types: ['UserRegistered'] };
    const { events } = await server.log.readAll({ direction: 'backwards', from: null, limit: 1, filter });
    return String(events[0]?.data.userId);
  }

  it.each(['/set-password', '/set-password?token=nonsense', '/set-password?token=%22%3E%3Cscript%3E'])(
    'is a 403 page at %s',
    async (url) => {
      const page = await server.ask(null, { method: 'GET', url });
      expect(page.status).toBe(403);
      expect(page.text).toContain('This link does not work');
      expect(page.text).not.toContain('<script');
    },
  );

  it('shows errors of a form as a page', async () => {
    const page = await server.ask(null, { ...form({}), payload: 'x', headers: { 'content-type': 'text/plain' } });
    expect(page.status).toBe(415);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect((await server.ask(null, form({ token: 'x' }))).status).toBe(403);
  });

  it('has a policy that allows neither scripts nor frames', async () => {
    const page = await server.ask(null, { method: 'GET', url: '/' });
    expect(page.headers['content-security-policy']).toBe(
      "default-src 'none';style-src 'self';img-src 'self';form-action 'self';base-uri 'none';frame-ancestors 'none'",
    );
    expect(page.headers['referrer-policy']).toBe('no-referrer');
    expect(page.headers['x-content-type-options']).toBe('nosniff');
    const style = await server.ask(null, { method: 'GET', url: '/assets/parley.css' });
    expect([style.status, style.headers['content-type']]).toEqual([200, 'text/css; charset=utf-8']);
  });
});

describe('signing in', () => {
  const signIn = (payload: object): Asking => ({ method: 'POST', url: '/api/v1/sessions', payload });

  it('returns tokens and the user', async () => {
    const answer = await server.ask(null, signIn({ email: ada.email, password: PASSWORD }));
    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.json).toEqual({
      accessToken: expect.any(String),
      refreshToken: expect.any(String),
      tokenType: 'Bearer',
      expiresIn: expect.any(Number),
      user: {
        _id: ada.userId,
        username: 'ada',
        firstname: null,
        lastname: null,
        displayName: 'ada',
        online: null,
        lastSeenAt: null,
        email: ada.email,
        roles: [],
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
      position: (await server.log.head()) ?? '',
    });
  });

  it('answers the same for an unknown address and a wrong password', async () => {
    const wrong = await server.ask(null, signIn({ email: ada.email, password: 'something else' }));
    const unknown = await server.ask(null, signIn({ email: 'nobody@example.org', password: PASSWORD }));
    expectProblem(wrong, 401, 'unauthenticated');
    expect(unknown.text).toBe(wrong.text);
    expect(wrong.headers['www-authenticate']).toBe('Bearer realm="parley"');
  });

  it('refreshes a session, by JSON and by form', async () => {
    const url = '/api/v1/sessions/refresh';
    const { json } = await server.ask(null, signIn({ email: ada.email, password: PASSWORD }));
    const first = await server.ask(null, { method: 'POST', url, payload: { refreshToken: json.refreshToken } });
    expect(first.status).toBe(200);
    expect(first.json.position).toBe(await server.log.head());
    const second = await server.ask(null, { method: 'POST', url, form: { refreshToken: first.json.refreshToken } });
    expect(second.json.user).toEqual(json.user);
    expectProblem(
      await server.ask(null, { method: 'POST', url, payload: { refreshToken: 'x' } }),
      401,
      'unauthenticated',
    );
  });
});

describe('users', () => {
  it('see their own address, but not those of others', async () => {
    const bob = await signUp(server, 'bob');
    const me = await server.ask(bob, { method: 'GET', url: '/api/v1/users/me' });
    expect(me.json).toMatchObject({ _id: bob.userId, email: bob.email, roles: [] });
    const other = await read(server, ada, `/api/v1/users/${bob.userId}`);
    expect(other.json).toEqual({
      _id: bob.userId,
      username: 'bob',
      firstname: null,
      lastname: null,
      displayName: 'bob',
      online: null,
      lastSeenAt: null,
    });
  });

  it('are found by the start of a name, page by page, and only once they are active', async () => {
    const people = await Promise.all(['zoe.a', 'zoe.b', 'zoe.c'].map((name) => signUp(server, name)));
    const pending = await server.ask(null, register({ email: 'zoe@example.org', username: 'zoe.d' }));
    const minPosition = (await server.log.head()) ?? '';
    const search = (query: Record<string, string>) =>
      server.ask(ada, {
        method: 'GET',
        url: '/api/v1/users',
        query: { search: 'ZOÉ', limit: '2', minPosition, ...query },
      });
    const first = await search({});
    expect(first.json.items.map(({ _id }: { _id: string }) => _id)).toEqual([people[0]?.userId, people[1]?.userId]);
    const [, link = ''] = /^<(.+)>; rel="next"$/.exec(first.headers.link ?? '') ?? [];
    const second = await server.ask(ada, { method: 'GET', url: link });
    expect(second.json).toEqual({ items: [expect.objectContaining({ username: 'zoe.c' })], next: null });
    expect(second.headers.link).toBeUndefined();
    expectProblem(await search({ after: 'x' }), 400, 'malformed', ['after']);
    expectProblem(await server.ask(ada, { method: 'GET', url: `/api/v1/users/${pending.json._id}` }), 404, 'not-found');
  });
});
