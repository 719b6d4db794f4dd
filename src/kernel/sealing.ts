import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { StoreError } from './errors.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
/** Sealed: this byte for the form, a nonce, the cipher text, its tag. */
const FORM = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Less would be guessed sooner than AES is broken. */
const SERVER_SECRET_BYTES = 16;

const NAME = /^[!-.0-~]+\/[!-~]+$/;
const NAME_LENGTH = 200;
const PREFIX = /^[!-~]*$/;
const SECRET_BYTES = 65_536;

/** Seals secrets under the server's own. A sealed one opens only under the same name. */
export type Sealer = Readonly<{
  seal(name: string, secret: Uint8Array): Uint8Array;
  /** Throws `INVALID` for what was sealed under another server secret or another name, or was changed since. */
  open(name: string, sealed: Uint8Array): Uint8Array;
}>;

/**
 * A sealer by AES-256-GCM (NIST SP 800-38D), with the name as associated data, under a key that is derived from the server's secret by HKDF (RFC 5869).
 * The nonces are random: one server secret is good for 2^32 sealings (section 8.3 there). Throws `INVALID` for a secret of less than 16 bytes.
 */
export function createSealer(serverSecret: Uint8Array): Sealer {
  if (serverSecret.length < SERVER_SECRET_BYTES) {
    throw new StoreError('INVALID', `the server's secret has less than ${SERVER_SECRET_BYTES} bytes`);
  }
  const key = new Uint8Array(hkdfSync('sha256', serverSecret, '', 'parley key store', KEY_BYTES));
  const options = { authTagLength: TAG_BYTES };
  return {
    seal(name, secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, options).setAAD(Buffer.from(name));
      const text = [cipher.update(secret), cipher.final()];
      return Buffer.concat([Uint8Array.of(FORM), nonce, ...text, cipher.getAuthTag()]);
    },
    open(name, sealed) {
      try {
        if (sealed[0] !== FORM) throw new Error('unknown form');
        const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
        const decipher = createDecipheriv(CIPHER, key, nonce, options).setAAD(Buffer.from(name));
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch (error) {
        const message = `the key '${name}' was sealed under another secret of the server, or is damaged`;
        throw new StoreError('INVALID', message, { cause: error });
      }
    },
  };
}

/** Throws `INVALID` for what cannot be the name of a key. */
export function checkKeyName(name: string): void {
  const isName = name.length <= NAME_LENGTH && NAME.test(name);
  if (!isName)
    throw new StoreError('INVALID', `a key is named <kind>/<id>, in at most ${NAME_LENGTH} characters of ASCII`);
}

/** Throws `INVALID` for what no name of a key can start with. The empty prefix is that of all. */
export function checkKeyPrefix(prefix: string): void {
  const isPrefix = prefix.length <= NAME_LENGTH && PREFIX.test(prefix);
  if (!isPrefix) throw new StoreError('INVALID', 'no name of a key starts so');
}

/** Throws `INVALID` for a secret that is empty or too large to be kept. */
export function checkSecret(secret: Uint8Array): void {
  const fits = secret.length > 0 && secret.length <= SECRET_BYTES;
  if (!fits) throw new StoreError('INVALID', `a secret has 1 to ${SECRET_BYTES} bytes`);
}
