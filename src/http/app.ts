import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import { networkOf } from '../kernel/network.ts';
import type { App, AppDeps } from './deps.ts';
import { opensWebSocket } from './live/upgrade.ts';
import { describeRoutes } from './openapi.ts';
import { addBodyParsers, checkEncoding } from './request/body-parsers.ts';
import { cutUnlessComplete, limitConnections } from './request/connections.ts';
import { createCors } from './request/cors.ts';
import { answerErrors, answerFrameworkError, answerUnknownRoutes } from './request/error-responses.ts';
import { cleanForwardedFor, createProxyCheck } from './request/forwarded.ts';
import { stopGracefully } from './request/graceful-stop.ts';
import { checkHost } from './request/host.ts';
import { QuietLog } from './request/log-controller.ts';
import { charge, createRateLimits } from './request/rate-limits.ts';
import { createRouteTable } from './request/route-table.ts';
import { securityHeaders } from './request/security-headers.ts';
import { serverOptions } from './request/server-options.ts';
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
  const headers = securityHeaders(config.publicUrl);
  const options = serverOptions(config, clock);
  const app: App = Fastify({
    logger: false,
    logController: new QuietLog(logger),
    bodyLimit: BODY_MAX,
    ...options,
    http: { ...options.http, shouldUpgradeCallback: opensWebSocket },
    forceCloseConnections: 'idle',
    // `addRequestHooks` answers with a problem instead.
    return503OnClosing: false,
    genReqId: (request: IncomingMessage) => correlationIdOf(request) ?? random.uuid(clock.now()),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 256 },
    frameworkErrors: (error, request, reply) => answerFrameworkError({ logger, headers }, error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.decorateRequest('principal', null);
  app.setValidatorCompiler(validatorCompiler);
  addBodyParsers(app);
  const limits = createRateLimits(config.rateLimits, clock, deps.sharedLimits);
  const routes = createRouteTable(app);
  answerErrors(app, logger, routes);
  addRequestHooks(app, deps, headers);
  answerUnknownRoutes(app, routes, (request) => charge(limits.address, networkOf(request.ip)));
  await describeRoutes(app, config);
  await addRoutes(app, deps, limits);
  await app.ready();
  return app;
}

/** What happens before and after every request. Requests that succeed quickly are not logged. */
function addRequestHooks(
  app: App,
  { logger, clock, config }: AppDeps,
  headers: Readonly<Record<string, string>>,
): void {
  const stop = stopGracefully(app, clock);
  const answerPreflight = createCors(config.allowedOrigins);
  const isProxy = createProxyCheck(config.trustProxy);
  const { limitRequest } = limitConnections(app, { max: config.connectionsPerNetwork, isProxy, headers, clock });
  app.addHook('onRequest', (request, reply, done) => {
    cleanForwardedFor(request.raw, isProxy);
    reply.headers(headers).header('x-correlation-id', request.id);
    if (answerPreflight(request, reply)) return;
    checkHost(request.raw);
    limitRequest(request, reply);
    done(stop.isStopping ? new Refusal('unavailable', 'this server is stopping; nothing was written') : undefined);
  });
  app.addHook('preParsing', (request, reply, _payload, done) => {
    checkEncoding(request, reply);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    cutUnlessComplete(request, clock);
    // Of those that failed, the reason is logged if it is not the client's.
    if (reply.elapsedTime > SLOW_MS && reply.statusCode < 400) {
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
