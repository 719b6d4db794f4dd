/** The baseline of the HTTP figures: bare Fastify that answers 202 with the same body. Prints its address when it listens. */
import Fastify from 'fastify';

const app = Fastify({ logger: false });
app.post('/api/v1/conversations/:id/messages', (_request, reply) => {
  reply
    .code(202)
    .header('location', '/api/v1/conversations/000000000000000000000000/messages/019aa4c0-0000-7000-8000-000000000000')
    .send({ _id: '019aa4c0-0000-7000-8000-000000000000', position: '0000000000000001' });
});
console.log(await app.listen({ port: 0, host: '127.0.0.1' }));
process.on('SIGTERM', () => void app.close());
