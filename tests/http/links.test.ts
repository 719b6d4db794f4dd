import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPasswordLinks } from '../../src/identity/links.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import { type Asking, expectProblem, linkToken, PASSWORD, type Server, startServer } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';

const DAY = 24 * 60 * 60_000;
const clock = manualClock();

let server: Server;
let count = 0;
let email: string;
let userId: string;
let token: string;

beforeAll(async () => {
  server = await startServer({ clock });
});
afterAll(() => server.close());
beforeEach(async () => {
  email = `name${++count}@example.org`;
  userId = (await register()).json._id;
  token = await linkToken(server, userId);
});

const register = () =>
  server.ask(null, { method: 'POST', url: '/api/v1/users', payload: { email, username: `name${++count}` } });
const set = (given: string, password = PASSWORD) =>
  server.ask(null, {
    method: 'POST',
    url: '/api/v1/passwords',
    payload: { token: given, password, confirmPassword: password },
  });

/** Expects a 403 wherever a token is accepted: for the check, the route, the page and its form. */
async function expectRefused(given: string, password = PASSWORD): Promise<void> {
  const url = `/api/v1/password-tokens/${encodeURIComponent(given)}`;
  expectProblem(await server.ask(null, { method: 'GET', url }), 403, 'invalid-link');
  expectProblem(await set(given, password), 403, 'invalid-link');
  const page = await server.ask(null, { method: 'GET', url: `/set-password?token=${encodeURIComponent(given)}` });
  expect(page.status).toBe(403);
  const form = { token: given, password, confirmPassword: password };
  expect((await server.ask(null, { method: 'POST', url: '/set-password', form })).status).toBe(403);
}

/** Events of passwords that were set. */
const passwords = async (): Promise<number> =>
  (await server.log.readStream(`user-${userId}`)).events.filter(({ type }) => type === 'PasswordSet').length;

describe('a mailed link', () => {
  it('is not used up by GET, HEAD and OPTIONS, however often', async () => {
    const before = await server.log.head();
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'GET', 'HEAD'] as const) {
      for (const url of [`/set-password?token=${token}`, `/api/v1/password-tokens/${token}`, '/api/v1/passwords']) {
        await server.ask(null, { method: method as Asking['method'], url });
      }
    }
    expect(await server.log.head()).toBe(before);
    expect((await set(token)).status).toBe(202);
    expect(await passwords()).toBe(1);
  });

  it('is answered to HEAD like to GET', async () => {
    for (const [given, statuses] of [
      [token, [200, 204]],
      ['x', [403, 403]],
    ] as const) {
      const urls = [`/set-password?token=${given}`, `/api/v1/password-tokens/${given}`];
      const answers = await Promise.all(urls.map((url) => server.ask(null, { method: 'HEAD', url })));
      expect(answers.map(({ status }) => status)).toEqual(statuses);
    }
  });

  it('that was used is refused for another password, and for the same one after some minutes', async () => {
    expect((await set(token)).status).toBe(202);
    await expectRefused(token, 'another password');
    expect((await set(token)).status).toBe(202);
    await clock.advance(10 * 60_000);
    await expectRefused(token);
    expect(await passwords()).toBe(1);
  });

  it('that was replaced by a newer one is refused, before and after the newer one was used', async () => {
    await register();
    await expectRefused(token);
    const newest = await linkToken(server, userId);
    expect((await set(newest)).status).toBe(202);
    await expectRefused(token);
    expect(await passwords()).toBe(1);
  });

  it('is refused after a day', async () => {
    await clock.advance(DAY - 1);
    expect((await server.ask(null, { method: 'GET', url: `/api/v1/password-tokens/${token}` })).status).toBe(204);
    await clock.advance(1);
    await expectRefused(token);
    expect(await passwords()).toBe(0);
  });

  it('of another installation, of another user or with a changed character is refused', async () => {
    const links = createPasswordLinks(deriveSecrets('a secret of another server, as long').links);
    const { events } = await server.log.readStream(`user-${userId}`);
    const linkId = String(events.at(-1)?.data.linkId);
    const other = (await register()).json._id as string;
    const good = await linkToken(server, userId);
    const mangled = [...good].map(
      (character, i) => `${good.slice(0, i)}${character === 'A' ? 'B' : 'A'}${good.slice(i + 1)}`,
    );
    const foreign = [links.token({ userId, linkId }), links.token({ userId: other, linkId })];
    const cut = [good.slice(1), good.slice(0, -1), `${good}A`, `${good}=`, ` ${good}`, ''];
    for (const given of [...foreign, ...mangled]) expectProblem(await set(given), 403, 'invalid-link');
    for (const given of [...foreign, ...cut.slice(0, 4)]) await expectRefused(given);
    for (const given of cut) expectProblem(await set(given), 403, 'invalid-link');
    expect(await passwords()).toBe(0);
    expect((await set(good)).status).toBe(202);
  });
});
