import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpConfig } from '../../src/http/deps.ts';
import { defaultTimeouts } from '../../src/http/request/server-options.ts';
import { type Server, startServer } from '../support/http.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const SECOND = 1_000;
const head = (...lines: string[]): string => [...lines, 'Host: parley.test', '', ''].join('\r\n');

let server: Server;
let clock: ManualClock;
let port: number;
const opened: Socket[] = [];
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy();
  await server.close();
});

async function start(config: Partial<HttpConfig> = {}): Promise<void> {
  clock = manualClock();
  server = await startServer({ clock, config });
  port = Number(new URL(await server.app.listen({ host: '127.0.0.1', port: 0 })).port);
}

/** A connection on which the client never ends its side by itself. */
async function open(text = ''): Promise<Readonly<{ socket: Socket; received: () => string }>> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  opened.push(socket);
  const chunks: Buffer[] = [];
  socket.on('error', () => {});
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'connect');
  socket.write(text);
  return { socket, received: () => Buffer.concat(chunks).toString() };
}

const openConnections = (): Promise<number> =>
  new Promise((resolve, reject) =>
    server.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );

/** Resolves once the server holds this many connections. */
async function untilOpen(count: number): Promise<void> {
  while ((await openConnections()) !== count) await new Promise((resolve) => setImmediate(resolve));
}

/** Resolves once something that fits has arrived. */
async function untilReceived({ socket, received }: Awaited<ReturnType<typeof open>>, pattern: RegExp): Promise<void> {
  while (!pattern.test(received())) await once(socket, 'data');
}

describe('a request that takes too long to arrive', () => {
  it('gets 408, and its connection is destroyed a second later, whatever the client does', async () => {
    await start({ timeouts: { ...defaultTimeouts, request: 20, header: 20, check: 10 } });
    const slow = await Promise.all([
      open('GET / HTTP/1.1\r\nHost: par'),
      open(head('POST /api/v1/sessions HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 10')),
    ]);
    for (const one of slow) {
      await untilReceived(one, /"code":"request-timeout"/);
      expect(one.received()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    }
    // A client that does not close its side stays until the server cuts it.
    await clock.advance(SECOND - 1);
    expect(await openConnections()).toBeGreaterThan(0);
    await clock.advance(1);
    await untilOpen(0);
    for (const { received } of slow) expect(received().match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

describe('a body that is not read', () => {
  const begun = (path: string, ...more: string[]): string =>
    head(`POST ${path} HTTP/1.1`, 'Content-Type: application/json', 'Content-Length: 200000', ...more) +
    'x'.repeat(100_000);

  it.each([
    ['/no/such/path', [], 404],
    ['/docs', [], 405],
    ['/api/v1/conversations', [], 401],
    ['/api/v1/sessions', ['Content-Encoding: gzip'], 415],
  ] as const)(
    'of %s does not delay the answer, and its connection lasts one second more',
    async (path, more, status) => {
      await start();
      const one = await open(begun(path, ...more));
      await untilReceived(one, /"code":/);
      expect(one.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(await openConnections()).toBe(1);
      await clock.advance(SECOND);
      await untilOpen(0);
    },
  );

  it('but arrives soon leaves its connection open', async () => {
    await start();
    const one = await open(begun('/no/such/path'));
    await untilReceived(one, /"code":"not-found"/);
    one.socket.write('x'.repeat(100_000));
    one.socket.write(head('GET /healthz HTTP/1.1'));
    await untilReceived(one, /"status":"ok"/);
    await clock.advance(10 * SECOND);
    expect(await openConnections()).toBe(1);
  });

  it('counts against the limit of the network', async () => {
    await start({ rateLimits: { address: { burst: 2, perMinute: 1 } } });
    const answers = await Promise.all([1, 2, 3, 4].map(() => open(begun('/no/such/path'))));
    for (const one of answers) await untilReceived(one, /"code":/);
    const statuses = answers.map(({ received }) => received().slice(9, 12)).sort();
    expect(statuses).toEqual(['404', '404', '429', '429']);
  });
});

describe('the connections of a network', () => {
  it('are limited: one more gets 429 and is closed, until another one ends', async () => {
    await start({ connectionsPerNetwork: 3 });
    const held = await Promise.all([open(), open(), open()]);
    await untilOpen(3);
    const more = await open();
    await untilReceived(more, /"code":"too-many-requests"/);
    expect(more.received()).toMatch(/^HTTP\/1\.1 429 [\s\S]*\r\nretry-after: 1\r\n/);
    await untilOpen(3);
    held[0]?.socket.destroy();
    await untilOpen(2);
    const next = await open(head('GET /healthz HTTP/1.1'));
    await untilReceived(next, /"status":"ok"/);
  });

  it('of a trusted proxy are not limited, but the requests in progress of each client behind it are', async () => {
    await start({ connectionsPerNetwork: 2, trustProxy: ['loopback'] });
    const slow = (client: string) =>
      open(
        head(
          'POST /api/v1/sessions HTTP/1.1',
          `X-Forwarded-For: ${client}`,
          'Content-Type: application/json',
          'Content-Length: 10',
        ),
      );
    const [first] = await Promise.all([slow('192.0.2.1:1'), slow('192.0.2.1:2')]);
    const third = await slow('192.0.2.1:3');
    await untilReceived(third, /"code":"too-many-requests"/);
    const other = await open(head('GET /healthz HTTP/1.1', 'X-Forwarded-For: 192.0.2.2'));
    await untilReceived(other, /"status":"ok"/);
    first.socket.destroy();
    await untilOpen(3);
    const again = await open(head('GET /healthz HTTP/1.1', 'X-Forwarded-For: 192.0.2.1'));
    await untilReceived(again, /"status":"ok"/);
  });
});

describe('the Host header', () => {
  it.each([
    ['two', 'GET /healthz HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', 400],
    ['two equal ones', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
    ['none', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['one', 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['none, in HTTP/1.0', 'GET /healthz HTTP/1.0\r\n\r\n', 200],
  ])('%s', async (_name, text, status) => {
    await start();
    const one = await open(text);
    await untilReceived(one, /\r\n\r\n[\s\S]*\}/);
    expect(one.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 400) expect(one.received()).toMatch(/Content-Type: application\/problem\+json/i);
  });
});
