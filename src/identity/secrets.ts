import { createHmac, hkdfSync } from 'node:crypto';

/** One key per purpose, so that a value signed for one purpose is not accepted for another. */
export type Secrets = Readonly<{
  /** Names of reservation streams. */
  names: Uint8Array;
  /** Tokens of mailed links. */
  links: Uint8Array;
  /** Refresh tokens. */
  refresh: Uint8Array;
  /** Ids of the users of outside issuers. */
  subjects: Uint8Array;
  /** Names of the streams of claims, see `createClaims`. */
  ids: Uint8Array;
  /** The check value by which the secret is recognized at the start. */
  check: Uint8Array;
}>;

/** Derives the keys from the server secret (HKDF with SHA-256, RFC 5869). */
export function deriveSecrets(secret: string): Secrets {
  const derive = (purpose: string): Uint8Array => new Uint8Array(hkdfSync('sha256', secret, 'parley', purpose, 32));
  return {
    names: derive('names'),
    links: derive('links'),
    refresh: derive('refresh'),
    subjects: derive('subjects'),
    ids: derive('ids'),
    check: derive('check'),
  };
}

/** HMAC-SHA-256, 32 bytes. */
export function hmac(key: Uint8Array, data: string | Uint8Array): Buffer {
  return createHmac('sha256', key).update(data).digest();
}
