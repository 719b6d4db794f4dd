import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Refusal } from '../kernel/errors.ts';
import { uuidv7 } from '../kernel/ids.ts';
import { LiveConnection } from './live-connection.ts';
import type { LiveDeps } from './live-deps.ts';

/** Bytes of one client frame at most. */
const FRAME_MAX_BYTES = 128 * 1024;
/** Pause between two heartbeats, in ms. A connection that has not answered the last one is cut. */
const HEARTBEAT_MS = 25_000;
const BEARER = 'bearer.';

/** `GET /api/v1/live` (spec, section 7): everything, both ways. */
export async function registerWebSocket(app: FastifyInstance, deps: LiveDeps): Promise<void> {
  await app.register(websocket, {
    options: {
      maxPayload: FRAME_MAX_BYTES,
      perMessageDeflate: false,
      // A browser wants one of its subprotocols back; one without a token is preferred.
      handleProtocols: (offered) => [...offered].find((name) => !name.startsWith(BEARER)) ?? [...offered][0] ?? false,
    },
  });
  const alive = new Map<{ ping(): void; terminate(): void }, boolean>();
  const heartbeat = setInterval(() => {
    for (const [socket, answered] of alive) {
      if (!answered) {
        socket.terminate();
        continue;
      }
      alive.set(socket, false);
      socket.ping();
    }
  }, HEARTBEAT_MS);
  heartbeat.unref();
  app.addHook('onClose', async () => clearInterval(heartbeat));

  app.get(
    '/api/v1/live',
    {
      websocket: true,
      schema: { hide: true },
      preValidation: async (request) => requireOrigin(request, deps.allowedOrigins),
    },
    (socket, request) => {
      const correlationId = uuidv7(deps.clock.now());
      const connection = new LiveConnection(deps, socket, { correlationId, bearer: bearerOf(request) });
      alive.set(socket, true);
      socket.on('pong', () => alive.set(socket, true));
      socket.on('message', (data, isBinary) => connection.receive(asBuffer(data), isBinary));
      socket.on('error', (error) => deps.logger.debug({ err: error, correlationId }, 'a socket failed'));
      socket.on('close', () => {
        alive.delete(socket);
        connection.closed();
      });
    },
  );
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
