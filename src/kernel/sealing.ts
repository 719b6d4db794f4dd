import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { StoreError } from './errors.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NAME = /^[\x21-\x7e]{1,100}\/[\x21-\x7e]{1,99}$/;
const SECRET_MAX_BYTES = 64 * 1024;

/** Seals secrets under the server's own (AES-256-GCM, NIST SP 800-38D); a sealed one opens only under the same name. */
export type Sealer = Readonly<{
  seal(name: string, secret: Uint8Array): Uint8Array;
  /** Throws `INVALID` for what was sealed under another server secret or name, or was changed. */
  open(name: string, sealed: Uint8Array): Uint8Array;
}>;

export function createSealer(serverSecret: Uint8Array): Sealer {
  const key = new Uint8Array(hkdfSync('sha256', serverSecret, 'parley', 'keys', 32));
  return {
    seal(name, secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
      return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
    },
    open(name, sealed) {
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES)).setAAD(
          Buffer.from(name),
        );
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch (error) {
        throw new StoreError('INVALID', `the key '${name}' was sealed under another PARLEY_SECRET`, { cause: error });
      }
    },
  };
}

/** What the port asks of names and secrets. Throws `INVALID`. */
export function checkKey(name: string, secret?: Uint8Array): void {
  if (!NAME.test(name)) throw new StoreError('INVALID', 'a key is named <kind>/<id> in printable ASCII');
  if (secret !== undefined && secret.length > SECRET_MAX_BYTES)
    throw new StoreError('INVALID', 'a secret has at most 64 KiB');
}
