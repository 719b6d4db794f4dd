import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { networkOf } from '../../identity/sign-in-throttle.ts';
import { Refusal } from '../../kernel/errors.ts';
import { uuidv7 } from '../../kernel/ids.ts';
import { charge } from '../request/authentication.ts';
import { Heartbeat } from './heartbeat.ts';
import { LiveConnection } from './connection.ts';
import type { LiveDeps } from './deps.ts';
import { LiveSocket } from './socket.ts';

/** Bytes of one client frame at most. */
const FRAME_MAX_BYTES = 128 * 1024;
/** How long a client may take to answer the closing of its connection, in ms; then it is cut. */
const CLOSE_MS = 5_000;
const BEARER = 'bearer.';

/** `GET /api/v1/live` (spec, section 7): everything, both ways. */
export async function registerWebSocket(app: FastifyInstance, deps: LiveDeps): Promise<void> {
  const { clock, logger, limits } = deps;
  const connections = new Set<LiveConnection>();
  const heartbeat = new Heartbeat(clock);
  const stop = new AbortController();
  const beating = heartbeat.run(stop.signal);
  const options = {
    maxPayload: FRAME_MAX_BYTES,
    perMessageDeflate: false,
    // Known to the package, and not to its types.
    closeTimeout: CLOSE_MS,
    handleProtocols: chooseProtocol,
  };

  await app.register(websocket, {
    options,
    // A client that breaks the protocol was told so by a close frame already, and is cut if it does not answer.
    errorHandler: (error) => logger.debug({ err: error }, 'a socket failed'),
    async preClose() {
      await Promise.all([...connections].map((connection) => connection.stop()));
      stop.abort();
      await beating;
    },
  });

  app.route({
    method: 'GET',
    url: '/api/v1/live',
    schema: { hide: true },
    preValidation: async (request) => {
      requireOrigin(request, deps.allowedOrigins);
      const network = networkOf(request.ip);
      // Verifying costs: who sent too many bad tokens waits.
      if (!limits.badToken.has(network)) charge(limits.badToken, network);
    },
    async handler() {
      throw new Refusal('malformed', 'this address speaks WebSocket: ask for an upgrade');
    },
    wsHandler(ws, request) {
      const socket = new LiveSocket(ws, request.raw.socket);
      const connection = new LiveConnection(deps, socket, {
        correlationId: uuidv7(clock.now()),
        network: networkOf(request.ip),
        bearer: bearerOf(request),
      });
      connections.add(connection);
      heartbeat.add(socket);
      ws.on('pong', () => heartbeat.answered(socket));
      ws.on('message', (data, isBinary) => connection.receive(asBuffer(data), isBinary));
      ws.on('close', () => {
        heartbeat.remove(socket);
        connections.delete(connection);
        connection.closed();
      });
    },
  });
}

/** A browser wants one of its subprotocols back; one without a token is preferred. */
function chooseProtocol(offered: ReadonlySet<string>): string | false {
  const names = [...offered];
  return names.find((name) => !name.startsWith(BEARER)) ?? names[0] ?? false;
}

/** A page of a foreign site must not speak for its visitor; what is no browser sends no Origin. */
function requireOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  const { origin } = request.headers;
  if (origin === undefined || allowed.includes(origin)) return;
  throw new Refusal('forbidden', 'this origin may not connect');
}

function bearerOf(request: FastifyRequest): string | null {
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
  return offered.find((name) => name.startsWith(BEARER))?.slice(BEARER.length) ?? null;
}

function asBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
