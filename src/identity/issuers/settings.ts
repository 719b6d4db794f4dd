import type { KeyObject } from 'node:crypto';

/** Asymmetric signature algorithms (RFC 7518, section 3.1; RFC 8037). One that is symmetric would make the public key a secret. */
export type SigningAlg =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA';

/** An issuer that publishes its keys (OpenID Connect Discovery 1.0). Its tokens are accepted with this algorithm only. */
export type DiscoveredIssuer = Readonly<{ issuer: string; alg: SigningAlg }>;

/** A key that is configured, such as that of a realm of Keycloak. `issuer`: the `iss` of its tokens; `null`: any that belongs to no other issuer. */
export type PinnedIssuer = Readonly<{ key: KeyObject; alg: SigningAlg; issuer: string | null }>;

/** The outside issuers whose access tokens are accepted. */
export type IssuerSettings = Readonly<{
  discovered: readonly DiscoveredIssuer[];
  pinned: PinnedIssuer | null;
  /** What `aud` must contain; `null`, only with a pinned key: not checked. */
  audience: string | null;
  /** Clients whose tokens are accepted, by `azp` or `client_id`; empty: all. */
  clients: readonly string[];
}>;
