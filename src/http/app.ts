import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import type { App, AppDeps } from './deps.ts';
import { opensWebSocket } from './live/upgrade.ts';
import { describeRoutes } from './openapi.ts';
import { limitByNetwork } from './request/authentication.ts';
import { addBodyParsers } from './request/body-parsers.ts';
import { answerBrokenRequest, answerErrors, answerFrameworkError } from './request/error-responses.ts';
import { stopGracefully } from './request/graceful-stop.ts';
import { QuietLog } from './request/log-controller.ts';
import { createRateLimits } from './request/rate-limits.ts';
import { createRouteTable } from './request/route-table.ts';
import { dataHeaders } from './request/security-headers.ts';
import { validatorCompiler } from './request/validation.ts';
import { addRoutes } from './routes/index.ts';

/** Maximum size of a body in bytes. */
export const BODY_MAX = 256 * 1024;
/** A request that takes longer, in ms, is logged. */
const SLOW_MS = 2_000;

/**
 * The whole HTTP and WebSocket interface, not yet listening. Closing it rejects new requests, lets those in progress finish, and closes the sockets;
 * it closes none of its dependencies.
 */
export async function buildApp(deps: AppDeps): Promise<App> {
  const { config, logger, clock, random } = deps;
  const app: App = Fastify({
    logger: false,
    logController: new QuietLog(logger),
    bodyLimit: BODY_MAX,
    // A whole request has to arrive within 30 s, its header within 15 s. A connection without traffic is closed after a minute.
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 72_000,
    http: { maxHeaderSize: 16 * 1024, headersTimeout: 15_000, shouldUpgradeCallback: opensWebSocket },
    forceCloseConnections: 'idle',
    // `addRequestHooks` answers with a problem instead.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: (request: IncomingMessage) => correlationIdOf(request) ?? random.uuid(clock.now()),
    trustProxy: [...config.trustProxy],
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 256 },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => answerFrameworkError(logger, error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.decorateRequest('principal', null);
  app.setValidatorCompiler(validatorCompiler);
  addBodyParsers(app);
  const limits = createRateLimits(config.rateLimits, clock);
  answerErrors(app, logger, createRouteTable(app), limitByNetwork(limits));
  addRequestHooks(app, deps);
  await describeRoutes(app, config);
  await addRoutes(app, deps, limits);
  await app.ready();
  return app;
}

/** What happens before and after every request. Requests that succeed quickly are not logged. */
function addRequestHooks(app: App, { logger, clock }: AppDeps): void {
  const stop = stopGracefully(app, clock);
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(dataHeaders).header('x-correlation-id', request.id);
    done(stop.isStopping ? new Refusal('unavailable', 'this server is stopping; nothing was written') : undefined);
  });
  app.addHook('onResponse', (request, reply, done) => {
    if (reply.elapsedTime > SLOW_MS) {
      const fields = { ms: Math.round(reply.elapsedTime), correlationId: request.id, route: request.routeOptions.url };
      logger.warn(fields, 'slow request');
    }
    done();
  });
}

const CORRELATION_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** The caller's own id for the request, if it has a valid one. */
function correlationIdOf(request: IncomingMessage): string | null {
  const given = request.headers['x-correlation-id'];
  return typeof given === 'string' && CORRELATION_ID.test(given) ? given : null;
}
