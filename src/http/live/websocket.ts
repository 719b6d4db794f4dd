import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';
import { networkOf } from '../../kernel/network.ts';
import { LiveConnection } from './connection.ts';
import type { LiveDeps } from './deps.ts';
import { Heartbeat } from './heartbeat.ts';
import { LiveSocket } from './socket.ts';

/** Maximum size of a client frame in bytes. */
const FRAME_MAX_BYTES = 128 * 1024;
/** How long a client may take to answer a close frame, in ms; then the connection is cut. */
const CLOSE_MS = 5_000;
const BEARER = 'bearer.';

/** `GET /api/v1/live` (spec, section 7). */
export async function registerWebSocket(app: FastifyInstance, deps: LiveDeps): Promise<void> {
  const { clock, random, logger } = deps;
  const connections = new Set<LiveConnection>();
  const heartbeat = new Heartbeat(clock);
  const stop = new AbortController();
  const pinging = heartbeat.run(stop.signal);
  const options = {
    maxPayload: FRAME_MAX_BYTES,
    perMessageDeflate: false,
    // Supported by the package, but missing in its types.
    closeTimeout: CLOSE_MS,
    handleProtocols: chooseProtocol,
  };

  await app.register(websocket, {
    options,
    // After a protocol error the package has sent a close frame already, and cuts a client that does not answer it.
    errorHandler: (error) => logger.debug({ err: error }, 'websocket failed'),
    async preClose() {
      await Promise.all([...connections].map((connection) => connection.stop()));
      stop.abort();
      await pinging;
    },
  });

  app.route({
    method: 'GET',
    url: '/api/v1/live',
    schema: { hide: true },
    preValidation: async (request) => requireOrigin(request, deps.allowedOrigins),
    async handler() {
      throw new Refusal('malformed', 'this path requires an upgrade to WebSocket');
    },
    wsHandler(ws, request) {
      const socket = new LiveSocket(ws, request.raw.socket);
      const connection = new LiveConnection(deps, socket, {
        correlationId: random.uuid(clock.now()),
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

/** Browsers require one of their subprotocols in the response. One without a token is preferred. */
function chooseProtocol(offered: ReadonlySet<string>): string | false {
  const names = [...offered];
  return names.find((name) => !name.startsWith(BEARER)) ?? names[0] ?? false;
}

/** Keeps pages of other sites from connecting in the name of their visitors. Clients that are not browsers send no Origin. */
function requireOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  const { origin } = request.headers;
  if (origin === undefined || allowed.includes(origin)) return;
  throw new Refusal('forbidden', 'this origin is not allowed');
}

function bearerOf(request: FastifyRequest): string | null {
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
  return offered.find((name) => name.startsWith(BEARER))?.slice(BEARER.length) ?? null;
}

function asBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
