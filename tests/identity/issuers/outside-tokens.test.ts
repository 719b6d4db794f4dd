import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { importJWK, SignJWT } from 'jose';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createWebDocuments } from '../../../src/adapters/web/web-documents.ts';
import { REFRESH_MS, REREAD_MS, STALE_MS } from '../../../src/identity/issuers/key-set.ts';
import { createOutsideTokens, type OutsideTokens } from '../../../src/identity/issuers/outside-tokens.ts';
import type { IssuerSettings } from '../../../src/identity/issuers/settings.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import { TestIssuer } from '../../support/issuer.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { system } from '../../support/stores.ts';

const OWN = 'https://parley.test';
const invalid = { code: 'unauthenticated' };
const away = { code: 'unavailable' };

let issuer: TestIssuer;
let clock: ManualClock;
let tokens: OutsideTokens;
/** What was logged. */
let lines: { level: string; fields: object; message: string }[];

beforeEach(async () => {
  issuer = await TestIssuer.start();
  clock = manualClock();
  lines = [];
  tokens = create({});
  return () => issuer.close();
});

function recordingLogger(): Logger {
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function create(settings: Partial<IssuerSettings>): OutsideTokens {
  const all = {
    discovered: [{ issuer: issuer.url, alg: 'RS256' as const }],
    pinned: null,
    audience: 'parley',
    clients: [],
    ...settings,
  };
  // The documents are read on the system's clock: their time limit is not part of these tests.
  const webDocuments = createWebDocuments({ clock: system.clock });
  const { random } = system;
  const created = createOutsideTokens({
    webDocuments,
    clock,
    random,
    logger: recordingLogger(),
    settings: all,
    ownIssuer: OWN,
  });
  if (created === null) throw new Error('no issuer is configured');
  return created;
}

describe('a token of an issuer', () => {
  it('is verified with the keys that the issuer publishes, which are read once', async () => {
    const claims = { preferred_username: 'ada', given_name: 'Ada', family_name: 'Lovelace', auth_time: 1_000 };
    const token = await issuer.token(clock.now(), { ...claims, email: 'ada@example.org', email_verified: true });
    const all = await Promise.all(Array.from({ length: 20 }, () => tokens.verify(token)));
    expect(all[19]).toEqual({
      person: {
        issuer: issuer.url,
        subject: 'ada',
        email: 'ada@example.org',
        username: 'ada',
        firstname: 'Ada',
        lastname: 'Lovelace',
      },
      signedInAt: 1_000_000,
      expiresAt: (Math.floor(clock.now() / 1_000) + 3_600) * 1_000,
    });
    expect(issuer.reads).toEqual(['/.well-known/openid-configuration', '/keys']);
    expect(tokens.isGenuine(token)).toBe(true);
  });

  it('gives no address that the issuer has not verified', async () => {
    for (const email_verified of [false, undefined, 'true']) {
      const token = await issuer.token(clock.now(), { email: 'ada@example.org', email_verified });
      expect((await tokens.verify(token)).person.email).toBeNull();
    }
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['several audiences and no client', { aud: ['parley', 'other'], azp: undefined }],
    ['a client that is not a text', { azp: 7 }],
    ['no expiry', { exp: undefined }],
    ['an expiry that is not a number', { exp: '9999999999' }],
    ['no subject', { sub: undefined }],
    ['an empty subject', { sub: '' }],
    ['a subject of 256 characters', { sub: 'x'.repeat(256) }],
    ['a subject that is not a text', { sub: 7 }],
    ['the content of an ID token', { nonce: 'n' }],
    ['the hash of an access token', { at_hash: 'h' }],
    ['the type of an ID token of Keycloak', { typ: 'ID' }],
    ['the type of a refresh token of Keycloak', { typ: 'Refresh' }],
    ['the events of a logout token', { events: {} }],
    ['a key of its holder', { cnf: { jkt: 'x' } }],
    ['the header type of another kind', {}, { typ: 'logout+jwt' }],
    ['an unknown critical header', {}, { crit: ['x'], x: 1 }],
  ])('is refused with %s', async (_name, claims, header) => {
    // The library does not sign unknown critical headers; such a token is put together by hand.
    const token = header?.crit === undefined ? await issuer.token(clock.now(), claims, header) : await withCrit();
    await expect(tokens.verify(token)).rejects.toMatchObject(invalid);
    expect(tokens.isGenuine(token)).toBe(false);
    // The same token without the fault is accepted.
    await tokens.verify(await issuer.token(clock.now()));
  });

  async function withCrit(): Promise<string> {
    const [, payload = '', signature = ''] = (await issuer.token(clock.now())).split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: 'key 1', crit: ['x'], x: 1 })).toString('base64url');
    return `${header}.${payload}.${signature}`;
  }

  it.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['several audiences and a client', { aud: ['parley', 'other'] }],
    ['no client', { azp: undefined }],
    ['the client of RFC 9068', { azp: undefined, client_id: 'web' }],
    ['the type of RFC 9068', {}, { typ: 'at+jwt' }],
    ['the long form of that type', {}, { typ: 'application/at+jwt' }],
    ['no type', {}, { typ: undefined }],
    ['the nonce that earlier versions of Keycloak copy', { typ: 'Bearer', nonce: 'n' }],
    ['no key id, of an issuer with one key', {}, { kid: undefined }],
  ])('is accepted with %s', async (_name, claims, header) => {
    const token = await issuer.token(clock.now(), claims, header);
    await expect(tokens.verify(token)).resolves.toMatchObject({ person: { subject: 'ada' } });
  });

  it('is accepted from its nbf to its exp, with a tolerance of five seconds', async () => {
    const start = Math.ceil(clock.now() / 1_000) * 1_000;
    await clock.advance(start - clock.now());
    const token = await issuer.token(start, { nbf: start / 1_000 + 60, exp: start / 1_000 + 120 });
    const at = async (ms: number) => {
      await clock.advance(start + ms - clock.now());
      return tokens.verify(token);
    };
    await expect(at(54_999)).rejects.toMatchObject(invalid);
    await at(55_000);
    await at(124_999);
    expect(tokens.isGenuine(token)).toBe(true);
    await expect(at(125_000)).rejects.toMatchObject(invalid);
    // It is still known that the issuer signed it.
    expect(tokens.isGenuine(token)).toBe(true);
    await expect(create({}).verify(token)).rejects.toMatchObject(invalid);
  });

  it('is refused when it is longer than 8 KiB', async () => {
    const token = await issuer.token(clock.now(), { roles: 'x'.repeat(8_192) });
    expect(tokens.concerns(token)).toBe(false);
    await expect(tokens.verify(token)).rejects.toMatchObject(invalid);
  });

  it('belongs to an accepted client, where these are configured', async () => {
    const strict = create({ clients: ['web', 'app'] });
    await strict.verify(await issuer.token(clock.now(), { azp: 'app' }));
    for (const azp of ['other', undefined]) {
      const token = await issuer.token(clock.now(), { azp });
      await expect(strict.verify(token)).rejects.toMatchObject(invalid);
    }
  });
});

