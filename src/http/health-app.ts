import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import type { App, AppDeps, HttpConfig } from './deps.ts';
import { prepareError } from './request/error-responses.ts';
import { PROBLEM_TYPE } from './request/problems.ts';
import { dataHeaders } from './request/security-headers.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addMetricsRoute } from './routes/metrics.ts';

type Deps = Pick<AppDeps, 'readinessChecks' | 'clock' | 'logger' | 'telemetry'> &
  Readonly<{ config: Pick<HttpConfig, 'trustProxy' | 'metricsToken'> }>;

/**
 * Only `/healthz`, `/readyz` and `/metrics`: for a node without the role `api`, and for one that is `starting` and waits for its stores. A starting
 * node answers everything else with 503.
 */
export async function buildHealthApp(deps: Deps, state: 'starting' | 'no-api'): Promise<App> {
  const app: App = Fastify({
    logger: false,
    forceCloseConnections: true,
    trustProxy: [...deps.config.trustProxy],
  }).withTypeProvider<TypeBoxTypeProvider>();
  addHealthRoutes(app, deps);
  addMetricsRoute(app, deps);
  app.setNotFoundHandler(() => {
    if (state === 'no-api') throw new Refusal('not-found', 'this node does not serve the API');
    throw new Refusal('unavailable', 'this server is waiting for its stores; nothing was written', {
      retryAfterMs: 1_000,
    });
  });
  app.setErrorHandler((error, request, reply) => {
    const { problem } = prepareError(deps.logger, error, request, reply);
    reply.headers(dataHeaders).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  });
  await app.ready();
  return app;
}
