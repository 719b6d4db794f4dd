import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, PASSWORD, type Person, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;

/** No read model exists: nothing of what these tests read can come from one. */
beforeAll(async () => {
  server = await startServer({ roles: ['api'] });
  ada = await signUp(server, 'ada', { firstname: 'Ada', lastname: 'Lovelace' });
});
afterAll(() => server.close());

const me = (accessToken: string, headers: Record<string, string> = {}) =>
  server.ask({ ...ada, accessToken }, { method: 'GET', url: '/api/v1/users/me', headers });

const profile = {
  username: 'ada',
  firstname: 'Ada',
  lastname: 'Lovelace',
  displayName: 'Ada Lovelace',
  online: null,
  lastSeenAt: null,
  email: 'ada@example.org',
  roles: [],
};

describe('the own profile', () => {
  it('is complete right after signing in and refreshing, however far the read models lag', async () => {
    const credentials = { email: ada.email, password: PASSWORD };
    const signedIn = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
    const { events } = await server.log.readStream(`user-${ada.userId}`);
    const expected = { _id: ada.userId, ...profile, createdAt: events[0]?.data.registeredAt };
    const shown = await me(signedIn.json.accessToken);
    expect([shown.status, shown.json]).toEqual([200, expected]);
    expectProblem(await server.ask(ada, { method: 'GET', url: `/api/v1/users/${ada.userId}` }), 503, 'not-yet-visible');
    expect(signedIn.json.user).toEqual(expected);

    const { refreshToken } = signedIn.json;
    const refreshed = await server.ask(null, {
      method: 'POST',
      url: '/api/v1/sessions/refresh',
      payload: { refreshToken },
    });
    expect((await me(refreshed.json.accessToken)).json).toEqual(expected);
  });

  it('includes every position that an answer carries, without waiting for a read model', async () => {
    const credentials = { email: ada.email, password: PASSWORD };
    const { json } = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
    expect((await me(json.accessToken, { 'min-position': json.position })).status).toBe(200);
    expect((await me(json.accessToken, { 'min-position': 'a b' })).status).toBe(400);
  });

  it('has a tag with the revision of the account', async () => {
    const { headers } = await me(ada.accessToken);
    const { events } = await server.log.readStream(`user-${ada.userId}`);
    expect(headers.etag).toMatch(new RegExp(`^"${events.at(-1)?.revision}-`));
    expect((await me(ada.accessToken, { 'if-none-match': headers.etag ?? '' })).status).toBe(304);
  });
});