describe('the algorithm of an issuer', () => {
  it('is the configured one, also where the key fits another', async () => {
    const token = await issuer.token(clock.now());
    await expect(create({ discovered: [{ issuer: issuer.url, alg: 'PS256' }] }).verify(token)).rejects.toMatchObject(
      invalid,
    );
    await expect(create({ discovered: [{ issuer: issuer.url, alg: 'ES256' }] }).verify(token)).rejects.toMatchObject(
      invalid,
    );
  });

  it('is never none, nor symmetric with the public key as the secret', async () => {
    const [header = '', payload = ''] = (await issuer.token(clock.now())).split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'key 1' })).toString('base64url');
    await expect(tokens.verify(`${none}.${payload}.`)).rejects.toMatchObject(invalid);
    const [jwk = {}] = issuer.jwks.keys;
    const pem = createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ format: 'pem', type: 'spki' });
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'key 1' }).sign(Buffer.from(pem));
    await expect(tokens.verify(forged)).rejects.toMatchObject(invalid);
    await expect(tokens.verify(`${header}.${payload}.`)).rejects.toMatchObject(invalid);
  });

  it('a key that the token itself names or carries is not used', async () => {
    const own = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const jwk = own.publicKey.export({ format: 'jwk' });
    const [, payload = ''] = (await issuer.token(clock.now())).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const privateKey = await importJWK(own.privateKey.export({ format: 'jwk' }), 'RS256');
    for (const header of [{ jwk }, { jku: 'http://127.0.0.1:1/keys' }, { x5u: 'http://127.0.0.1:1/x5u' }]) {
      const forged = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'key 1', ...header });
      await expect(tokens.verify(await forged.sign(privateKey))).rejects.toMatchObject(invalid);
    }
  });

  it('an RSA key of less than 2,048 bits is ignored', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1_024 });
    issuer.jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'key 1' }] };
    await expect(tokens.verify(await issuer.token(clock.now()))).rejects.toMatchObject(invalid);
  });
});

