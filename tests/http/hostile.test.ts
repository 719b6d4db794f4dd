import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Logger } from '../../src/kernel/logger.ts';
import { type Asking, expectProblem, group, type Person, type Server, signUp, startServer } from '../support/http.ts';

/** Lines of the log at `warn` and above. */
const lines: unknown[] = [];
const add = (fields: object, message: string): void => void lines.push({ message, ...fields });
const logger: Logger = { debug() {}, info() {}, warn: add, error: add };

let server: Server;
let ada: Person;
let team: string;
let port: number;

beforeAll(async () => {
  server = await startServer({ logger });
  ada = await signUp(server, 'ada');
  team = await group(server, ada);
  port = Number(new URL(await server.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => server.close());

describe('client errors of libraries', () => {
  const get = (url: string, headers: Record<string, string> = {}) => server.ask(null, { method: 'GET', url, headers });

  it.each([
    ['a range that the file does not have', '/docs/static/swagger-ui.css', { range: 'bytes=99999999-' }, 416],
    ['an unknown file', '/docs/static/no-such-file.js', {}, 404],
    ['an encoded traversal', '/docs/static/%2e%2e%2f%2e%2e%2fpackage.json', {}, 404],
    ['a doubly encoded traversal', '/docs/static/%252e%252e%252fpackage.json', {}, 404],
    ['a backslash traversal', '/docs/static/..%5c..%5cpackage.json', {}, 404],
    ['a NUL', '/docs/static/%00', {}, 404],
    ['a name that is too long for the file system', `/docs/static/${'x'.repeat(300)}`, {}, 404],
    ['a path that is too long for the file system', `/docs/static/${'x/'.repeat(3_000)}`, {}, 404],
    ['a folder', '/docs/static/', {}, 404],
    ['a hidden file', '/docs/static/.env', {}, 404],
    ['a failed precondition', '/docs/static/swagger-ui.css', { 'if-match': '"x"' }, 412],
  ])('%s: never a server error, nor a method error', async (_name, url, headers, status) => {
    const answer = await get(url, headers as Record<string, string>);
    expect([answer.status, answer.headers.allow]).toEqual([status, undefined]);
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
    expect(answer.json.status).toBe(status);
    expect(lines).toEqual([]);
  });

  it('a method that no route has at the path is 405', async () => {
    const answer = await server.ask(null, { method: 'POST', url: '/docs/static/swagger-ui.css' });
    expectProblem(answer, 405, 'method-not-allowed');
    expect(answer.headers.allow).toBe('GET, HEAD');
  });

  it('uploads that clients abort write nothing to the log', async () => {
    const upload = (path: string) =>
      new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          const head = [`POST ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${ada.accessToken}`];
          const body = ['Content-Type: application/json', 'Content-Length: 100000', '', 'x'.repeat(50_000)];
          socket.write([...head, ...body].join('\r\n'), () => socket.destroy());
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
      });
    const paths = [`/api/v1/conversations/${team}/messages`, '/api/v1/sessions', '/set-password', '/no/such/path'];
    await Promise.all(Array.from({ length: 100 }, (_, i) => upload(paths[i % paths.length] ?? '')));
    // The server has seen the end of all of them.
    const count = () => new Promise((resolve) => server.app.server.getConnections((_error, open) => resolve(open)));
    while ((await count()) !== 0) await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toEqual([]);
  });

  it('answers that clients do not read to the end write nothing to the log', async () => {
    const leave = () =>
      new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.write('GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n');
          socket.once('data', () => socket.destroy());
        });
        socket.on('close', () => resolve());
      });
    await Promise.all(Array.from({ length: 20 }, leave));
    const count = () => new Promise((resolve) => server.app.server.getConnections((_error, open) => resolve(open)));
    while ((await count()) !== 0) await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toEqual([]);
  });
});

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'] as const;

