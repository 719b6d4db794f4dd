import { decodeJwt, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { Refusal } from '../../kernel/errors.ts';
import { createLru } from '../../ports/lru.ts';
import { type OutsideTokenPayload, readClaims } from './claims.ts';
import { KeySet, type KeySetDeps } from './key-set.ts';
import type { IssuerSettings } from './settings.ts';

/** Longer tokens are refused. Those of Keycloak name every role of the person. */
const LENGTH_MAX = 8_192;
/** Verified tokens in the cache, mostly of 1 to 2 KiB. */
const CACHED_MAX = 5_000;
const EXPIRED_MAX = 1_000;
/** By how much the clock of an issuer may differ, in seconds. */
export const TOLERANCE_S = 5;

/** Access tokens of outside issuers. */
export interface OutsideTokens {
  /** Whether the token claims to be of an accepted issuer, so that `verify` decides on it. Nothing is verified. */
  concerns(token: string): boolean;
  /**
   * Throws `unauthenticated` for a token that is not a valid access token of its issuer, and `unavailable` while the keys of the issuer cannot be read.
   */
  verify(token: string): Promise<OutsideTokenPayload>;
  /** Whether `verify` found before, on this node, that its issuer signed the token: it was valid then, or had already expired. */
  isGenuine(token: string): boolean;
}

/** How the tokens of one issuer are verified. `generation`: see `KeySet`. */
type Verifier = Readonly<{ alg: string; issuer: string | null; key: JWTVerifyGetKey; generation(): number }>;

type Verified = Readonly<{ payload: OutsideTokenPayload; verifier: Verifier; generation: number }>;

/** `null` when no outside issuer is configured. `ownIssuer`: the issuer of the tokens of this installation, which no other may claim to be. */
export function createOutsideTokens(
  deps: KeySetDeps & Readonly<{ settings: IssuerSettings; ownIssuer: string }>,
): OutsideTokens | null {
  const { settings, ownIssuer, clock } = deps;
  const verifiers = new Map<string, Verifier>();
  for (const { issuer, alg } of settings.discovered) {
    const keys = new KeySet(issuer, deps);
    verifiers.set(issuer, { alg, issuer, key: (header) => keys.find(header), generation: () => keys.generation });
  }
  const pinned = settings.pinned === null ? null : pinnedVerifier(settings.pinned);
  if (pinned !== null && pinned.issuer !== null) verifiers.set(pinned.issuer, pinned);
  if (verifiers.size === 0 && pinned === null) return null;
  const verified = createLru<Verified>(CACHED_MAX);
  /** Tokens that their issuers signed and that have expired. */
  const expired = createLru<true>(EXPIRED_MAX);

  function verifierOf(token: string): Verifier | null {
    const issuer = issuerOf(token);
    if (issuer === null || issuer === ownIssuer) return null;
    return verifiers.get(issuer) ?? (pinned?.issuer === null ? pinned : null);
  }

  async function check(token: string, verifier: Verifier): Promise<Verified> {
    // Of before the check: the keys may change meanwhile.
    const generation = verifier.generation();
    const { payload, protectedHeader } = await jwtVerify(token, verifier.key, {
      algorithms: [verifier.alg],
      ...(verifier.issuer === null ? {} : { issuer: verifier.issuer }),
      ...(settings.audience === null ? {} : { audience: settings.audience }),
      requiredClaims: ['iss', 'sub', 'exp'],
      clockTolerance: TOLERANCE_S,
      currentDate: new Date(clock.now()),
    });
    return { payload: readClaims(protectedHeader, payload, settings), verifier, generation };
  }

  return {
    concerns: (token) => verified.has(token) || expired.has(token) || verifierOf(token) !== null,

    async verify(token) {
      const known = verified.get(token);
      if (known !== undefined) {
        const isInTime = clock.now() < known.payload.expiresAt + TOLERANCE_S * 1_000;
        if (isInTime && known.generation === known.verifier.generation()) return known.payload;
        verified.delete(token);
        if (!isInTime) expired.set(token, true);
      }
      const verifier = expired.has(token) ? null : verifierOf(token);
      if (verifier === null) throw invalidToken();
      try {
        const found = await check(token, verifier);
        verified.set(token, found);
        return found.payload;
      } catch (error) {
        // The expiry is checked after the signature.
        if (error instanceof errors.JWTExpired) expired.set(token, true);
        // Everything that is wrong with the token.
        if (error instanceof errors.JOSEError) throw invalidToken(error);
        throw error;
      }
    },

    isGenuine: (token) => verified.has(token) || expired.has(token),
  };
}

function pinnedVerifier({ key, alg, issuer }: NonNullable<IssuerSettings['pinned']>): Verifier {
  return { alg, issuer, key: async () => key, generation: () => 0 };
}

/** The `iss` of a token, not verified; `null` for a text that is not a token. */
function issuerOf(token: string): string | null {
  if (token.length > LENGTH_MAX) return null;
  try {
    const { iss } = decodeJwt<{ iss?: unknown }>(token);
    return typeof iss === 'string' ? iss : null;
  } catch (error) {
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}

function invalidToken(cause?: unknown): Refusal {
  return new Refusal('unauthenticated', 'the access token is invalid or has expired; get a new one from its issuer', {
    cause,
  });
}
