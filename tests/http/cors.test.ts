import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asking, expectProblem, type Person, read, type Server, signUp, startServer } from '../support/http.ts';

const FRIENDLY = 'https://app.example.org';
const HSTS = 'max-age=31536000; includeSubDomains';

let server: Server;
let ada: Person;

beforeAll(async () => {
  server = await startServer({ config: { publicUrl: 'https://chat.example.org', allowedOrigins: [FRIENDLY] } });
  ada = await signUp(server, 'ada');
});
afterAll(() => server.close());

const preflight = (url: string, origin: string): Asking => ({
  // Not among the methods of other tests.
  method: 'OPTIONS' as 'GET',
  url,
  headers: { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization' },
});

describe('a page of an allowed origin', () => {
  it.each(['/api/v1/users/me', '/api/v1/sessions', '/conversations/x/members', '/no/such/path'])(
    'gets the answer to its preflight of %s',
    async (url) => {
      const { status, text, headers } = await server.ask(null, preflight(url, FRIENDLY));
      expect([status, text]).toEqual([204, '']);
      expect(headers).toMatchObject({
        'access-control-allow-origin': FRIENDLY,
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
        'access-control-max-age': '7200',
        vary: 'Origin',
      });
      const allowed = headers['access-control-allow-headers']?.split(', ') ?? [];
      expect(allowed).toEqual(expect.arrayContaining(['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Match']));
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    },
  );

  it.each([
    ['/api/v1/users/me', 200],
    ['/api/v1/users/0123456789abcdef01234567', 404],
    ['/no/such/path', 404],
    ['/api/v1/users?limit=0', 422],
  ])('may read the answer of %s and its headers, whatever its status', async (url, status) => {
    const answer = await read(server, ada, url, { headers: { origin: FRIENDLY } });
    expect(answer.status).toBe(status);
    expect(answer.headers['access-control-allow-origin']).toBe(FRIENDLY);
    const exposed = answer.headers['access-control-expose-headers']?.split(', ') ?? [];
    expect(exposed).toEqual(expect.arrayContaining(['ETag', 'Link', 'Location', 'Retry-After']));
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  });

  it('may read the 401 of a request without a token', async () => {
    const answer = await server.ask(null, { method: 'GET', url: '/api/v1/users/me', headers: { origin: FRIENDLY } });
    expectProblem(answer, 401, 'unauthenticated');
    expect(answer.headers['access-control-allow-origin']).toBe(FRIENDLY);
  });
});

describe('a page of another origin', () => {
  it.each(['https://evil.example.org', 'null', `${FRIENDLY}.evil.org`, 'http://app.example.org', '*', ''])(
    '(%j) is allowed nothing',
    async (origin) => {
      const answer = await server.ask(ada, { method: 'GET', url: '/api/v1/users/me', headers: { origin } });
      expect(answer.headers.vary).toBe('Origin');
      const refused = await server.ask(null, preflight('/api/v1/users/me', origin));
      expectProblem(refused, 405, 'method-not-allowed');
      for (const { headers } of [answer, refused]) {
        expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
      }
    },
  );
});

it('without allowed origins, no answer has a header of CORS', async () => {
  const closed = await startServer();
  const answer = await closed.ask(null, preflight('/api/v1/users/me', FRIENDLY));
  expectProblem(answer, 405, 'method-not-allowed');
  expect([answer.headers.vary, answer.headers['access-control-allow-origin']]).toEqual([undefined, undefined]);
  await closed.close();
});

describe('with a public URL of HTTPS, HSTS is in', () => {
  it.each([
    ['/healthz', 200],
    ['/readyz', 200],
    ['/metrics', 200],
    ['/openapi.json', 200],
    ['/docs/static/swagger-ui.css', 200],
    ['/', 200],
    ['/set-password', 403],
    ['/api/v1/users/me', 401],
    ['/no/such/path', 404],
    ['/api/v1/%zz', 400],
  ])('the answer of %s', async (url, status) => {
    const answer = await server.ask(null, { method: 'GET', url });
    expect([answer.status, answer.headers['strict-transport-security']]).toEqual([status, HSTS]);
  });

  it.each([
    ['bytes that are not HTTP', 'hello?\r\n\r\n', 400],
    ['a request without a Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['an unknown expectation', 'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n', 200],
    [
      'a rejected upgrade',
      'GET /api/v1/live HTTP/1.1\r\nHost: x\r\nOrigin: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
      403,
    ],
    [
      'an upgrade',
      'GET /api/v1/live HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
      101,
    ],
  ])('the answer to %s', async (_name, text, status) => {
    if (!server.app.server.listening) await server.app.listen({ host: '127.0.0.1', port: 0 });
    const address = server.app.server.address();
    const socket = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1');
    socket.write(text);
    const [chunk] = await once(socket, 'data');
    expect(String(chunk)).toMatch(
      new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\\r\\nstrict-transport-security: ${HSTS}\\r\\n`),
    );
    socket.destroy();
  });
});

it('with a public URL of HTTP, no answer has HSTS', async () => {
  const plain = await startServer();
  for (const url of ['/healthz', '/', '/no/such/path', '/docs/static/index.html']) {
    expect((await plain.ask(null, { method: 'GET', url })).headers['strict-transport-security']).toBeUndefined();
  }
  await plain.close();
});
