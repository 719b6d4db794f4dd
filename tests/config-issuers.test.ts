import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config/config.ts';

const ISSUER = 'https://id.example.org/realms/main';

/** The issuers of a valid environment, and its warnings. */
function valid(env: Record<string, string>) {
  const result = readConfig(env);
  if ('errors' in result) throw new Error(JSON.stringify(result.errors));
  return { ...result.config.issuers, warnings: result.warnings };
}

function errors(env: Record<string, string>): string[] {
  const result = readConfig(env);
  return 'errors' in result ? result.errors.map(({ name, message }) => `${name} ${message}`) : [];
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const ed25519 = generateKeyPairSync('ed25519');
const base64 = (key: KeyObject): string => key.export({ format: 'der', type: 'spki' }).toString('base64');
const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' }).toString();

describe('OIDC_ISSUERS', () => {
  it('names issuers with one algorithm each, by default RS256', () => {
    const other = 'http://localhost:8080/realms/other';
    expect(valid({ OIDC_ISSUERS: `${ISSUER}, ${other} ES256,https://a.example.org  EdDSA` })).toMatchObject({
      discovered: [
        { issuer: ISSUER, alg: 'RS256' },
        { issuer: other, alg: 'ES256' },
        { issuer: 'https://a.example.org', alg: 'EdDSA' },
      ],
      audience: 'parley',
      warnings: [],
    });
  });

  it.each([
    ['id.example.org'],
    ['ftp://id.example.org'],
    [`${ISSUER}?x=1`],
    [`${ISSUER}#x`],
    ['https://user:secret@id.example.org'],
  ])('must be URLs of issuers, unlike %s', (value) => {
    const found = errors({ OIDC_ISSUERS: value });
    expect(found).toEqual([expect.stringMatching(/^OIDC_ISSUERS must be the URL of an issuer such as /)]);
    expect(found[0]).not.toContain('secret');
  });

  it.each(['HS256', 'none', 'rs256', 'RS256 ES256'])('must have a known asymmetric algorithm, unlike %s', (alg) => {
    expect(errors({ OIDC_ISSUERS: `${ISSUER} ${alg}` })).toEqual([
      expect.stringMatching(
        /^OIDC_ISSUERS must be a comma-separated list of URLs, each with one of RS256, .*EdDSA after a/,
      ),
    ]);
  });

  it('names each issuer once', () => {
    const repeated = [expect.stringMatching(/^OIDC_ISSUERS must name each issuer once/)];
    expect(errors({ OIDC_ISSUERS: `${ISSUER}, ${ISSUER} ES256` })).toEqual(repeated);
    const pinned = { KEYCLOAK_PUBLIC_KEY: base64(rsa.publicKey), KEYCLOAK_ISSUER: ISSUER };
    expect(errors({ OIDC_ISSUERS: ISSUER, ...pinned })).toEqual(repeated);
  });

  it('warns of keys that are read without TLS from another machine', () => {
    expect(valid({ OIDC_ISSUERS: 'http://id.example.org, http://127.0.0.1:8080, http://[::1]:8080' }).warnings).toEqual(
      ['OIDC_ISSUERS: the keys of http://id.example.org are read without TLS and can be replaced on their way'],
    );
  });
});

describe('KEYCLOAK_PUBLIC_KEY', () => {
  const strict = { KEYCLOAK_ISSUER: ISSUER, OIDC_AUDIENCE: 'parley' };

  it.each([
    ['bare base64', base64(rsa.publicKey), undefined],
    ['base64 in lines', base64(rsa.publicKey).replace(/.{64}/g, '$&\n'), undefined],
    ['PEM', pem(rsa.publicKey), 'RS512'],
    ['PEM in one line', pem(rsa.publicKey).replaceAll('\n', '\\n'), 'PS256'],
    ['a curve', base64(p256.publicKey), 'ES256'],
    ['Ed25519', pem(ed25519.publicKey), 'EdDSA'],
  ])('is read as %s', (_name, key, alg) => {
    const { pinned, warnings } = valid({ KEYCLOAK_PUBLIC_KEY: key, ...(alg && { KEYCLOAK_ALG: alg }), ...strict });
    expect(pinned).toMatchObject({ alg: alg ?? 'RS256', issuer: ISSUER });
    expect(pinned?.key.type).toBe('public');
    expect(warnings).toEqual([]);
  });

  it('without issuer and audience is accepted as the earlier service did, with warnings', () => {
    const { pinned, audience, warnings } = valid({ KEYCLOAK_PUBLIC_KEY: base64(rsa.publicKey) });
    expect({ issuer: pinned?.issuer, audience }).toEqual({ issuer: null, audience: null });
    expect(warnings).toEqual([
      'KEYCLOAK_ISSUER is not set: the issuer of tokens that KEYCLOAK_PUBLIC_KEY verifies is not checked',
      'OIDC_AUDIENCE is not set: tokens that were issued for other services are accepted',
    ]);
  });

  it.each([
    ['no key', 'MIIBIjANB...AQAB', 'must be a public key: the base64 of its SPKI, or PEM'],
    ['a truncated key', base64(rsa.publicKey).slice(0, 100), 'must be a public key: the base64 of its SPKI, or PEM'],
    [
      'invalid PEM',
      pem(rsa.publicKey).replace(/[A-M]{2}/, '??'),
      'must be a public key: the base64 of its SPKI, or PEM',
    ],
    [
      'a private key',
      rsa.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      /a private key must never leave/,
    ],
    ['a key of another kind', base64(p256.publicKey), 'must be an RSA key, which KEYCLOAK_ALG (RS256) requires'],
    ['a weak key', base64(weak.publicKey), 'must have at least 2048 bits'],
  ])('is refused as %s', (_name, key, message) => {
    const [only, ...more] = errors({ KEYCLOAK_PUBLIC_KEY: key, ...strict });
    expect(more).toEqual([]);
    expect(only).toMatch(typeof message === 'string' ? `KEYCLOAK_PUBLIC_KEY ${message}` : message);
    expect(only).not.toContain(key.slice(0, 40));
  });

  it.each([
    ['RS256', ed25519],
    ['ES384', p256],
    ['EdDSA', rsa],
  ])('must fit KEYCLOAK_ALG %s', (alg, { publicKey }) => {
    expect(errors({ KEYCLOAK_PUBLIC_KEY: pem(publicKey), KEYCLOAK_ALG: alg, ...strict })).toEqual([
      expect.stringMatching(`^KEYCLOAK_PUBLIC_KEY must be an? .*, which KEYCLOAK_ALG \\(${alg}\\) requires$`),
    ]);
  });

  it('needs a known algorithm, and is itself needed by the other settings', () => {
    expect(errors({ KEYCLOAK_PUBLIC_KEY: base64(rsa.publicKey), KEYCLOAK_ALG: 'HS256', ...strict })).toEqual([
      "KEYCLOAK_ALG must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (it is 'HS256')",
    ]);
    for (const env of [{ KEYCLOAK_ALG: 'RS256' }, { KEYCLOAK_ISSUER: ISSUER }]) {
      expect(errors(env)).toEqual([`KEYCLOAK_PUBLIC_KEY must be set because ${Object.keys(env)[0]} is set`]);
    }
  });
});
