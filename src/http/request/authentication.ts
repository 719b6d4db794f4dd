import type { FastifyRequest, onRequestAsyncHookHandler, onRequestHookHandler } from 'fastify';
import type { Identity, Principal } from '../../identity/identity.ts';
import { networkOf } from '../../identity/sign-in-throttle.ts';
import { Refusal } from '../../kernel/errors.ts';
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
export function authenticate(identity: Pick<Identity, 'authenticate'>, limits: RateLimits): onRequestAsyncHookHandler {
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    if (token === null) {
      charge(limits.address, networkOf(request.ip));
      throw new Refusal('unauthenticated', 'an access token is required: Authorization: Bearer <token>');
    }
    request.principal = await verify(identity, limits, token, request);
    charge(limits.user, request.principal.userId);
  };
}

async function verify(
  identity: Pick<Identity, 'authenticate'>,
  limits: RateLimits,
  token: string,
  request: FastifyRequest,
): Promise<Principal> {
  const network = networkOf(request.ip);
  // Verifying a token is expensive, so a network that sent too many invalid ones has to wait.
  if (!limits.badToken.has(network)) charge(limits.badToken, network);
  try {
    return await identity.authenticate(token, isQuery(request) ? 'query' : 'command');
  } catch (error) {
    if (error instanceof Refusal && error.code === 'unauthenticated') limits.badToken.take(network);
    throw error;
  }
}

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
