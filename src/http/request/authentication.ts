import type { FastifyRequest, onRequestAsyncHookHandler, onRequestHookHandler } from 'fastify';
import type { Identity, Principal } from '../../identity/identity.ts';
import type { Purpose } from '../../identity/live-sessions.ts';
import { Refusal } from '../../kernel/errors.ts';
import { networkOf } from '../../kernel/network.ts';
import { charge, type RateLimits } from './rate-limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller; `null` on routes that need no session. */
    principal: Principal | null;
  }
}

/** The caller, on a route that requires a session. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new Error(`route ${request.routeOptions.url} does not require authentication`);
  return request.principal;
}

/** Requires a session and limits the requests of each user. Runs before the body is read. */
export function authenticate(identity: TokenVerifier, limits: RateLimits): onRequestAsyncHookHandler {
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    if (token === null) {
      charge(limits.address, networkOf(request.ip));
      throw new Refusal('unauthenticated', 'an access token is required: Authorization: Bearer <token>');
    }
    const purpose = isQuery(request) ? 'query' : 'command';
    request.principal = await verifyToken({ identity, limits }, token, { address: request.ip, purpose });
    charge(limits.user, request.principal.userId);
  };
}

export type TokenVerifier = Pick<Identity, 'authenticate' | 'isGenuine'>;

/**
 * Authenticates a token that came from an address, over HTTP or WebSocket. Verifying a signature is expensive, so a network that sent too many invalid
 * tokens has to wait; those that were verified before on this node are exempt from that, so that one client cannot lock out the others of its network.
 * Genuine tokens that are refused, because they expired or their session has ended, count against themselves alone.
 * Throws `unauthenticated`, `too-many-requests`, and what `Identity.authenticate` throws.
 */
export async function verifyToken(
  { identity, limits: { badToken } }: Readonly<{ identity: TokenVerifier; limits: Pick<RateLimits, 'badToken'> }>,
  token: string,
  { address, purpose }: Readonly<{ address: string; purpose: Purpose }>,
): Promise<Principal> {
  const countedUnder = (): string => (identity.isGenuine(token) ? `token ${tailOf(token)}` : networkOf(address));
  const key = countedUnder();
  if (!badToken.has(key)) charge(badToken, key);
  try {
    return await identity.authenticate(token, purpose);
  } catch (error) {
    if (error instanceof Refusal && error.code === 'unauthenticated') badToken.take(countedUnder());
    throw error;
  }
}

/** Enough of a genuine token's signature to distinguish it from all others. */
const tailOf = (token: string): string => token.slice(-32);

const isQuery = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD';

/** Limits requests without a session, per network. */
export function limitByNetwork(limits: RateLimits): onRequestHookHandler {
  return (request, _reply, done) => {
    charge(limits.address, networkOf(request.ip));
    done();
  };
}

/** The token of an `Authorization` header (RFC 6750, section 2.1); `null` when there is none. */
export function bearerToken(header: string | undefined): string | null {
  if (header === undefined) return null;
  const match = /^bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(header);
  return match?.[1] ?? null;
}
