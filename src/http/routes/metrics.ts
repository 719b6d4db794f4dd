import { hash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Refusal } from '../../kernel/errors.ts';
import type { App, AppDeps, HttpConfig } from '../deps.ts';
import { bearerToken } from '../request/authentication.ts';

/** Loopback, private and link-local networks. IPv4 subnets also match IPv4-mapped IPv6 addresses. */
const internal = new BlockList();
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const) {
  internal.addSubnet(network, prefix, 'ipv4');
}
internal.addAddress('::1', 'ipv6');
internal.addSubnet('fc00::', 7, 'ipv6');
internal.addSubnet('fe80::', 10, 'ipv6');

/**
 * `GET /metrics`, for Prometheus. With `metricsToken`, the token is required; without one, the caller has to be in an internal network.
 * Everyone else gets the 404 of a path that does not exist.
 */
export function addMetricsRoute(
  app: App,
  { telemetry, config }: Pick<AppDeps, 'telemetry'> & { config: Pick<HttpConfig, 'metricsToken'> },
): void {
  const isAllowed = createOperatorCheck(config);

  app.get(
    '/metrics',
    {
      schema: {
        summary: 'Get the metrics of this node',
        description:
          'In the text format of Prometheus. For callers in internal networks; with `METRICS_TOKEN` set, for those that send it as bearer token.',
        tags: ['operation'],
        produces: ['text/plain'],
        response: { 200: Type.String({ description: 'The metrics' }) },
      },
      config: { problems: ['not-found'] },
    },
    async (request, reply) => {
      if (!isAllowed(request)) throw new Refusal('not-found', 'there is no resource at this path');
      const { contentType, text } = await telemetry.collect();
      return reply.type(contentType).send(text);
    },
  );
}

/** Whether a caller may see the internals of this node: who sends `metricsToken`, or without one, who is in an internal network. */
export function createOperatorCheck({
  metricsToken,
}: Pick<HttpConfig, 'metricsToken'>): (request: FastifyRequest) => boolean {
  return metricsToken === null ? isInternal : bears(metricsToken);
}

/** Whether the caller's address is internal. A request forwarded by a proxy that is not trusted shows the proxy's address, so it is not. */
export function isInternal(request: Pick<FastifyRequest, 'ip' | 'headers' | 'socket'>): boolean {
  const { ip, headers } = request;
  const isForwarded = headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined;
  if (isForwarded && ip === request.socket.remoteAddress) return false;
  return internal.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
}

/** Compares hashes, so that the time reveals neither content nor length of the token. */
function bears(token: string): (request: FastifyRequest) => boolean {
  const expected = hash('sha256', token, 'buffer');
  return ({ headers }) => {
    const given = bearerToken(headers.authorization);
    return given !== null && timingSafeEqual(hash('sha256', given, 'buffer'), expected);
  };
}
