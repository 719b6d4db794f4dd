import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import type { App, AppDeps, HttpConfig } from './deps.ts';
import { cutUnlessComplete, limitConnections } from './request/connections.ts';
import { prepareError } from './request/error-responses.ts';
import { cleanForwardedFor, createProxyCheck } from './request/forwarded.ts';
import { checkHost } from './request/host.ts';
import { QuietLog } from './request/log-controller.ts';
import { PROBLEM_TYPE } from './request/problems.ts';
import { securityHeaders } from './request/security-headers.ts';
import { serverOptions } from './request/server-options.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addMetricsRoute } from './routes/metrics.ts';

type Deps = Pick<AppDeps, 'readinessChecks' | 'clock' | 'logger' | 'telemetry'> &
  Readonly<{
    config: Pick<HttpConfig, 'trustProxy' | 'metricsToken' | 'publicUrl' | 'connectionsPerNetwork' | 'timeouts'>;
  }>;

/**
 * Only `/healthz`, `/readyz` and `/metrics`: for a node without the role `api`, and for one that is `starting` and waits for its stores. A starting
 * node answers everything else with 503.
 */
export async function buildHealthApp(deps: Deps, state: 'starting' | 'no-api'): Promise<App> {
  const { config, logger, clock } = deps;
  const headers = securityHeaders(config.publicUrl);
  const send = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const { problem } = prepareError(logger, error, request, reply);
    reply.headers(headers).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  };
  const app: App = Fastify({
    logger: false,
    logController: new QuietLog(logger),
    ...serverOptions(config, clock),
    forceCloseConnections: true,
    frameworkErrors: send,
  }).withTypeProvider<TypeBoxTypeProvider>();
  const isProxy = createProxyCheck(config.trustProxy);
  const { limitRequest } = limitConnections(app, { max: config.connectionsPerNetwork, isProxy, headers, clock });
  // Unknown routes are answered before their body is read.
  app.addHook('onRequest', (request, reply, done) => {
    cleanForwardedFor(request.raw, isProxy);
    reply.headers(headers);
    checkHost(request.raw);
    limitRequest(request, reply);
    if (!request.is404) return done();
    if (state === 'no-api') throw new Refusal('not-found', 'this node does not serve the API');
    throw new Refusal('unavailable', 'this server is waiting for its stores; nothing was written', {
      retryAfterMs: 1_000,
    });
  });
  app.addHook('onResponse', (request, _reply, done) => {
    cutUnlessComplete(request, clock);
    done();
  });
  app.setErrorHandler(send);
  addHealthRoutes(app, deps);
  addMetricsRoute(app, deps);
  await app.ready();
  return app;
}
