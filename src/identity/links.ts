import { timingSafeEqual } from 'node:crypto';
import { formatUuid } from '../kernel/ids.ts';
import { hmac } from './secrets.ts';

/** The link that a token was made for. Whether the link is still good is in the user's stream. */
export type PasswordLink = Readonly<{ userId: string; linkId: string }>;

/**
 * Makes and reads the tokens of links to set a password. A token is userId (12 bytes), linkId (16) and an HMAC over both and the purpose,
 * as base64url. It can be made again from the event that issued the link, so it is not stored anywhere.
 */
export type PasswordLinks = Readonly<{
  token(link: PasswordLink): string;
  /** `null` for a token that this installation did not make. */
  read(token: string): PasswordLink | null;
}>;

const USER_BYTES = 12;
const LINK_BYTES = 16;
const TOKEN_BYTES = USER_BYTES + LINK_BYTES + 32;
const TOKEN = new RegExp(`^[A-Za-z0-9_-]{${(TOKEN_BYTES * 4) / 3}}$`);

export function createPasswordLinks(secret: Uint8Array): PasswordLinks {
  const sign = (ids: Uint8Array): Buffer => hmac(secret, Buffer.concat([Buffer.from('password-link\n'), ids]));
  return {
    token: ({ userId, linkId }) => {
      const ids = Buffer.from(userId + linkId.replaceAll('-', ''), 'hex');
      return Buffer.concat([ids, sign(ids)]).toString('base64url');
    },
    read: (token) => {
      if (!TOKEN.test(token)) return null;
      const bytes = Buffer.from(token, 'base64url');
      const ids = bytes.subarray(0, USER_BYTES + LINK_BYTES);
      if (!timingSafeEqual(bytes.subarray(USER_BYTES + LINK_BYTES), sign(ids))) return null;
      return { userId: ids.toString('hex', 0, USER_BYTES), linkId: formatUuid(ids.subarray(USER_BYTES)) };
    },
  };
}
