import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';
import { networkOf } from '../../kernel/network.ts';
import { charge } from '../request/rate-limits.ts';
import { AnonymousSockets } from './anonymous-sockets.ts';
import { AUTH_MS, LiveConnection } from './connection.ts';
import type { LiveDeps } from './deps.ts';
import { Heartbeat } from './heartbeat.ts';
import { LiveSocket } from './socket.ts';
import { LIVE_PATH } from './upgrade.ts';
import { WaitingBytes } from './waiting-bytes.ts';

/** Maximum size of a message of the client in bytes: that of a body over REST. */
const MESSAGE_MAX_BYTES = 256 * 1024;
/**
 * Maximum number of fragments of a message, and of pieces in which a frame may arrive: each takes far more memory than a short one contains. They
 * allow fragments of 2 KiB and packets of 256 bytes, on average, for the largest message.
 */
const FRAGMENTS_MAX = 128;
const PIECES_MAX = 1_024;
/** How long a client may take to answer a close frame, in ms; then the connection is cut. */
const CLOSE_MS = 5_000;
const BEARER = 'bearer.';

/** `GET /api/v1/live` (spec, section 7). */
export async function registerWebSocket(app: FastifyInstance, deps: LiveDeps): Promise<void> {
  const { clock, random, logger, limits } = deps;
  const connections = new Set<LiveConnection>();
  const anonymous = new AnonymousSockets({ perNetwork: deps.anonymousSockets, retryAfterMs: AUTH_MS });
  const waiting = new WaitingBytes();
  const heartbeat = new Heartbeat(clock);
  const stop = new AbortController();
  const pinging = heartbeat.run(stop.signal);
  const options = {
    maxPayload: MESSAGE_MAX_BYTES,
    maxFragments: FRAGMENTS_MAX,
    maxBufferedChunks: PIECES_MAX,
    perMessageDeflate: false,
    // Each frame in a turn of the event loop of its own, so that a burst of one client delays no other.
    allowSynchronousEvents: false,
    // Pings are charged before they are answered.
    autoPong: false,
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
    url: LIVE_PATH,
    schema: { hide: true },
    onRequest: async (request) => charge(limits.upgrade, networkOf(request.ip)),
    preValidation: async (request) => {
      requireOrigin(request, deps.allowedOrigins);
      if (request.ws) anonymous.add(request.raw.socket, networkOf(request.ip));
    },
    async handler() {
      throw new Refusal('malformed', 'this path requires an upgrade to WebSocket');
    },
    wsHandler(ws, request) {
      const tcp = request.raw.socket;
      const socket = new LiveSocket(ws, tcp);
      const connection = new LiveConnection(deps, socket, {
        correlationId: random.uuid(clock.now()),
        network: networkOf(request.ip),
        bearer: bearerOf(request),
        waiting,
        onAuthenticated: () => anonymous.authenticated(tcp),
      });
      connections.add(connection);
      heartbeat.add(socket);
      ws.on('ping', (data) => connection.pinged(data));
      ws.on('pong', (data) => {
        heartbeat.answered(socket);
        connection.ponged(data);
      });
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
