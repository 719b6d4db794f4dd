import { timingSafeEqual } from 'node:crypto';
import { formatUuid } from '../kernel/ids.ts';
import { hmac } from './secrets.ts';

/** The refresh of a session that a token is for. Whether it is the current one is in the user's `sessions` stream. */
export type RefreshTokenSubject = Readonly<{ userId: string; sessionId: string; counter: number }>;

/**
 * Makes and reads refresh tokens: userId (12 bytes), sessionId (16), counter (4) and an HMAC over the three, as base64url.
 * Rotating a token only stores a number, and no secret is stored anywhere.
 */
export type RefreshTokens = Readonly<{
  token(subject: RefreshTokenSubject): string;
  /** `null` for a token that this installation did not make. */
  read(token: string): RefreshTokenSubject | null;
}>;

const SUBJECT_BYTES = 12 + 16 + 4;
const TOKEN = /^[A-Za-z0-9_-]{85}[AQgw]$/;

export function createRefreshTokens(secret: Uint8Array): RefreshTokens {
  const sign = (subject: Uint8Array): Buffer => hmac(secret, Buffer.concat([Buffer.from('refresh\n'), subject]));
  return {
    token: ({ userId, sessionId, counter }) => {
      const subject = Buffer.alloc(SUBJECT_BYTES);
      subject.write(userId + sessionId.replaceAll('-', ''), 'hex');
      subject.writeUInt32BE(counter, 28);
      return Buffer.concat([subject, sign(subject)]).toString('base64url');
    },
    read: (token) => {
      if (!TOKEN.test(token)) return null;
      const bytes = Buffer.from(token, 'base64url');
      const subject = bytes.subarray(0, SUBJECT_BYTES);
      if (!timingSafeEqual(bytes.subarray(SUBJECT_BYTES), sign(subject))) return null;
      return {
        userId: subject.toString('hex', 0, 12),
        sessionId: formatUuid(subject.subarray(12, 28)),
        counter: subject.readUInt32BE(28),
      };
    },
  };
}
