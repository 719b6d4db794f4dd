import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { answerBrokenRequest, answerErrors, answerFrameworkError } from './request/error-responses.ts';
import { limitByNetwork } from './request/authentication.ts';
import { addBodyParsers } from './request/body-parsers.ts';
import type { App, AppDeps } from './deps.ts';
import { stopGracefully } from './request/graceful-stop.ts';
import { QuietLog } from './request/log-controller.ts';
import { describeRoutes } from './openapi.ts';
import { createRateLimits } from './request/rate-limits.ts';
import { createRouteTable } from './request/route-table.ts';
import { addRoutes } from './routes/index.ts';
import { dataHeaders } from './request/security-headers.ts';
import { validatorCompiler } from './request/validation.ts';

/** Bytes of a body at most. */
export const BODY_MAX = 256 * 1024;
/** A request that takes longer, in ms, is worth a line in the log. */
const SLOW_MS = 2_000;

/**
 * The whole HTTP and WebSocket surface, not yet listening. Closing it refuses what comes, lets what is under way end, and closes the sockets;
 * it closes none of its dependencies.
 */
export async function buildApp(deps: AppDeps): Promise<App> {
  const { config, logger } = deps;
  const app: App = Fastify({
    logger: false,
    logController: new QuietLog(logger),
    bodyLimit: BODY_MAX,
    // A whole request must arrive in 30 s, its head in 15 s; a connection on which nothing moves for a minute ends.
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 72_000,
    http: { maxHeaderSize: 16 * 1024, headersTimeout: 15_000 },
    forceCloseConnections: 'idle',
    // Answered below, as a problem.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: correlationIdOf,
    trustProxy: config.trustProxy.length === 0 ? false : [...config.trustProxy],
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 256 },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => answerFrameworkError(logger, error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.decorateRequest('principal', null);
  app.setValidatorCompiler(validatorCompiler);
  addBodyParsers(app);
  const limits = createRateLimits(config.rateLimits, deps.clock);
  answerErrors(app, logger, createRouteTable(app), limitByNetwork(limits));
  frameRequests(app, logger);
  await describeRoutes(app, config);
  await addRoutes(app, deps, limits);
  await app.ready();
  return app;
}

/** What every request begins and ends with. Requests that go well and quickly leave no line in the log. */
function frameRequests(app: App, logger: Logger): void {
  const stop = stopGracefully(app);
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(dataHeaders).header('x-correlation-id', request.id);
    done(stop.isStopping ? new Refusal('unavailable', 'this server is stopping; nothing was written') : undefined);
  });
  app.addHook('onResponse', (request, reply, done) => {
    if (reply.elapsedTime > SLOW_MS) {
      const fields = { ms: Math.round(reply.elapsedTime), correlationId: request.id, route: request.routeOptions.url };
      logger.warn(fields, 'a request took long');
    }
    done();
  });
}

const CORRELATION_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** The caller's own id for what it is about, if it has a good one. */
function correlationIdOf(request: IncomingMessage): string {
  const given = request.headers['x-correlation-id'];
  return typeof given === 'string' && CORRELATION_ID.test(given) ? given : randomUUID();
}
