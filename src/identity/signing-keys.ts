import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JSONWebKeySet,
  type JWK,
} from 'jose';
import type { KeyStore } from '../ports/keys.ts';

/** The only algorithm of access tokens (RFC 7518, section 3.4). */
export const SIGNING_ALG = 'ES256';

const PREFIX = 'signing/';
const FIRST = `${PREFIX}000001`;

/** The keys that sign and verify access tokens, as they were when read. */
export type SigningKeys = Readonly<{
  /** The newest key, which signs. `kid` is its thumbprint (RFC 7638). */
  newest: Readonly<{ kid: string; privateKey: CryptoKey }>;
  /** Verifying keys by `kid`. */
  publicKeys: ReadonlyMap<string, CryptoKey>;
  jwks: JSONWebKeySet;
}>;

/**
 * Reads the keys. The key store holds them as JWKs, numbered in the order of their creation. When there is none, it creates the first one; nodes that
 * start at the same time agree on it, because `create` returns the stored key to all of them.
 */
export async function readSigningKeys(keys: KeyStore): Promise<SigningKeys> {
  const names = await keys.list(PREFIX);
  const secrets =
    names.length === 0 ? [await createFirst(keys)] : await Promise.all(names.map((name) => keys.get(name)));
  const jwks = secrets.filter((secret) => secret !== null).map(parse);
  const pairs = await Promise.all(jwks.map(importPair));
  const newest = pairs.at(-1);
  if (newest === undefined) throw new Error('all signing keys were destroyed');
  return {
    newest,
    publicKeys: new Map(pairs.map(({ kid, publicKey }) => [kid, publicKey])),
    jwks: { keys: pairs.map(({ publicJwk }) => publicJwk) },
  };
}

async function createFirst(keys: KeyStore): Promise<Uint8Array | null> {
  const { privateKey } = await generateKeyPair(SIGNING_ALG, { extractable: true });
  return await keys.create(FIRST, Buffer.from(JSON.stringify(await exportJWK(privateKey))));
}

function parse(secret: Uint8Array): JWK {
  return JSON.parse(Buffer.from(secret).toString()) as JWK;
}

async function importPair(jwk: JWK) {
  const { kty, crv, x, y } = jwk;
  if (kty !== 'EC' || crv === undefined || x === undefined || y === undefined)
    throw new Error('a signing key is not an elliptic-curve key');
  const kid = await calculateJwkThumbprint(jwk);
  const publicJwk = { kty, crv, x, y, kid, alg: SIGNING_ALG, use: 'sig' };
  return { kid, publicJwk, privateKey: await importKey(jwk), publicKey: await importKey(publicJwk) };
}

async function importKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, SIGNING_ALG);
  if (key instanceof Uint8Array) throw new Error('a signing key is not an elliptic-curve key');
  return key;
}
