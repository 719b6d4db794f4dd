import { type CryptoKey, errors, type JSONWebKeySet, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { Refusal } from '../kernel/errors.ts';
import { OBJECT_ID, UUID } from '../kernel/ids.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/keys.ts';
import { createLru } from '../ports/lru.ts';
import { publishedAt, readSigningKeys, rotateSigningKeys, SIGNING_ALG, signerAt } from './signing-keys.ts';

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
/** Keys older than this, in ms, are read again in the background. */
const REFRESH_MS = 60_000;
/** No token is signed by keys older than this, in ms, well below the time for which a new key is published before it signs. */
const STALE_MS = 5 * 60_000;

/** Contents of an access token. Times are in ms since the epoch; `issuedAt` has whole seconds. */
export type AccessTokenPayload = Readonly<{ userId: string; sessionId: string; issuedAt: number; expiresAt: number }>;

/** `kid`: the id of the key that verified it. */
type Verified = Readonly<{ payload: AccessTokenPayload; kid: string }>;

/** A key as operators see it. Times are in ms since the epoch. `next`: it is published, and signs from `signsFrom`; `old`: its tokens are still accepted. */
export type SigningKeyStatus = Readonly<{ kid: string; state: 'next' | 'current' | 'old'; signsFrom: number }>;

/** The keys that sign access tokens, for operators. */
export interface SigningKeyService {
  /** Those that are published, in the order of their creation. Throws `UNAVAILABLE`. */
  list(): Promise<readonly SigningKeyStatus[]>;
  /** See `rotateSigningKeys`. Returns the keys afterwards. Other nodes find them within a minute. Throws `rule-broken` and `UNAVAILABLE`. */
  rotate(options: { atOnce: boolean }): Promise<readonly SigningKeyStatus[]>;
}

/** Signs and verifies access tokens: JWTs with ES256, bound to this installation by `iss` and to their use by `aud` and `typ`. */
export interface AccessTokens {
  /** Throws `UNAVAILABLE` when the keys could not be read for too long: they may have been rotated. */
  sign(userId: string, sessionId: string): Promise<string>;
  /** Throws `unauthenticated` for a token that this installation did not sign, that is not an access token, or that has expired. */
  verify(token: string): Promise<AccessTokenPayload>;
  /** Whether `verify` found before, on this node, that this installation signed the token: it was valid then, or had already expired. */
  isGenuine(token: string): boolean;
  /** The public keys: of those that have signed, sign and will sign. */
  jwks(): JSONWebKeySet;
  /** The same, read at most a minute before; the last ones while they cannot be read. */
  recentJwks(): Promise<JSONWebKeySet>;
  readonly keys: SigningKeyService;
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
  let triedAt = readAt;
  let reading: Promise<void> | null = null;

  const published = () => publishedAt(keys, clock.now());

  /** Another node may have created a key. */
  function reread(): Promise<void> {
    triedAt = clock.monotonic();
    const startedAt = triedAt;
    reading ??= readSigningKeys(deps.keys)
      .then((read) => {
        [keys, readAt] = [read, startedAt];
        const kids = new Set(published().map(({ kid }) => kid));
        for (const [token, { kid }] of verified.entries()) if (!kids.has(kid)) verified.delete(token);
      })
      .finally(() => {
        reading = null;
      });
    return reading;
  }

  /** Reads keys that are not new again. A failure is reported once they are too old to sign. */
  function refresh(): void {
    if (clock.monotonic() - Math.max(readAt, triedAt) >= REFRESH_MS) reread().catch(() => {});
  }

  async function keyOf(kid: string | undefined): Promise<CryptoKey> {
    if (kid === undefined) throw new errors.JWKSNoMatchingKey();
    const find = () => published().find((key) => key.kid === kid);
    if (find() === undefined && (reading !== null || clock.monotonic() - triedAt >= REREAD_MS)) await reread();
    const key = find();
    if (key === undefined) throw new errors.JWKSNoMatchingKey();
    return key.publicKey;
  }

  function statusOf(): readonly SigningKeyStatus[] {
    const signer = signerAt(keys, clock.now());
    return published().map(({ kid, signsFrom }) => {
      const state = kid === signer.kid ? 'current' : signsFrom > signer.signsFrom ? 'next' : 'old';
      return { kid, state, signsFrom };
    });
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

  const jwks = (): JSONWebKeySet => ({ keys: published().map(({ publicJwk }) => ({ ...publicJwk })) });

  return {
    async sign(userId, sessionId) {
      refresh();
      if (clock.monotonic() - readAt >= STALE_MS) await reread();
      const { kid, privateKey } = signerAt(keys, clock.now());
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
      refresh();
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

    jwks,

    async recentJwks() {
      // A node without requests has not read the keys for long.
      if (clock.monotonic() - Math.max(readAt, triedAt) >= REFRESH_MS) await reread().catch(() => {});
      return jwks();
    },

    keys: {
      async list() {
        await reread();
        return statusOf();
      },
      async rotate(options) {
        await rotateSigningKeys(deps.keys, clock.now(), options);
        // One that is in progress may have begun before.
        await reading?.catch(() => {});
        await reread();
        return statusOf();
      },
    },
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
