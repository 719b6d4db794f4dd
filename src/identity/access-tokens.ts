import { errors, type JSONWebKeySet, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { Refusal } from '../kernel/errors.ts';
import { OBJECT_ID, UUID } from '../kernel/ids.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/keys.ts';
import { createLru } from '../ports/lru.ts';
import { readSigningKeys, SIGNING_ALG, type SigningKeys } from './signing-keys.ts';

/** Lifetime of an access token, in seconds. */
export const ACCESS_TOKEN_S = 600;

const AUDIENCE = 'parley';
/** RFC 9068, section 2.1. */
const TYPE = 'at+jwt';
/** Longer tokens cannot be ours and would make the cache unbounded. */
const LENGTH_MAX = 1_024;
/** Verified tokens in the cache, well below 1 KiB each. */
const CACHED_MAX = 20_000;
/** Expired tokens in a cache of their own, so that they do not displace valid ones. */
const EXPIRED_MAX = 5_000;
/** The keys are read again when a token has an unknown key id, but not more often than this, in ms. */
const REREAD_MS = 10_000;

/** Contents of an access token. Times are in ms since the epoch; `issuedAt` has whole seconds. */
export type AccessTokenPayload = Readonly<{ userId: string; sessionId: string; issuedAt: number; expiresAt: number }>;

/** `kid`: the id of the key that verified it. */
type Verified = Readonly<{ payload: AccessTokenPayload; kid: string }>;

/** Signs and verifies access tokens: JWTs with ES256, bound to this installation by `iss` and to their use by `aud` and `typ`. */
export interface AccessTokens {
  sign(userId: string, sessionId: string): Promise<string>;
  /** Throws `unauthenticated` for a token that this installation did not sign, that is not an access token, or that has expired. */
  verify(token: string): Promise<AccessTokenPayload>;
  /** Whether `verify` found before, on this node, that this installation signed the token: it was valid then, or had already expired. */
  isGenuine(token: string): boolean;
  jwks(): JSONWebKeySet;
}

export async function createAccessTokens(deps: {
  keys: KeyStore;
  clock: Clock;
  /** `iss` of the tokens. */
  issuer: string;
}): Promise<AccessTokens> {
  const { clock, issuer } = deps;
  const verified = createLru<Verified>(CACHED_MAX);
  /** Tokens that this installation signed and that have expired. */
  const expired = createLru<true>(EXPIRED_MAX);
  let keys = await readSigningKeys(deps.keys);
  let readAt = clock.monotonic();
  let reading: Promise<void> | null = null;

  /** Another node may have created a key. */
  function reread(): Promise<void> {
    readAt = clock.monotonic();
    reading ??= readSigningKeys(deps.keys)
      .then((read) => {
        keys = read;
        for (const [token, { kid }] of verified.entries()) if (!keys.publicKeys.has(kid)) verified.delete(token);
      })
      .finally(() => {
        reading = null;
      });
    return reading;
  }

  async function keyOf(kid: string | undefined): Promise<NonNullable<ReturnType<SigningKeys['publicKeys']['get']>>> {
    if (kid === undefined) throw new errors.JWKSNoMatchingKey();
    if (!keys.publicKeys.has(kid) && (reading !== null || clock.monotonic() - readAt >= REREAD_MS)) await reread();
    const key = keys.publicKeys.get(kid);
    if (key === undefined) throw new errors.JWKSNoMatchingKey();
    return key;
  }

  async function check(token: string): Promise<Verified> {
    const { payload, protectedHeader } = await jwtVerify(token, ({ kid }) => keyOf(kid), {
      algorithms: [SIGNING_ALG],
      issuer,
      audience: AUDIENCE,
      typ: TYPE,
      requiredClaims: ['sub', 'sid', 'iat', 'exp'],
      currentDate: new Date(clock.now()),
    });
    return { payload: payloadOf(payload), kid: protectedHeader.kid ?? '' };
  }

  return {
    async sign(userId, sessionId) {
      const { kid, privateKey } = keys.newest;
      const iat = Math.floor(clock.now() / 1_000);
      return await new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: SIGNING_ALG, typ: TYPE, kid })
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setSubject(userId)
        .setIssuedAt(iat)
        .setExpirationTime(iat + ACCESS_TOKEN_S)
        .sign(privateKey);
    },

    async verify(token) {
      const known = verified.get(token);
      if (known !== undefined) {
        if (clock.now() < known.payload.expiresAt) return known.payload;
        verified.delete(token);
        expired.set(token, true);
      }
      if (token.length > LENGTH_MAX || expired.has(token)) throw invalidToken();
      try {
        const found = await check(token);
        verified.set(token, found);
        return found.payload;
      } catch (error) {
        // The expiry is checked last, after the signature and everything else.
        if (error instanceof errors.JWTExpired) expired.set(token, true);
        // Everything that is wrong with the token. Errors of the key store are passed on.
        if (error instanceof errors.JOSEError) throw invalidToken(error);
        throw error;
      }
    },

    isGenuine: (token) => verified.has(token) || expired.has(token),

    jwks: () => keys.jwks,
  };
}

function payloadOf({ sub, sid, iat, exp }: JWTPayload): AccessTokenPayload {
  if (typeof sub !== 'string' || typeof sid !== 'string' || !OBJECT_ID.test(sub) || !UUID.test(sid)) {
    throw new errors.JWTInvalid('invalid user or session id');
  }
  return { userId: sub, sessionId: sid, issuedAt: (iat ?? 0) * 1_000, expiresAt: (exp ?? 0) * 1_000 };
}

function invalidToken(cause?: unknown): Refusal {
  return new Refusal('unauthenticated', 'the access token is invalid or has expired; refresh it or sign in', {
    cause,
  });
}
