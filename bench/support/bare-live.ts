/** The baseline of the tail: a bare WebSocket server that sends each message to all its connections. Prints its address when it listens. */
import Fastify from 'fastify';
import { WebSocketServer } from 'ws';

const app = Fastify({ logger: false });
const sockets = new WebSocketServer({ server: app.server });
sockets.on('connection', (socket) => {
  socket.on('message', (data) => {
    for (const other of sockets.clients) other.send(data, { binary: false });
  });
});
console.log(await app.listen({ port: 0, host: '127.0.0.1' }));
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.terminate();
  void app.close();
});