/** The paths of all routes, with their parameters to be filled in. */
async function allPaths(): Promise<readonly string[]> {
  const { json } = await server.ask(null, { method: 'GET', url: '/openapi.json' });
  const hidden = ['/', '/set-password', '/docs', '/docs/static/{file}', '/openapi.json', '/parley.css', '/api/v1/live'];
  return [...Object.keys(json.paths as object), ...hidden, '/no/{such}/path'];
}

const text = fc.oneof(
  fc.constantFrom('', '*', '%', '..', '\u0000', '\ud800', '1e999', '-1', '99999999999999999999', 'a b', 'null', '[]'),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 400 }),
);
const segment = fc.oneof(
  fc.constantFrom('..', '%2e%2e', '%2f', '%5c', '%00', '%', '%zz', '%ff', '.', '*', ':id', ' ', 'x'.repeat(255)),
  text.map((value) => encodeURIComponent(value.toWellFormed())),
);
const printable = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
const headers = fc.record(
  {
    range: fc.constantFrom('bytes=5-1', 'bytes=99999999-', 'bytes=-0', 'x', 'bytes=0-1,2-3'),
    'if-match': fc.oneof(printable, fc.constantFrom('*', 'W/"1-x"', '"1-x", "2-y"', '"', ',,')),
    'if-none-match': fc.oneof(printable, fc.constantFrom('*', 'W/"1-x"', '"1-x", "2-y"', '"', ',,')),
    'if-modified-since': printable,
    'content-encoding': fc.constantFrom('gzip', 'identity', 'br, gzip', '', ','),
    'content-type': fc.oneof(
      printable,
      fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16'),
    ),
    'idempotency-key': printable,
    'min-position': printable,
    'x-correlation-id': printable,
    'x-forwarded-for': printable,
    'x-forwarded-host': printable,
    origin: printable,
    'access-control-request-method': fc.constantFrom('POST', 'x'),
    accept: printable,
    authorization: fc.oneof(printable, fc.constant(undefined)),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  fc.constantFrom(
    '',
    '{',
    '{}',
    '[]',
    'null',
    '"x"',
    '{"__proto__":1}',
    'a=%zz',
    'a=1&a=2',
    '\u0000',
    `${'['.repeat(9_999)}`,
  ),
  fc.jsonValue().map((value) => JSON.stringify(value)),
  fc.string({ unit: 'binary' }),
);

describe('hostile requests to every route', () => {
  it('are never answered with a server error, and write nothing to the log', async () => {
    const paths = await allPaths();
    const request = fc.record({
      method: fc.constantFrom(...METHODS),
      path: fc.constantFrom(...paths),
      segments: fc.array(segment, { minLength: 4, maxLength: 4 }),
      isTeam: fc.boolean(),
      query: fc.dictionary(
        fc.constantFrom('limit', 'before', 'after', 'from', 'otherUserId', 'search', 'token', 'minPosition', 'x'),
        text.map((value) => value.toWellFormed()),
        { maxKeys: 3 },
      ),
      headers,
      body: fc.option(body, { nil: undefined }),
      isSignedIn: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(request, async (given) => {
        let i = 0;
        const fill = (name: string) => (name === '{id}' && given.isTeam ? team : (given.segments[i++] ?? ''));
        const url = given.path.replaceAll(/\{\w+\}/g, fill);
        const { authorization, ...others } = given.headers;
        const own = authorization === undefined ? {} : { authorization };
        const asking = {
          method: given.method as Asking['method'],
          url,
          query: given.query,
          headers: given.isSignedIn ? others : { ...others, ...own },
          ...(given.body === undefined || given.method === 'GET' ? {} : { payload: given.body }),
        };
        const answer = await server.ask(given.isSignedIn ? ada : null, asking as Asking);
        expect(answer.status, `${given.method} ${url}: ${answer.text}`).toBeLessThan(500);
        expect(answer.headers['x-content-type-options']).toBe('nosniff');
        if (answer.status >= 400 && answer.text !== '' && !answer.headers['content-type']?.startsWith('text/html')) {
          expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
        }
        expect(lines).toEqual([]);
      }),
      { numRuns: 1_500 },
    );
  });
});
