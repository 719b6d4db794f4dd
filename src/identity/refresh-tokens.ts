import { timingSafeEqual } from 'node:crypto';
import { uuidOf } from './links.ts';
import { hmac } from './secrets.ts';

/** Which refresh of which session a token is for. Whether it is the current one is in the user's `sessions` stream. */
export type RefreshClaim = Readonly<{ userId: string; sessionId: string; counter: number }>;

/**
 * Makes and reads refresh tokens: userId (12 bytes), sessionId (16), counter (4) and an HMAC over the three, as base64url.
 * So rotating one stores a number, and no secret is kept anywhere.
 */
export type RefreshTokens = Readonly<{
  token(claim: RefreshClaim): string;
  /** `null` for a token that was not made here. */
  read(token: string): RefreshClaim | null;
}>;

const CLAIM_BYTES = 12 + 16 + 4;
const TOKEN = /^[A-Za-z0-9_-]{85}[AQgw]$/;

export function createRefreshTokens(secret: Uint8Array): RefreshTokens {
  const sign = (claim: Uint8Array): Buffer => hmac(secret, Buffer.concat([Buffer.from('refresh\n'), claim]));
  return {
    token: ({ userId, sessionId, counter }) => {
      const claim = Buffer.alloc(CLAIM_BYTES);
      claim.write(userId + sessionId.replaceAll('-', ''), 'hex');
      claim.writeUInt32BE(counter, 28);
      return Buffer.concat([claim, sign(claim)]).toString('base64url');
    },
    read: (token) => {
      if (!TOKEN.test(token)) return null;
      const bytes = Buffer.from(token, 'base64url');
      const claim = bytes.subarray(0, CLAIM_BYTES);
      if (!timingSafeEqual(bytes.subarray(CLAIM_BYTES), sign(claim))) return null;
      return {
        userId: claim.toString('hex', 0, 12),
        sessionId: uuidOf(claim.subarray(12, 28)),
        counter: claim.readUInt32BE(28),
      };
    },
  };
}
