import { errors, type JSONWebKeySet, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { Refusal } from '../kernel/errors.ts';
import { OBJECT_ID, UUID } from '../kernel/ids.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/keys.ts';
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
/** The keys are read again when a token has an unknown key id, but not more often than this, in ms. */
const REREAD_MS = 10_000;

/** Contents of an access token. Times are in ms since the epoch; `issuedAt` has whole seconds. */
export type AccessTokenPayload = Readonly<{ userId: string; sessionId: string; issuedAt: number; expiresAt: number }>;

/** Signs and verifies access tokens: JWTs with ES256, bound to this installation by `iss` and to their use by `aud` and `typ`. */
export interface AccessTokens {
  sign(userId: string, sessionId: string): Promise<string>;
  /** Throws `unauthenticated` for a token that this installation did not sign, that is not an access token, or that has expired. */
  verify(token: string): Promise<AccessTokenPayload>;
  jwks(): JSONWebKeySet;
}

export async function createAccessTokens(deps: {
  keys: KeyStore;
  clock: Clock;
  /** `iss` of the tokens. */
  issuer: string;
}): Promise<AccessTokens> {
  const { clock, issuer } = deps;
  const verified = new LRUCache<string, AccessTokenPayload>({ max: CACHED_MAX });
  let keys = await readSigningKeys(deps.keys);
  let readAt = clock.monotonic();
  let reading: Promise<void> | null = null;

  /** Another node may have created a key. */
  function reread(): Promise<void> {
    readAt = clock.monotonic();
    reading ??= readSigningKeys(deps.keys)
      .then((read) => {
        keys = read;
        verified.clear();
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

  async function check(token: string): Promise<AccessTokenPayload> {
    const { payload } = await jwtVerify(token, ({ kid }) => keyOf(kid), {
      algorithms: [SIGNING_ALG],
      issuer,
      audience: AUDIENCE,
      typ: TYPE,
      requiredClaims: ['sub', 'sid', 'iat', 'exp'],
      currentDate: new Date(clock.now()),
    });
    return payloadOf(payload);
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
        if (clock.now() < known.expiresAt) return known;
        verified.delete(token);
        throw invalidToken();
      }
      if (token.length > LENGTH_MAX) throw invalidToken();
      try {
        const payload = await check(token);
        verified.set(token, payload);
        return payload;
      } catch (error) {
        // Everything that is wrong with the token. Errors of the key store are passed on.
        if (error instanceof errors.JOSEError) throw invalidToken(error);
        throw error;
      }
    },

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
