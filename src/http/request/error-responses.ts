import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Logger } from '../../kernel/logger.ts';
import { httpProblem, PROBLEM_TYPE, type Problem, type ProblemResponse, problemKinds, toProblem } from './problems.ts';
import type { RouteTable } from './route-table.ts';
import { dataHeaders } from './security-headers.ts';

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

/** Answers every error with a problem, also on unknown routes, where `limit` keeps callers from scanning for routes. */
export function answerErrors(
  app: FastifyInstance,
  logger: Logger,
  routes: RouteTable,
  limit: onRequestHookHandler,
): void {
  app.setErrorHandler((error, request, reply) => {
    sendProblem(reply, prepareError(logger, error, request, reply).problem);
  });
  app.setNotFoundHandler({ preHandler: limit }, (request, reply) => {
    const instance = instanceOf(request);
    const allowed = routes.methodsOf(instance);
    if (allowed.length === 0) {
      return sendProblem(reply, httpProblem('not-found', 'there is no resource at this path', instance));
    }
    const methods = allowed.join(', ');
    reply.header('allow', methods);
    return sendProblem(reply, httpProblem('method-not-allowed', `methods allowed here: ${methods}`, instance));
  });
}

/** Answers errors that Fastify finds before routing, such as a path that is not a valid URL. */
export function answerFrameworkError(logger: Logger, error: Error, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(dataHeaders).header('x-correlation-id', request.id);
  sendProblem(reply, prepareError(logger, error, request, reply).problem);
}

function sendProblem(reply: FastifyReply, problem: Problem): void {
  // Sent as text, so that the response schema of the route does not apply.
  reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}

/** Answers bytes that are not HTTP, and closes the connection. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  // The client is gone.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return void socket.destroy();
  const code =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'header-too-large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : 'malformed';
  const { status } = problemKinds[code];
  const body = JSON.stringify(httpProblem(code, 'the request could not be parsed', ''));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
