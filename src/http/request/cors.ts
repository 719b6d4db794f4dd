import type { FastifyReply, FastifyRequest } from 'fastify';

/** Methods, request headers and response headers of the API, for pages of other origins. */
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const REQUEST_HEADERS =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Min-Position, X-Correlation-Id';
const RESPONSE_HEADERS = 'ETag, Link, Location, Position, Retry-After, WWW-Authenticate, X-Correlation-Id';
/** How long a browser may use the answer to a preflight, in seconds; browsers cap it at this. */
const PREFLIGHT_MAX_AGE_S = 7_200;

/**
 * Allows pages of these origins to send requests (Fetch Standard, section 3.2). Access tokens are in a header and not in a cookie, so credentials are
 * not allowed. The returned function sets the headers of a response; `true`: it was a preflight, and is answered.
 */
export function createCors(origins: readonly string[]): (request: FastifyRequest, reply: FastifyReply) => boolean {
  if (origins.length === 0) return () => false;
  const allowed = new Set(origins);
  return ({ method, headers }, reply) => {
    reply.header('vary', 'Origin');
    const { origin } = headers;
    if (origin === undefined || !allowed.has(origin)) return false;
    reply.header('access-control-allow-origin', origin);
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      reply.header('access-control-expose-headers', RESPONSE_HEADERS);
      return false;
    }
    reply.header('access-control-allow-methods', METHODS).header('access-control-allow-headers', REQUEST_HEADERS);
    reply.header('access-control-max-age', PREFLIGHT_MAX_AGE_S).code(204).send();
    return true;
  };
}
