import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import { prepareError } from './request/error-responses.ts';
import type { App, AppDeps } from './deps.ts';
import { PROBLEM_TYPE } from './request/problems.ts';
import { addHealthRoutes } from './routes/health.ts';
import { dataHeaders } from './request/security-headers.ts';

/**
 * `/healthz` and `/readyz` alone: of a node that serves no requests, or that waits for its stores (`starting`) and answers everything else with 503.
 */
export async function buildHealthApp(
  deps: Pick<AppDeps, 'parts' | 'clock' | 'logger'>,
  state: 'starting' | 'no-api',
): Promise<App> {
  const app: App = Fastify({ logger: false, forceCloseConnections: true }).withTypeProvider<TypeBoxTypeProvider>();
  addHealthRoutes(app, deps);
  app.setNotFoundHandler(() => {
    if (state === 'no-api') throw new Refusal('not-found', 'this node serves no requests');
    throw new Refusal('unavailable', 'this server waits for its stores; nothing was written', { retryAfterMs: 1_000 });
  });
  app.setErrorHandler((error, request, reply) => {
    const { problem } = prepareError(deps.logger, error, request, reply);
    reply.headers(dataHeaders).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  });
  await app.ready();
  return app;
}
