import type { Socket } from 'node:net';
import type { App } from '../deps.ts';

/** How long requests that are under way may take when the server stops, in ms: longer than any of them should. */
const GRACE_MS = 7_000;

/**
 * Lets the server stop quickly without cutting off what is under way. Node alone waits for connections that were opened ahead of need and never used,
 * and for those that a client keeps open behind its answer.
 */
export function stopGracefully(app: App): { readonly isStopping: boolean } {
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
    setTimeout(() => app.server.closeAllConnections(), GRACE_MS).unref();
    done();
  });
  return state;
}