describe('which issuer a token is of', () => {
  it('a token of this installation, of an unknown issuer and of none is not of an outside issuer', async () => {
    for (const iss of [OWN, 'https://elsewhere.test', `${issuer.url}/`, undefined]) {
      const token = await issuer.token(clock.now(), { iss });
      expect(tokens.concerns(token)).toBe(false);
      await expect(tokens.verify(token)).rejects.toMatchObject(invalid);
    }
    for (const token of ['', 'x', 'a.b.c', `${'a.'.repeat(4)}b`]) expect(tokens.concerns(token)).toBe(false);
  });

  it('one issuer cannot sign for another', async () => {
    const other = await TestIssuer.start();
    const both = create({ discovered: [issuer, other].map(({ url }) => ({ issuer: url, alg: 'RS256' as const })) });
    await both.verify(await other.token(clock.now()));
    await expect(both.verify(await other.token(clock.now(), { iss: issuer.url }))).rejects.toMatchObject(invalid);
    await other.close();
  });
});

describe('a pinned key', () => {
  const pinnedKey = () => createPublicKey({ key: { ...issuer.jwks.keys[0] }, format: 'jwk' });
  const pinned = (issuerUrl: string | null) => ({ key: pinnedKey(), alg: 'RS256' as const, issuer: issuerUrl });

  it('verifies tokens without any request', async () => {
    const own = create({ discovered: [], pinned: pinned(issuer.url) });
    await own.verify(await issuer.token(clock.now()));
    await expect(own.verify(await issuer.token(clock.now(), { iss: 'https://elsewhere.test' }))).rejects.toMatchObject(
      invalid,
    );
    await issuer.addKey();
    await expect(own.verify(await issuer.token(clock.now()))).rejects.toMatchObject(invalid);
    expect(issuer.reads).toEqual([]);
  });

  it('without an issuer verifies those of every name, except this installation and the other issuers', async () => {
    const other = await TestIssuer.start();
    const own = create({ discovered: [{ issuer: other.url, alg: 'RS256' }], pinned: pinned(null) });
    const token = await issuer.token(clock.now());
    await expect(own.verify(token)).resolves.toMatchObject({ person: { issuer: issuer.url } });
    for (const iss of [OWN, other.url, undefined]) {
      await expect(own.verify(await issuer.token(clock.now(), { iss }))).rejects.toMatchObject(invalid);
    }
    await other.close();
  });

  it('without an audience accepts tokens for others too', async () => {
    const token = await issuer.token(clock.now(), { aud: 'other' });
    await expect(create({ discovered: [], pinned: pinned(issuer.url) }).verify(token)).rejects.toMatchObject(invalid);
    await create({ discovered: [], pinned: pinned(issuer.url), audience: null }).verify(token);
  });
});

