import { createHmac, generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWTPayload, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { type AccessTokens, createAccessTokens } from '../../src/identity/access-tokens.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const ISSUER = 'https://parley.test';
const USER = 'a'.repeat(24);
const SESSION = '0190d1a4-6f2b-7000-8000-000000000001';
const refused = {
  name: 'Refusal',
  code: 'unauthenticated',
  message: 'the access token is invalid or has expired; refresh it or sign in',
};

let keys: KeyStore;
let clock: ManualClock;
let tokens: AccessTokens;
beforeEach(async () => {
  keys = await openSqliteKeys({ path: ':memory:', secret: Buffer.alloc(32, 9), random: createSystemRandom() });
  clock = manualClock();
  tokens = await createAccessTokens({ keys, clock, issuer: ISSUER });
});
afterEach(() => keys.close());

const seconds = (): number => clock.now() / 1_000;
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const parse = (text: string | undefined) =>
  JSON.parse(Buffer.from(text ?? '', 'base64url').toString()) as Record<string, unknown>;

/** The private key that signs the tokens. */
async function ownKey() {
  const [name = ''] = await keys.list('signing/');
  const jwk = JSON.parse(Buffer.from((await keys.get(name)) ?? []).toString());
  return { key: await importJWK(jwk, 'ES256'), kid: await calculateJwkThumbprint(jwk) };
}

/** A valid token except for the given changes. */
async function forged(changes: { claims?: JWTPayload; header?: object; without?: string } = {}): Promise<string> {
  const { key, kid } = await ownKey();
  const claims: JWTPayload = {
    iss: ISSUER,
    aud: 'parley',
    sub: USER,
    sid: SESSION,
    iat: seconds(),
    exp: seconds() + 600,
    ...changes.claims,
  };
  if (changes.without !== undefined) delete claims[changes.without];
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...changes.header }).sign(key);
}

describe('an access token', () => {
  it('contains its user, session and use, and nothing else', async () => {
    const [header, payload] = (await tokens.sign(USER, SESSION)).split('.');
    expect(parse(header)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: tokens.jwks().keys[0]?.kid });
    expect(parse(payload)).toEqual({
      iss: ISSUER,
      aud: 'parley',
      sub: USER,
      sid: SESSION,
      iat: seconds(),
      exp: seconds() + 600,
    });
  });

  it('is verified, also when made by these tests', async () => {
    const contents = { userId: USER, sessionId: SESSION, issuedAt: clock.now(), expiresAt: clock.now() + 600_000 };
    expect(await tokens.verify(await tokens.sign(USER, SESSION))).toEqual(contents);
    expect(await tokens.verify(await forged())).toEqual(contents);
  });

  it('is refused once it has expired, even if it was verified before', async () => {
    const token = await tokens.sign(USER, SESSION);
    await tokens.verify(token);
    await clock.advance(600_000);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    await expect(tokens.verify(await forged({ claims: { exp: seconds() } }))).rejects.toMatchObject(refused);
  });
});

describe('a genuine token', () => {
  it('is known once it was verified, also if it has expired', async () => {
    const [token, late] = [await tokens.sign(USER, SESSION), await forged({ claims: { exp: seconds() } })];
    expect([token, late].map((one) => tokens.isGenuine(one))).toEqual([false, false]);
    await tokens.verify(token);
    await expect(tokens.verify(late)).rejects.toMatchObject(refused);
    expect([token, late].map((one) => tokens.isGenuine(one))).toEqual([true, true]);
    await clock.advance(600_000);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    expect(tokens.isGenuine(token)).toBe(true);
  });

  it.each([
    ['of another issuer', { claims: { iss: 'https://other.test', exp: 1 } }],
    ['of another type', { header: { typ: 'JWT' }, claims: { exp: 1 } }],
    ['that is not valid yet', { claims: { nbf: 9_999_999_999 } }],
  ])('is not one %s', async (_name, changes) => {
    const token = await forged(changes);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    expect(tokens.isGenuine(token)).toBe(false);
  });

  it('is not one with another signature, although it claims to have expired', async () => {
    const [header, payload, signature = ''] = (await forged({ claims: { exp: 1 } })).split('.');
    const token = `${header}.${payload}.${(signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)}`;
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    expect(tokens.isGenuine(token)).toBe(false);
  });

  it('that has expired is verified once', async () => {
    const token = await forged({ claims: { exp: 1 } });
    const verify = vi.spyOn(crypto.subtle, 'verify');
    for (let i = 0; i < 3; i++) await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    expect(verify).toHaveBeenCalledTimes(1);
    verify.mockRestore();
  });
});

