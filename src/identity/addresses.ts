import { domainToASCII } from 'node:url';

/** Bytes of an address, and of its local part (RFC 5321, section 4.5.3.1). */
const ADDRESS_MAX = 254;
const LOCAL_MAX = 64;

/** An atom of RFC 6532 with dots anywhere: no quotes, comments, blanks or line breaks, which could change the header of a mail. */
const LOCAL = /^(?:\p{L}\p{M}*|[\p{N}.!#$%&'*+/=?^_`{|}~-])+$/u;
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const NO_ADDRESS = 'must be an e-mail address';

/** The two forms of a text that was taken apart: the canonical address, or what is wrong with it. */
type Parsed = Readonly<{ address: string; error: null }> | Readonly<{ address: null; error: string }>;

const wrong = (error: string): Parsed => ({ address: null, error });

/** Reads an address: the local part is composed (NFC) and in lower case, the domain in ASCII (A-labels, UTS #46). */
function parse(given: string): Parsed {
  // Bounds the cost of what follows.
  if (given.length > 4 * ADDRESS_MAX || !given.isWellFormed()) return wrong(NO_ADDRESS);
  const text = given.replace(/^ +| +$/g, '');
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(0, at)).normalize('NFC');
  const domain = asciiDomain(text.slice(at + 1));
  if (at < 1 || domain === null || !LOCAL.test(local) || INVISIBLE.test(local)) return wrong(NO_ADDRESS);
  // Providers may map such letters to others, so that two spellings would be one mailbox here and two there.
  if (local.normalize('NFKC') !== local) return wrong('must not contain compatibility forms of letters before the @');
  const lower = local.toLowerCase().normalize('NFC');
  const address = `${lower}@${domain}`;
  if (Buffer.byteLength(lower) > LOCAL_MAX || Buffer.byteLength(address) > ADDRESS_MAX) {
    return wrong(`must have at most ${LOCAL_MAX} bytes before the @, and ${ADDRESS_MAX} in all`);
  }
  return { address, error: null };
}

/** The domain in lower-case ASCII; `null` when it is none, or an IP address, which `domainToASCII` accepts in any notation. */
function asciiDomain(domain: string): string | null {
  // What the parser of URLs would remove or decode, and the delimiters of URLs.
  const ascii = /[\p{Cc}\p{White_Space}@[\]:/?#\\%]/u.test(domain) ? '' : domainToASCII(domain);
  const labels = ascii.split('.');
  return labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '') ? ascii : null;
}

/** What is wrong with an e-mail address, `null` when nothing is. */
export function addressError(given: string): string | null {
  return parse(given).error;
}

/**
 * The form in which an address is stored, compared and written to. For a text that is no address, which no account has, a form to look it up with.
 */
export function canonicalAddress(given: string): string {
  return parse(given).address ?? `invalid ${given}`;
}
