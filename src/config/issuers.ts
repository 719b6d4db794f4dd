import { createPublicKey, type KeyObject } from 'node:crypto';
import { type ConfigReader, InvalidValue, listOf, oneOf } from './reader.ts';

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

type SigningAlg = (typeof ALGORITHMS)[number];

/** An issuer whose keys are found by discovery, and the one algorithm that its tokens are signed with. */
type DiscoveredIssuer = Readonly<{ issuer: string; alg: SigningAlg }>;

/** The outside issuers whose access tokens are accepted. */
export type IssuerSettings = Readonly<{
  /** `OIDC_ISSUERS`: URLs, each with its algorithm after a space; by default RS256. */
  discovered: readonly DiscoveredIssuer[];
  /** `KEYCLOAK_PUBLIC_KEY`, `KEYCLOAK_ALG` (default RS256) and `KEYCLOAK_ISSUER`; `null`: no pinned key. */
  pinned: Readonly<{ key: KeyObject; alg: SigningAlg; issuer: string | null }> | null;
  /** `OIDC_AUDIENCE`: what `aud` must contain. Default: `parley` with `OIDC_ISSUERS`, `null` (not checked) with a pinned key alone. */
  audience: string | null;
  /** `OIDC_CLIENTS`: clients whose tokens are accepted (`azp`); default: all. */
  clients: readonly string[];
}>;

/** Key type of each algorithm, and the curve where it is bound to one. */
const KEYS: Readonly<Record<SigningAlg, { type: string; curve?: string; words: string }>> = {
  RS256: { type: 'rsa', words: 'an RSA key' },
  RS384: { type: 'rsa', words: 'an RSA key' },
  RS512: { type: 'rsa', words: 'an RSA key' },
  PS256: { type: 'rsa', words: 'an RSA key' },
  PS384: { type: 'rsa', words: 'an RSA key' },
  PS512: { type: 'rsa', words: 'an RSA key' },
  ES256: { type: 'ec', curve: 'prime256v1', words: 'a key on the curve P-256' },
  ES384: { type: 'ec', curve: 'secp384r1', words: 'a key on the curve P-384' },
  ES512: { type: 'ec', curve: 'secp521r1', words: 'a key on the curve P-521' },
  EdDSA: { type: 'ed25519', words: 'an Ed25519 key' },
};

const RSA_BITS_MIN = 2_048;

/** Reads the outside issuers. */
export function readIssuers(reader: ConfigReader): IssuerSettings {
  const discovered = reader.read('OIDC_ISSUERS', [], listOf(issuerAndAlg));
  const pinned = readPinned(reader);
  const names = [...discovered.map(({ issuer }) => issuer), ...(pinned?.issuer ? [pinned.issuer] : [])];
  const repeated = names.find((name, index) => names.indexOf(name) < index);
  if (repeated !== undefined) {
    reader.fail(
      'OIDC_ISSUERS',
      `must name each issuer once, and not the one of KEYCLOAK_ISSUER (${repeated} is repeated)`,
    );
  }
  return {
    discovered,
    pinned,
    audience: reader.read('OIDC_AUDIENCE', discovered.length > 0 ? 'parley' : null, word),
    clients: reader.read('OIDC_CLIENTS', [], listOf(word)),
  };
}

/** Warnings about settings that accept more than is usually meant. */
export function issuerWarnings({ discovered, pinned, audience }: IssuerSettings): readonly string[] {
  const warnings = discovered
    .filter(({ issuer }) => new URL(issuer).protocol === 'http:' && !isLoopback(new URL(issuer).hostname))
    .map(({ issuer }) => `OIDC_ISSUERS: the keys of ${issuer} are read without TLS and can be replaced on their way`);
  if (pinned !== null && pinned.issuer === null) {
    warnings.push('KEYCLOAK_ISSUER is not set: the issuer of tokens that KEYCLOAK_PUBLIC_KEY verifies is not checked');
  }
  if (pinned !== null && audience === null) {
    warnings.push('OIDC_AUDIENCE is not set: tokens that were issued for other services are accepted');
  }
  return warnings;
}

function readPinned(reader: ConfigReader): IssuerSettings['pinned'] {
  const alg = reader.read('KEYCLOAK_ALG', 'RS256', oneOf(...ALGORITHMS));
  const issuer = reader.read('KEYCLOAK_ISSUER', null, issuerUrl);
  const key = reader.readSecret('KEYCLOAK_PUBLIC_KEY', null, publicKey);
  if (key === null) {
    if (reader.raw('KEYCLOAK_PUBLIC_KEY') === null) {
      const name = ['KEYCLOAK_ALG', 'KEYCLOAK_ISSUER'].find((other) => reader.raw(other) !== null);
      if (name !== undefined) reader.fail('KEYCLOAK_PUBLIC_KEY', `must be set because ${name} is set`);
    }
    return null;
  }
  const { type, curve, words } = KEYS[alg];
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== type || (curve !== undefined && namedCurve !== curve)) {
    reader.fail('KEYCLOAK_PUBLIC_KEY', `must be ${words}, which KEYCLOAK_ALG (${alg}) requires`);
  } else if (type === 'rsa' && (modulusLength ?? 0) < RSA_BITS_MIN) {
    reader.fail('KEYCLOAK_PUBLIC_KEY', `must have at least ${RSA_BITS_MIN} bits`);
  }
  return { key, alg, issuer };
}

/** A public key as bare base64 of its SPKI, as the page of a realm of Keycloak shows it, or as PEM, whose line breaks may be written `\n`. */
function publicKey(value: string): KeyObject {
  const expected = 'a public key: the base64 of its SPKI, or PEM';
  try {
    if (!value.startsWith('-----BEGIN')) {
      if (!/^[A-Za-z0-9+/\s]+={0,2}$/.test(value)) throw new InvalidValue(expected);
      return createPublicKey({ key: Buffer.from(value, 'base64'), format: 'der', type: 'spki' });
    }
    // A public key can be derived from a private one, which has no place in this setting.
    if (value.includes('PRIVATE KEY')) throw new InvalidValue(`${expected}; a private key must never leave the issuer`);
    return createPublicKey(value.replaceAll('\\n', '\n'));
  } catch (error) {
    throw error instanceof InvalidValue ? error : new InvalidValue(expected);
  }
}

function issuerAndAlg(value: string): DiscoveredIssuer {
  const [url = '', alg = 'RS256', ...more] = value.split(/\s+/);
  const known = ALGORITHMS.find((name) => name === alg);
  if (known === undefined || more.length > 0) {
    throw new InvalidValue(`a comma-separated list of URLs, each with one of ${ALGORITHMS.join(', ')} after a space`);
  }
  return { issuer: issuerUrl(url), alg: known };
}

/** OpenID Connect Core 1.0, section 2: a URL without query and fragment, compared as it is written. */
function issuerUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  const isPlain = url !== null && !/[?#\s]/.test(value) && url.username === '' && url.password === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new InvalidValue("the URL of an issuer such as 'https://id.example.org/realms/main'");
  }
  return value;
}

function word(value: string): string {
  if (!/^[\x21-\x7e]{1,255}$/.test(value)) throw new InvalidValue('1 to 255 printable ASCII characters without spaces');
  return value;
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);
