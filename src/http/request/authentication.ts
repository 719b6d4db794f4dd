import type { FastifyRequest, onRequestAsyncHookHandler, onRequestHookHandler } from 'fastify';
import type { Identity, Principal } from '../../identity/identity.ts';
import { networkOf } from '../../identity/sign-in-throttle.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { RateLimit, RateLimits } from './rate-limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; `null` where nobody need be signed in. */
    principal: Principal | null;
  }
}

/** Who asks, on a route that only the signed-in reach. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new Error(`route ${request.routeOptions.url} is not behind authentication`);
  return request.principal;
}

/** Lets only the signed-in through, and each of them only so often. Runs before the body is read. */
export function authenticate(identity: Pick<Identity, 'authenticate'>, limits: RateLimits): onRequestAsyncHookHandler {
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    if (token === null) {
      charge(limits.address, networkOf(request.ip));
      throw new Refusal('unauthenticated', 'an access token is needed: Authorization: Bearer <token>');
    }
    request.principal = await verified(identity, limits, token, request);
    charge(limits.user, request.principal.userId);
  };
}

async function verified(
  identity: Pick<Identity, 'authenticate'>,
  limits: RateLimits,
  token: string,
  request: FastifyRequest,
): Promise<Principal> {
  const network = networkOf(request.ip);
  const pace = limits.badToken;
  // Verifying costs: who sent too many bad ones waits, before the next is looked at.
  if (!pace.has(network)) charge(pace, network);
  try {
    return await identity.authenticate(token, isQuery(request) ? 'query' : 'command');
  } catch (error) {
    if (error instanceof Refusal && error.code === 'unauthenticated') pace.take(network);
    throw error;
  }
}

const isQuery = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD';

/** Lets those who need not be signed in through only so often, network by network. */
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

/** Takes from a limit, or refuses with the time to wait. */
export function charge(limit: RateLimit, key: string): void {
  const taken = limit.take(key);
  if (!taken.ok) {
    throw new Refusal('too-many-requests', 'too many requests; try again later', { retryAfterMs: taken.retryAfterMs });
  }
}
