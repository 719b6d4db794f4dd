import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Logger } from '../../kernel/logger.ts';
import { httpProblem, PROBLEM_TYPE, type Problem, problemKinds, type Told, tell } from './problems.ts';
import type { RouteTable } from './route-table.ts';
import { dataHeaders } from './security-headers.ts';

/** What a request is about, for a problem's `instance`: its path without the query. */
export function instanceOf(request: FastifyRequest): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 256);
}

/** What may be told of an error, with its headers set and its line in the log. The caller sends the body. */
export function prepareError(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): Told {
  const told = tell(error, instanceOf(request));
  const { status, code } = told.problem;
  if (status >= 500) {
    const fields = { err: error, code, correlationId: request.id, route: request.routeOptions.url };
    if (code === 'internal') logger.error(fields, 'a request failed');
    else logger.warn(fields, 'a request could not be served');
  }
  if (told.retryAfterS !== null) reply.header('retry-after', told.retryAfterS);
  if (status === 401) reply.header('www-authenticate', challenge(request));
  reply.header('cache-control', 'no-store').code(status);
  return told;
}

/** RFC 6750, section 3: says that a token was no good only to who sent one. */
function challenge(request: FastifyRequest): string {
  return request.headers.authorization === undefined
    ? 'Bearer realm="parley"'
    : 'Bearer realm="parley", error="invalid_token"';
}

/** Answers every error with a problem, also where there is no route; `limit` refuses who looks for routes too often. */
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
    if (allowed.length === 0) return sendProblem(reply, httpProblem('not-found', 'there is nothing here', instance));
    reply.header('allow', allowed.join(', '));
    return sendProblem(reply, httpProblem('method-not-allowed', `here one may only ${allowed.join(', ')}`, instance));
  });
}

/** Answers what Fastify finds wrong before there is a route, such as a path that is no URL. */
export function answerFrameworkError(logger: Logger, error: Error, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(dataHeaders).header('x-correlation-id', request.id);
  sendProblem(reply, prepareError(logger, error, request, reply).problem);
}

function sendProblem(reply: FastifyReply, problem: Problem): void {
  // Text, so that no route's schema has a say in it.
  reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}

/** Answers what is not even HTTP, and ends the connection. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  // Nobody is there any more.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return void socket.destroy();
  const code =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'header-too-large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : 'malformed';
  const { status } = problemKinds[code];
  const body = JSON.stringify(httpProblem(code, 'the request cannot be read', ''));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
