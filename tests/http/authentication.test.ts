import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { bearerToken } from '../../src/http/request/authentication.ts';
import { expectProblem, group, type Person, PUBLIC_URL, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;
let team: string;

let hoursAhead = 0;

beforeAll(async () => {
  const system = createSystemClock();
  server = await startServer({ clock: { ...system, now: () => system.now() + hoursAhead * 3_600_000 } });
  ada = await signUp(server, 'ada');
  team = await group(server, ada);
});
afterAll(() => server.close());

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function expectRefused(accessToken: string): Promise<void> {
  const before = await server.log.head();
  const answer = await server.ask(
    { ...ada, accessToken },
    { method: 'POST', url: `/api/v1/conversations/${team}/messages`, payload: { content: 'x' } },
  );
  expectProblem(answer, 401, 'unauthenticated');
  expect(answer.headers['www-authenticate']).toBe('Bearer realm="parley", error="invalid_token"');
  expect(await server.log.head()).toBe(before);
}

describe('a route for signed-in users', () => {
  it('requires a token, before it reads the body', async () => {
    const answer = await server.ask(null, {
      method: 'POST',
      url: `/api/v1/conversations/${team}/messages`,
      payload: '{',
      headers: { 'content-type': 'application/json' },
    });
    expectProblem(answer, 401, 'unauthenticated');
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="parley"');
  });

  it('rejects invalid tokens and refresh tokens', async () => {
    await expectRefused('x');
    await expectRefused(ada.refreshToken);
    await expectRefused(`${ada.accessToken}x`);
  });

  it('rejects expired tokens', async () => {
    hoursAhead = 1;
    try {
      await expectRefused(ada.accessToken);
    } finally {
      hoursAhead = 0;
    }
  });

  it('rejects alg none', async () => {
    const claims = claimsOf(ada.accessToken);
    await expectRefused(`${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(claims)}.`);
    await expectRefused(`${encode({ alg: 'none' })}.${encode(claims)}.${ada.accessToken.split('.')[2]}`);
  });

  it('rejects a token signed with the public key as a secret', async () => {
    const { keys } = await server.identity.jwks();
    const [header] = ada.accessToken.split('.');
    const { kid } = JSON.parse(Buffer.from(header ?? '', 'base64url').toString());
    const token = await new SignJWT(claimsOf(ada.accessToken))
      .setProtectedHeader({ alg: 'HS256', kid, typ: 'at+jwt' })
      .sign(Buffer.from(JSON.stringify(keys[0])));
    await expectRefused(token);
  });

  it("rejects signatures of foreign keys, also under the id of the server's key", async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const [header] = ada.accessToken.split('.');
    const ours = JSON.parse(Buffer.from(header ?? '', 'base64url').toString());
    await expectRefused(await new SignJWT(claimsOf(ada.accessToken)).setProtectedHeader(ours).sign(privateKey));
    const jwk = await exportJWK(publicKey);
    const own = { ...ours, jwk, kid: 'mine', jku: 'http://evil.test/jwks.json' };
    await expectRefused(await new SignJWT(claimsOf(ada.accessToken)).setProtectedHeader(own).sign(privateKey));
  });

  it('rejects tokens of a session that has ended', async () => {
    const bob = await signUp(server, 'bob');
    const ended = await server.ask(bob, { method: 'DELETE', url: '/api/v1/sessions/current' });
    expect(ended.status).toBe(202);
    expect(ended.json._id).toBe(claimsOf(bob.accessToken).sid);
    expectProblem(await server.ask(bob, { method: 'GET', url: '/api/v1/users/me' }), 401, 'unauthenticated');
  });

  it('publishes its issuer and its public keys', async () => {
    const discovery = await server.ask(null, { method: 'GET', url: '/.well-known/openid-configuration' });
    expect(discovery.json).toEqual({
      issuer: PUBLIC_URL,
      jwks_uri: `${PUBLIC_URL}/.well-known/jwks.json`,
      id_token_signing_alg_values_supported: ['ES256'],
    });
    const { json } = await server.ask(null, { method: 'GET', url: '/.well-known/jwks.json' });
    expect(json).toEqual(await server.identity.jwks());
    expect(JSON.stringify(json)).not.toContain('"d"');
  });
});

describe('an Authorization header', () => {
  it.each([
    ['Bearer abc.def-_~+/=', 'abc.def-_~+/='],
    ['bearer   abc ', 'abc'],
    ['Basic abc', null],
    ['Bearer', null],
    ['Bearer a b', null],
    [undefined, null],
  ])('%j has the token %j', (header, token) => {
    expect(bearerToken(header)).toBe(token);
  });
});
