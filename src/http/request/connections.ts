import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';
import { networkOf } from '../../kernel/network.ts';
import type { Clock } from '../../ports/clock.ts';
import { type HttpCode, httpProblem, PROBLEM_TYPE, problemKinds } from './problems.ts';

/** How long a connection stays open after its last answer, in ms, so that the client can read it. */
const LINGER_MS = 1_000;

type Headers = Readonly<Record<string, string>>;

/** Answers bytes that are not HTTP and requests that do not arrive in time, and closes the connection, whether or not the client does. */
export function createBrokenRequestHandler(
  clock: Clock,
  headers: Headers,
): (error: Error & { code?: string }, socket: Socket) => void {
  return (error, socket) => {
    // The client is gone.
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return void socket.destroy();
    const code =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 'header-too-large'
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 'request-timeout'
          : 'malformed';
    const detail =
      code === 'request-timeout' ? 'the request took too long to arrive' : 'the request could not be parsed';
    socket.end(rawProblem(code, detail, headers));
    destroyLater(socket, clock);
  };
}

/** A problem as bytes, for connections that have no request. */
function rawProblem(code: HttpCode | 'malformed' | 'too-many-requests', detail: string, headers: Headers): string {
  const { status } = problemKinds[code];
  const body = JSON.stringify(httpProblem(code, detail, ''));
  const own = { 'Content-Type': PROBLEM_TYPE, 'Content-Length': Buffer.byteLength(body), Connection: 'close' };
  const lines = Object.entries({ ...own, ...headers }).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n');
}

function destroyLater(socket: Socket, clock: Clock): void {
  const timer = clock.after(LINGER_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
}

/** Cuts the connection of a request that was answered before its body had arrived, unless the rest arrives soon. */
export function cutUnlessComplete({ raw }: Pick<FastifyRequest, 'raw'>, clock: Clock): void {
  if (raw.complete !== false) return;
  const { socket } = raw;
  const stop = (): void => timer.cancel();
  const timer = clock.after(LINGER_MS, () => {
    socket.off('close', stop);
    if (!raw.complete) socket.destroy();
  });
  socket.once('close', stop);
}

/** Counts per key, up to a maximum. Keys without any are not kept. */
class Occupancy {
  readonly #counts = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** `false`: the maximum is reached, and nothing was counted. */
  enter(key: string): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#max) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  leave(key: string): void {
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }
}

/**
 * Limits the open connections of each network. Connections of trusted proxies are not limited, because they carry the requests of many clients;
 * instead, the requests in progress of each client that they forward are. Upgraded ones are left to the limits of WebSockets.
 */
export function limitConnections(
  app: FastifyInstance,
  options: Readonly<{ max: number; isProxy: (address: string) => boolean; headers: Headers; clock: Clock }>,
): { limitRequest(request: FastifyRequest, reply: FastifyReply): void } {
  const { max, isProxy, headers, clock } = options;
  const connections = new Occupancy(max);
  const requests = new Occupancy(max);
  const detail = 'too many connections from this network; try again later';

  // Otherwise Node.js answers unknown expectations by itself; RFC 9110, section 10.1.1, allows to ignore them.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (isProxy(address)) return;
    const network = networkOf(address);
    if (connections.enter(network)) return void socket.once('close', () => connections.leave(network));
    const answer = rawProblem('too-many-requests', detail, { ...headers, 'retry-after': '1' });
    // Does not linger: the client may lose the answer, but holds nothing.
    socket.write(answer, () => socket.destroy());
    destroyLater(socket, clock);
  });

  return {
    limitRequest(request, reply) {
      const { raw } = request;
      if (!isProxy(raw.socket.remoteAddress ?? '') || isUpgrade(raw)) return;
      const network = networkOf(request.ip);
      if (!requests.enter(network)) throw new Refusal('too-many-requests', detail, { retryAfterMs: 1_000 });
      reply.raw.once('close', () => requests.leave(network));
    },
  };
}

const isUpgrade = ({ headers }: IncomingMessage): boolean => headers.upgrade?.toLowerCase() === 'websocket';