describe('the keys of an issuer', () => {
  const keysRead = () => issuer.reads.filter((path) => path === '/keys').length;

  it('are read again for an unknown key id, at most once in ten seconds', async () => {
    await tokens.verify(await issuer.token(clock.now()));
    await issuer.addKey({ publish: false });
    const unknown = await issuer.token(clock.now());
    await clock.advance(REREAD_MS);
    for (let i = 0; i < 5; i++) await expect(tokens.verify(unknown)).rejects.toMatchObject(invalid);
    expect(keysRead()).toBe(2);
    await issuer.addKey();
    const next = await issuer.token(clock.now());
    await clock.advance(REREAD_MS - 1);
    await expect(tokens.verify(next)).rejects.toMatchObject(invalid);
    await clock.advance(1);
    await tokens.verify(next);
    expect(keysRead()).toBe(3);
  });

  it('that were withdrawn no longer verify a token, also one that was verified before', async () => {
    const token = await issuer.token(clock.now());
    await tokens.verify(token);
    issuer.jwks = { keys: [] };
    await issuer.addKey();
    await tokens.verify(token);
    await clock.advance(REFRESH_MS);
    // The first use reads the keys again in the background.
    await tokens.verify(token);
    await vi.waitUntil(() => keysRead() === 2);
    await vi.waitUntil(async () =>
      tokens.verify(token).then(
        () => false,
        () => true,
      ),
    );
    await expect(tokens.verify(token)).rejects.toMatchObject(invalid);
  });

  it('are kept for a day while the issuer is away', async () => {
    const claims = { exp: Math.floor(clock.now() / 1_000) + 200_000 };
    await tokens.verify(await issuer.token(clock.now()));
    issuer.isAway = true;
    for (let hour = 1; hour < 24; hour++) {
      await clock.advance(3_600_000);
      const before = issuer.reads.length;
      await tokens.verify(await issuer.token(clock.now(), { ...claims, jti: String(hour) }));
      await vi.waitUntil(() => issuer.reads.length > before);
    }
    await clock.advance(STALE_MS - 23 * 3_600_000);
    await expect(tokens.verify(await issuer.token(clock.now(), { ...claims, jti: 'last' }))).rejects.toMatchObject(
      away,
    );
    issuer.isAway = false;
    await clock.advance(30_000);
    await tokens.verify(await issuer.token(clock.now(), { ...claims, jti: 'back' }));
    expect(lines.filter(({ message }) => message.includes('cannot be read'))).toHaveLength(1);
    expect(lines.at(-1)).toMatchObject({ level: 'info', fields: { issuer: issuer.url } });
  });

  it('that are unknown are unavailable while the issuer is away, not invalid', async () => {
    await tokens.verify(await issuer.token(clock.now()));
    await issuer.addKey();
    const next = await issuer.token(clock.now());
    issuer.isAway = true;
    await clock.advance(REREAD_MS);
    await expect(tokens.verify(next)).rejects.toMatchObject(away);
    issuer.isAway = false;
    await clock.advance(REREAD_MS);
    await tokens.verify(next);
  });

  it('are tried again with growing pauses, however many tokens come', async () => {
    issuer.isAway = true;
    const token = await issuer.token(clock.now());
    for (let i = 0; i < 100; i++) await expect(tokens.verify(token)).rejects.toMatchObject(away);
    expect(issuer.reads).toHaveLength(1);
    for (let second = 0; second < 300; second++) {
      await clock.advance(1_000);
      await expect(tokens.verify(token)).rejects.toMatchObject(away);
    }
    expect(issuer.reads.length).toBeGreaterThan(10);
    expect(issuer.reads.length).toBeLessThan(30);
  });

  it.each<[string, string, number | string | ((url: string) => string)]>([
    [
      'a configuration of another issuer',
      '/.well-known/openid-configuration',
      '{"issuer":"https://elsewhere.test","jwks_uri":"https://elsewhere.test/keys"}',
    ],
    ['a configuration without keys', '/.well-known/openid-configuration', (url) => JSON.stringify({ issuer: url })],
    [
      'a jwks_uri with another scheme',
      '/.well-known/openid-configuration',
      (url) => JSON.stringify({ issuer: url, jwks_uri: 'file:///etc/passwd' }),
    ],
    ['a configuration that is not JSON', '/.well-known/openid-configuration', '<html>'],
    ['a configuration that is null', '/.well-known/openid-configuration', 'null'],
    ['a failing configuration', '/.well-known/openid-configuration', 500],
    ['a redirect', '/.well-known/openid-configuration', 302],
    ['keys that are no list', '/keys', '{"keys":{}}'],
    ['no keys', '/keys', 404],
    ['keys of more than 256 KiB', '/keys', `{"keys":[],"x":"${'x'.repeat(256 * 1_024)}"}`],
  ])('cannot be read from %s', async (_name, path, answer) => {
    issuer.answers.set(path, typeof answer === 'function' ? answer(issuer.url) : answer);
    const token = await issuer.token(clock.now());
    await expect(tokens.verify(token)).rejects.toMatchObject(away);
    expect(lines).toMatchObject([{ level: 'warn', fields: { issuer: issuer.url, reason: expect.any(String) } }]);
    issuer.answers.clear();
    await clock.advance(1_000);
    await tokens.verify(token);
  });
});
