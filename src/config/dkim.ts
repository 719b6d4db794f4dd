import { createPrivateKey } from 'node:crypto';
import { type ConfigReader, InvalidValue } from './reader.ts';

/** The signature of mails (RFC 6376). `privateKey`: RSA, in PEM. */
export type Dkim = Readonly<{ domain: string; selector: string; privateKey: string }>;

/** Receivers ignore signatures of shorter keys (RFC 8301). */
const BITS_MIN = 1_024;

/** Reads the variables of the signature of mails, which are set together or not at all. */
export function readDkim(reader: ConfigReader): Dkim | null {
  const domain = reader.read('DKIM_DOMAIN', null, dnsName('a domain such as example.org'));
  const selector = reader.read('DKIM_SELECTOR', null, dnsName('the name of the key below _domainkey, such as parley'));
  const privateKey = reader.readSecret('DKIM_PRIVATE_KEY', null, rsaKey);
  const names = ['DKIM_DOMAIN', 'DKIM_SELECTOR', 'DKIM_PRIVATE_KEY'];
  const [first] = names.filter((name) => reader.raw(name) !== null);
  for (const name of first === undefined ? [] : names) {
    if (reader.raw(name) === null) reader.fail(name, `must be set because ${first} is set: set all three or none`);
  }
  return domain === null || selector === null || privateKey === null ? null : { domain, selector, privateKey };
}

/** Whether a signature for this domain is aligned with the sender (RFC 7489, section 3.1.1): one domain is the other, or a part of it. */
export function signsFor({ domain }: Dkim, mailFrom: string): boolean {
  const sender = (/@([^>]+)>?$/.exec(mailFrom)?.[1] ?? '').toLowerCase();
  const signer = domain.toLowerCase();
  return sender === signer || sender.endsWith(`.${signer}`) || signer.endsWith(`.${sender}`);
}

function dnsName(what: string): (value: string) => string {
  return (value) => {
    if (!/^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*$/i.test(value)) throw new InvalidValue(what);
    return value;
  };
}

/** PEM, also with `\n` for its line breaks, or the base64 between its lines (PKCS #8). Returns PEM. */
function rsaKey(value: string): string {
  const pem = value.includes('-----BEGIN') ? { key: value.replaceAll('\\n', '\n') } : pkcs8(value);
  try {
    const key = createPrivateKey(pem);
    // Nodemailer sends a mail unsigned when it cannot sign with the key.
    if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= BITS_MIN)
      return key.export({ type: 'pkcs8', format: 'pem' }).toString();
  } catch {
    // As for a key of another type.
  }
  throw new InvalidValue(`an unencrypted RSA private key of at least ${BITS_MIN} bits, as PEM or its base64`);
}

const pkcs8 = (base64: string) => ({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' }) as const;
