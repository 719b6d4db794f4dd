import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { operations } from '../operations/index.ts';
import type { OperationServices } from '../operations/operation.ts';
import type { Clock } from '../ports/clock.ts';
import type { App } from './deps.ts';
import { prepareError } from './request/error-responses.ts';
import { stopGracefully } from './request/graceful-stop.ts';
import { QuietLog } from './request/log-controller.ts';
import { PROBLEM_TYPE } from './request/problems.ts';
import { defaultTimeouts } from './request/server-options.ts';
import { validatorCompiler } from './request/validation.ts';

/** Maximum size of a body in bytes. */
const BODY_MAX = 1024 * 1024;
/** Requests of the command line at the same time. */
const CONNECTIONS_MAX = 16;

type Deps = Readonly<{ services: OperationServices; logger: Logger; clock: Clock }>;

/**
 * The operations as HTTP, for the command line: `POST /operations/<name>` with the parameters as JSON; errors are problem details. There is no
 * authentication, so it listens only on a Unix socket that the file system protects. Not yet listening.
 */
export async function buildOperatorApp({ services, logger, clock }: Deps): Promise<App> {
  const send = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const { problem } = prepareError(logger, error, request, reply);
    reply.header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  };
  const app: App = Fastify({
    logger: false,
    logController: new QuietLog(logger),
    bodyLimit: BODY_MAX,
    requestTimeout: defaultTimeouts.request,
    connectionTimeout: defaultTimeouts.idle,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    http: { headersTimeout: defaultTimeouts.header, connectionsCheckingInterval: defaultTimeouts.check },
    frameworkErrors: send,
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = CONNECTIONS_MAX;
  app.setValidatorCompiler(validatorCompiler);
  app.setErrorHandler(send);
  app.setNotFoundHandler(() => {
    throw new Refusal('not-found', 'this server does not know the operation: it is of another version');
  });
  const stop = stopGracefully(app, clock);
  app.addHook('onRequest', (_request, _reply, done) => {
    done(stop.isStopping ? new Refusal('unavailable', 'the server is stopping; nothing was done') : undefined);
  });
  for (const { name, params, run } of operations) {
    app.post(`/operations/${name}`, { schema: { body: params } }, async (request, reply) => {
      // The body was checked against the schema of this operation's parameters.
      const result = await run(services, request.body as never);
      logger.info({ operation: name }, 'performed for an operator');
      return reply.send(result);
    });
  }
  await app.ready();
  return app;
}