describe('a token is refused', () => {
  it('that is not signed (alg none)', async () => {
    const [, payload] = (await tokens.sign(USER, SESSION)).split('.');
    for (const alg of ['none', 'None', 'NONE']) {
      await expect(tokens.verify(`${part({ alg, typ: 'at+jwt' })}.${payload}.`)).rejects.toMatchObject(refused);
    }
  });

  it('that is signed with the public key as a shared secret (HS256)', async () => {
    const [jwk = {}] = tokens.jwks().keys;
    const [, payload] = (await tokens.sign(USER, SESSION)).split('.');
    const signed = `${part({ alg: 'HS256', typ: 'at+jwt', kid: jwk.kid })}.${payload}`;
    for (const secret of [JSON.stringify(jwk), String(jwk.x)]) {
      const mac = createHmac('sha256', secret).update(signed).digest('base64url');
      await expect(tokens.verify(`${signed}.${mac}`)).rejects.toMatchObject(refused);
    }
  });

  it('that is signed by another key, also with the id of our key', async () => {
    const { privateKey } = await generateKeyPair('ES256');
    const { kid } = await ownKey();
    for (const header of [
      { alg: 'ES256', typ: 'at+jwt', kid },
      { alg: 'ES256', typ: 'at+jwt', kid: 'another' },
      { alg: 'ES256', typ: 'at+jwt' },
    ]) {
      const token = await new SignJWT({
        sid: SESSION,
        iss: ISSUER,
        aud: 'parley',
        sub: USER,
        iat: seconds(),
        exp: seconds() + 600,
      })
        .setProtectedHeader(header)
        .sign(privateKey);
      await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    }
  });

  it('that contains its own key', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const token = await new SignJWT({
      sid: SESSION,
      iss: ISSUER,
      aud: 'parley',
      sub: USER,
      iat: seconds(),
      exp: seconds() + 600,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', jwk, kid: await calculateJwkThumbprint(jwk) })
      .sign(privateKey);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
  });

  it('that uses another algorithm', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { kid } = await ownKey();
    const token = await new SignJWT({
      sid: SESSION,
      iss: ISSUER,
      aud: 'parley',
      sub: USER,
      iat: seconds(),
      exp: seconds() + 600,
    })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
      .sign(privateKey);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
  });

  it.each([
    ['of another issuer', { claims: { iss: 'https://other.test' } }],
    ['for another audience', { claims: { aud: 'other' } }],
    ['that has expired', { claims: { exp: 1 } }],
    ['that is not valid yet', { claims: { nbf: 9_999_999_999 } }],
    ['of another type', { header: { typ: 'JWT' } }],
    ['without a type', { header: { typ: undefined } }],
    ['with an unsupported critical header', { header: { crit: ['b64'], b64: false } }],
    ['without issuer', { without: 'iss' }],
    ['without audience', { without: 'aud' }],
    ['without user', { without: 'sub' }],
    ['without session', { without: 'sid' }],
    ['without time', { without: 'iat' }],
    ['without expiry', { without: 'exp' }],
    ['with an invalid user id', { claims: { sub: '../admin' } }],
    ['with an invalid session id', { claims: { sid: { $ne: null } } }],
  ])('%s', async (_name, changes) => {
    const token = await forged(changes).catch(() => 'jose refuses to make it');
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
  });

  it('that was modified, even if the original was verified before', async () => {
    const token = await tokens.sign(USER, SESSION);
    await tokens.verify(token);
    const [header, payload, signature = ''] = token.split('.');
    const other = part({ ...parse(payload), sub: 'b'.repeat(24) });
    await expect(tokens.verify(`${header}.${other}.${signature}`)).rejects.toMatchObject(refused);
    const flipped = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
    await expect(tokens.verify(`${header}.${payload}.${flipped}`)).rejects.toMatchObject(refused);
  });

  it.each(['', '.', '..', 'a.b.c', 'x'.repeat(100_000), `${'a.'.repeat(1_000)}`])(
    'that is malformed: %.20j',
    async (token) => {
      await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    },
  );
});

