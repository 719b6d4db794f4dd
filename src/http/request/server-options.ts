import type { Clock } from '../../ports/clock.ts';
import type { HttpConfig, Timeouts } from '../deps.ts';
import { createBrokenRequestHandler } from './connections.ts';
import { createProxyCheck } from './forwarded.ts';
import { securityHeaders } from './security-headers.ts';

export const defaultTimeouts: Timeouts = {
  request: 30_000,
  header: 15_000,
  idle: 60_000,
  keepAlive: 72_000,
  check: 2_000,
};

/** Options of every HTTP server of a node. */
export function serverOptions(
  { trustProxy, publicUrl, timeouts = defaultTimeouts }: Pick<HttpConfig, 'trustProxy' | 'publicUrl' | 'timeouts'>,
  clock: Clock,
) {
  return {
    requestTimeout: timeouts.request,
    connectionTimeout: timeouts.idle,
    keepAliveTimeout: timeouts.keepAlive,
    http: {
      maxHeaderSize: 16 * 1024,
      headersTimeout: timeouts.header,
      connectionsCheckingInterval: timeouts.check,
      // `checkHost` answers with a problem instead.
      requireHostHeader: false,
    },
    requestIdHeader: false,
    trustProxy: createProxyCheck(trustProxy),
    clientErrorHandler: createBrokenRequestHandler(clock, securityHeaders(publicUrl)),
  } as const;
}
