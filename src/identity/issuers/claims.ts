import { errors, type JWTHeaderParameters, type JWTPayload } from 'jose';
import type { IssuerSettings } from './settings.ts';

/** A person as an outside issuer describes them. Everything but the subject may be missing, and nothing but the subject identifies them. */
export type OutsidePerson = Readonly<{
  issuer: string;
  subject: string;
  /** `null` unless the issuer has verified it. */
  email: string | null;
  username: string | null;
  firstname: string | null;
  lastname: string | null;
}>;

/** Content of an access token of an outside issuer. Times are in ms since the epoch. `signedInAt`: `null` when the token does not say it. */
export type OutsideTokenPayload = Readonly<{ person: OutsidePerson; signedInAt: number | null; expiresAt: number }>;

/** OpenID Connect Core 1.0, section 2. */
const SUBJECT_MAX = 255;
const ISSUER_MAX = 2_048;
const EMAIL_MAX = 254;
/** Longer names are ignored. */
const NAME_MAX = 100;
/** Header types of access tokens: RFC 9068, and the plain type that most issuers use. */
const TYPES: readonly unknown[] = [undefined, 'jwt', 'at+jwt', 'application/at+jwt'];
/** Claims of ID tokens and logout tokens. Their audience is a client, so that `aud` alone does not exclude them. */
const NOT_OF_ACCESS_TOKENS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events'];

/**
 * Reads a token whose signature, `iss`, `aud`, `exp` and `nbf` were verified. Throws `JWTClaimValidationFailed` when it is not an access token, was issued
 * to a client that is not accepted, is bound to a key of its holder, or its subject is invalid.
 */
export function readClaims(
  header: JWTHeaderParameters,
  payload: JWTPayload,
  { clients }: Pick<IssuerSettings, 'clients'>,
): OutsideTokenPayload {
  requireAccessToken(header, payload);
  requireClient(payload, clients);
  const { iss, sub, exp } = payload;
  if (typeof iss !== 'string' || iss.length > ISSUER_MAX) throw failed(payload, 'iss', 'invalid issuer');
  if (typeof sub !== 'string' || sub === '' || sub.length > SUBJECT_MAX || !sub.isWellFormed()) {
    throw failed(payload, 'sub', 'invalid subject');
  }
  const email = payload.email_verified === true ? textOf(payload.email, EMAIL_MAX) : null;
  return {
    person: {
      issuer: iss,
      subject: sub,
      email: email?.includes('@') ? email : null,
      username: textOf(payload.preferred_username, NAME_MAX),
      firstname: textOf(payload.given_name, NAME_MAX),
      lastname: textOf(payload.family_name, NAME_MAX),
    },
    signedInAt: typeof payload.auth_time === 'number' ? payload.auth_time * 1_000 : null,
    expiresAt: (exp ?? 0) * 1_000,
  };
}

function requireAccessToken({ typ }: JWTHeaderParameters, payload: JWTPayload): void {
  const headerType = typ?.toLowerCase();
  if (!TYPES.includes(headerType)) throw failed(payload, 'typ', 'not an access token');
  // Keycloak names the kind of a token in its content.
  if (payload.typ !== undefined && payload.typ !== 'Bearer') throw failed(payload, 'typ', 'not an access token');
  const isMarked = payload.typ === 'Bearer' || (headerType !== undefined && headerType !== 'jwt');
  const foreign = NOT_OF_ACCESS_TOKENS.find((claim) => payload[claim] !== undefined);
  if (!isMarked && foreign !== undefined) throw failed(payload, foreign, 'not an access token');
  // RFC 7800: only who proves possession of the key may use it, and no proof is taken here.
  if (payload.cnf !== undefined) throw failed(payload, 'cnf', 'bound to a key');
}

/** The client to which the token was issued: `azp` of OpenID Connect, `client_id` of RFC 9068. */
function requireClient(payload: JWTPayload, clients: readonly string[]): void {
  const client = payload.azp ?? payload.client_id;
  if (client === undefined) {
    const hasSeveral = Array.isArray(payload.aud) && payload.aud.length > 1;
    if (!hasSeveral && clients.length === 0) return;
    throw failed(payload, 'azp', 'the client is missing');
  }
  if (typeof client !== 'string' || (clients.length > 0 && !clients.includes(client))) {
    throw failed(payload, 'azp', 'a client that is not accepted');
  }
}

/** A claim with text, `null` when there is none or it is longer than `max` characters. */
function textOf(claim: unknown, max: number): string | null {
  if (typeof claim !== 'string' || !claim.isWellFormed()) return null;
  const text = claim.trim();
  return text === '' || text.length > max ? null : text;
}

const failed = (payload: JWTPayload, claim: string, message: string): errors.JWTClaimValidationFailed =>
  new errors.JWTClaimValidationFailed(message, payload, claim, 'check_failed');
