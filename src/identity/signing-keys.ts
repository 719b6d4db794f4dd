import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import { Refusal } from '../kernel/errors.ts';
import type { KeyStore } from '../ports/keys.ts';

/** The only algorithm of access tokens (RFC 7518, section 3.4). */
export const SIGNING_ALG = 'ES256';

const PREFIX = 'signing/';
const FIRST = `${PREFIX}000001`;

/** How long a new key is published before it signs, in ms: verifiers keep the keys for five minutes, and nodes read them again every minute. */
export const PUBLISH_MS = 15 * 60_000;
/** How long a key is published after its successor has begun to sign, in ms: the lifetime of its last tokens, and the difference between clocks. */
export const RETIRE_MS = 11 * 60_000;

/** A key of this installation. `kid` is its thumbprint (RFC 7638). Times are in ms since the epoch. */
export type SigningKey = Readonly<{
  name: string;
  kid: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  publicJwk: JWK;
  signsFrom: number;
}>;

/** The keys as they were when read, in the order of their creation. At least one. */
export type SigningKeys = readonly [SigningKey, ...SigningKey[]];

/**
 * Reads the keys. The key store holds them as JWKs with the time from which they sign, numbered in the order of their creation. When there is none, it
 * creates the first one; nodes that start at the same time agree on it, because `create` returns the stored key to all of them.
 */
export async function readSigningKeys(keys: KeyStore): Promise<SigningKeys> {
  const names = await keys.list(PREFIX);
  if (names.length === 0) await create(keys, FIRST, 0);
  const all = await Promise.all((names.length === 0 ? [FIRST] : names).map((name) => read(keys, name)));
  const [first, ...others] = all.filter((key) => key !== null);
  if (first === undefined) throw new Error('all signing keys were destroyed');
  return [first, ...others];
}

/** The key that signs at this time. */
export function signerAt(keys: SigningKeys, now: number): SigningKey {
  return keys.findLast(({ signsFrom }) => signsFrom <= now) ?? keys[0];
}

/** The keys whose tokens are accepted at this time: not those that were replaced so long ago that none of their tokens is valid. */
export function publishedAt(keys: SigningKeys, now: number): readonly SigningKey[] {
  return keys.filter((_key, index) => {
    const successor = keys[index + 1];
    // Of a successor without a time it is not known for how long it has signed.
    return successor === undefined || successor.signsFrom === 0 || now < successor.signsFrom + RETIRE_MS;
  });
}

/**
 * Creates the next key, and destroys those that are no longer published. The next key signs after `PUBLISH_MS`; with `atOnce` it signs now, and all others
 * are destroyed, so that their tokens are refused. Refused with `rule-broken` while the next key waits, unless `atOnce`.
 */
export async function rotateSigningKeys(keys: KeyStore, now: number, { atOnce }: { atOnce: boolean }): Promise<void> {
  const before = await readSigningKeys(keys);
  const newest = before.at(-1) ?? before[0];
  if (!atOnce && newest.signsFrom > now) {
    const at = new Date(newest.signsFrom).toISOString();
    throw new Refusal('rule-broken', `the next key is published already, and signs from ${at}`);
  }
  const name = `${PREFIX}${String(Number(newest.name.slice(PREFIX.length)) + 1).padStart(6, '0')}`;
  // Of two rotations at the same time, both get the key of the first.
  await create(keys, name, atOnce ? now : now + PUBLISH_MS);
  const published = publishedAt(await readSigningKeys(keys), now).map((key) => key.name);
  for (const key of before) if (atOnce || !published.includes(key.name)) await keys.destroy(key.name);
}

async function create(keys: KeyStore, name: string, signsFrom: number): Promise<void> {
  const { privateKey } = await generateKeyPair(SIGNING_ALG, { extractable: true });
  await keys.create(name, Buffer.from(JSON.stringify({ ...(await exportJWK(privateKey)), signsFrom })));
}

/** `null`: it was destroyed since it was listed. */
async function read(keys: KeyStore, name: string): Promise<SigningKey | null> {
  const secret = await keys.get(name);
  if (secret === null) return null;
  // Keys that were made before there were rotations have no time, and sign from the start.
  const { signsFrom = 0, ...jwk } = JSON.parse(Buffer.from(secret).toString()) as JWK & { signsFrom?: number };
  return { name, signsFrom, ...(await importPair(jwk)) };
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
