import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../../kernel/logger.ts';
import { httpProblem, PROBLEM_TYPE, type Problem, type ProblemResponse, toProblem } from './problems.ts';
import type { RouteTable } from './route-table.ts';

/** The `instance` of a problem: the path of the request without the query string. */
export function instanceOf(request: FastifyRequest): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 256);
}

/** Turns an error into a problem, sets the headers of the response and logs server errors. The caller sends the body. */
export function prepareError(
  logger: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): ProblemResponse {
  const response = toProblem(error, instanceOf(request));
  const { status, code } = response.problem;
  if (status >= 500) {
    const fields = { err: error, code, correlationId: request.id, route: request.routeOptions.url };
    if (code === 'internal') logger.error(fields, 'request failed');
    // A client can require any position.
    else if (code === 'not-yet-visible') logger.debug(fields, 'request could not be served yet');
    else logger.warn(fields, 'request could not be served');
  }
  if (response.retryAfterS !== null) reply.header('retry-after', response.retryAfterS);
  if (status === 401) reply.header('www-authenticate', challenge(request));
  reply.header('cache-control', 'no-store').code(status);
  return response;
}

/** RFC 6750, section 3: the error is added only when the request had a token. */
function challenge(request: FastifyRequest): string {
  return request.headers.authorization === undefined
    ? 'Bearer realm="parley"'
    : 'Bearer realm="parley", error="invalid_token"';
}

/** Answers every error with a problem, also on unknown routes. */
export function answerErrors(app: FastifyInstance, logger: Logger, routes: RouteTable): void {
  app.setErrorHandler((error, request, reply) => {
    sendProblem(reply, prepareError(logger, error, request, reply).problem);
  });
  // Only for routes that find nothing at their path, such as that of static files: `answerUnknownRoutes` answers all others before.
  app.setNotFoundHandler((request, reply) => sendNotFound(routes, request, reply));
}

/** Answers unknown routes before their body is read. `limit` keeps callers from scanning for routes. */
export function answerUnknownRoutes(
  app: FastifyInstance,
  routes: RouteTable,
  limit: (request: FastifyRequest) => void,
) {
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done();
    limit(request);
    sendNotFound(routes, request, reply);
  });
}

function sendNotFound(routes: RouteTable, request: FastifyRequest, reply: FastifyReply): void {
  const instance = instanceOf(request);
  const allowed = routes.methodsOf(instance);
  const methods = allowed.includes(request.method) ? '' : allowed.join(', ');
  if (methods !== '') reply.header('allow', methods);
  const problem =
    methods === ''
      ? httpProblem('not-found', 'there is no resource at this path', instance)
      : httpProblem('method-not-allowed', `methods allowed here: ${methods}`, instance);
  sendProblem(reply, problem);
}

/** Answers errors that Fastify finds before routing, such as a path that is not a valid URL. `headers` are those of every answer. */
export function answerFrameworkError(
  { logger, headers }: Readonly<{ logger: Logger; headers: Readonly<Record<string, string>> }>,
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.headers(headers).header('x-correlation-id', request.id);
  sendProblem(reply, prepareError(logger, error, request, reply).problem);
}

function sendProblem(reply: FastifyReply, problem: Problem): void {
  // Sent as text, so that the response schema of the route does not apply.
  reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}
