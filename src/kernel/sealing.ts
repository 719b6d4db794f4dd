import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { StoreError } from './errors.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
/** A sealed secret: this byte for the version of the format, the nonce, the ciphertext, the tag. */
const FORM = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** A shorter secret would be easier to guess than AES is to break. */
const SERVER_SECRET_BYTES = 16;

const NAME = /^[!-.0-~]+\/[!-~]+$/;
const NAME_LENGTH = 200;
const PREFIX = /^[!-~]*$/;
const MAX_NAMES = 4_096;
const SECRET_BYTES = 65_536;

/** Encrypts secrets under the server secret, each bound to its name. */
export type Sealer = Readonly<{
  seal(name: string, secret: Uint8Array): Uint8Array;
  /** Throws `INVALID` when it was sealed under another server secret or another name, or was modified. */
  open(name: string, sealed: Uint8Array): Uint8Array;
}>;

/**
 * A sealer that uses AES-256-GCM (NIST SP 800-38D) with the name as associated data, under a key derived from the server secret by HKDF (RFC 5869).
 * The nonces are random: one server secret is good for 2^32 sealings (section 8.3 there). Throws `INVALID` for a secret of less than 16 bytes.
 * @param random a cryptographically secure generator
 */
export function createSealer(serverSecret: Uint8Array, random: { bytes(count: number): Uint8Array }): Sealer {
  if (serverSecret.length < SERVER_SECRET_BYTES) {
    throw new StoreError('INVALID', `the server secret must have at least ${SERVER_SECRET_BYTES} bytes`);
  }
  const key = new Uint8Array(hkdfSync('sha256', serverSecret, '', 'parley key store', KEY_BYTES));
  const options = { authTagLength: TAG_BYTES };
  return {
    seal(name, secret) {
      const nonce = random.bytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, options).setAAD(Buffer.from(name));
      const text = [cipher.update(secret), cipher.final()];
      return Buffer.concat([Uint8Array.of(FORM), nonce, ...text, cipher.getAuthTag()]);
    },
    open(name, sealed) {
      try {
        if (sealed[0] !== FORM) throw new Error('unknown format');
        const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
        const decipher = createDecipheriv(CIPHER, key, nonce, options).setAAD(Buffer.from(name));
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch (error) {
        const message = `the key '${name}' was sealed under another server secret, or is damaged`;
        throw new StoreError('INVALID', message, { cause: error });
      }
    },
  };
}

/** Throws `INVALID` for an invalid key name. */
export function checkKeyName(name: string): void {
  const isName = name.length <= NAME_LENGTH && NAME.test(name);
  if (!isName) {
    const rule = `<kind>/<id> in at most ${NAME_LENGTH} printable ASCII characters without spaces`;
    throw new StoreError('INVALID', `invalid key name: it must be ${rule}`);
  }
}

/** Throws `INVALID` for too many names, and for an invalid one. */
export function checkKeyNames(names: readonly string[]): void {
  if (names.length > MAX_NAMES) {
    throw new StoreError('INVALID', `at most ${MAX_NAMES.toLocaleString('en-US')} keys can be read at once`);
  }
  for (const name of names) checkKeyName(name);
}

/** Throws `INVALID` for a prefix that no key name can have. The empty prefix matches all names. */
export function checkKeyPrefix(prefix: string): void {
  const isPrefix = prefix.length <= NAME_LENGTH && PREFIX.test(prefix);
  if (!isPrefix) throw new StoreError('INVALID', 'invalid prefix of key names');
}

/** Throws `INVALID` for a secret that is empty or too large. */
export function checkSecret(secret: Uint8Array): void {
  const fits = secret.length > 0 && secret.length <= SECRET_BYTES;
  if (!fits) throw new StoreError('INVALID', `a secret must have 1 to ${SECRET_BYTES.toLocaleString('en-US')} bytes`);
}
