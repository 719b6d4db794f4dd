import type { Socket } from 'node:net';
import type { Clock } from '../../ports/clock.ts';
import type { App } from '../deps.ts';

/** How long requests in progress may take when the server stops, in ms: longer than any of them should. */
const GRACE_MS = 7_000;

/**
 * Lets the server stop quickly without cutting off requests in progress. Node.js would wait for connections that were opened ahead of need and never
 * used, and for those that a client keeps open after its response.
 */
export function stopGracefully(app: App, clock: Clock): { readonly isStopping: boolean } {
  const state = { isStopping: false };
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket) => {
    if (state.isStopping) return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  app.addHook('preClose', (done) => {
    state.isStopping = true;
    app.server.keepAliveTimeout = 1;
    app.server.keepAliveTimeoutBuffer = 0;
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    const grace = clock.after(GRACE_MS, () => app.server.closeAllConnections());
    app.server.once('close', () => grace.cancel());
    done();
  });
  return state;
}