describe('signing keys', () => {
  it('are published without their private part, with their RFC 7638 thumbprint as id', async () => {
    const { kid } = await ownKey();
    expect(tokens.jwks()).toEqual({
      keys: [{ kty: 'EC', crv: 'P-256', x: expect.any(String), y: expect.any(String), kid, alg: 'ES256', use: 'sig' }],
    });
  });

  it('are the same for nodes that start at the same time', async () => {
    const fresh = await openSqliteKeys({ path: ':memory:', secret: Buffer.alloc(32, 9), random: createSystemRandom() });
    const nodes = await Promise.all(
      Array.from({ length: 5 }, () => createAccessTokens({ keys: fresh, clock, issuer: ISSUER })),
    );
    const kids = nodes.flatMap((node) => node.jwks().keys.map(({ kid }) => kid));
    expect(new Set(kids).size).toBe(1);
    expect(kids).toHaveLength(5);
    await fresh.close();
  });

  it('survive a restart, so that users stay signed in', async () => {
    const token = await tokens.sign(USER, SESSION);
    const restarted = await createAccessTokens({ keys, clock, issuer: ISSUER });
    await expect(restarted.verify(token)).resolves.toMatchObject({ userId: USER });
  });

  it('that were added sign from the next start on, and the old ones still verify', async () => {
    const old = await tokens.sign(USER, SESSION);
    await addKey();
    const restarted = await createAccessTokens({ keys, clock, issuer: ISSUER });
    expect(restarted.jwks().keys).toHaveLength(2);
    const [header] = (await restarted.sign(USER, SESSION)).split('.');
    expect(parse(header).kid).toBe(restarted.jwks().keys[1]?.kid);
    await expect(restarted.verify(old)).resolves.toMatchObject({ userId: USER });
  });

  it('that another node created are read when a token needs them, but not for each unknown key id', async () => {
    await addKey();
    const other = await createAccessTokens({ keys, clock, issuer: ISSUER });
    const token = await other.sign(USER, SESSION);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
    await clock.advance(10_000);
    await expect(tokens.verify(token)).resolves.toMatchObject({ userId: USER });
  });

  it('that are read again for an unknown key id leave verified tokens in the cache, unless their key is gone', async () => {
    const token = await tokens.sign(USER, SESSION);
    await tokens.verify(token);
    await addKey();
    await clock.advance(10_000);
    await expect(tokens.verify(await forged({ header: { kid: 'garbage' } }))).rejects.toMatchObject(refused);
    expect(tokens.jwks().keys).toHaveLength(2);
    expect(tokens.isGenuine(token)).toBe(true);
    await keys.destroy('signing/000001');
    await clock.advance(10_000);
    await expect(tokens.verify(await forged({ header: { kid: 'garbage' } }))).rejects.toMatchObject(refused);
    expect(tokens.isGenuine(token)).toBe(false);
    await expect(tokens.verify(token)).rejects.toMatchObject(refused);
  });

  async function addKey(): Promise<void> {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    await keys.create('signing/000002', Buffer.from(JSON.stringify(await exportJWK(privateKey))));
  }
});
