import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_MAX } from '../../src/http/app.ts';
import { group, type Person, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;
let team: string;
let port: number;

beforeAll(async () => {
  server = await startServer();
  ada = await signUp(server, 'ada');
  team = await group(server, ada);
  port = Number(new URL(await server.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => server.close());

/** Sends bytes as they are, and returns everything that the server sends until it closes the connection. */
async function exchange(text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(text);
  return readAll(socket);
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  // The server may cut the connection while the rest of a body is being sent.
  socket.on('error', () => {});
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

const bodyOf = (answer: string): unknown => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));

const head = (...lines: string[]): string => [...lines, 'Host: parley.test', 'Connection: close', '', ''].join('\r\n');

async function stillServes(): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
  expect(await answer.json()).toEqual({ status: 'ok' });
}

/** Waits until requests are refused, by the server or by the operating system. */
async function refused(url: string): Promise<void> {
  for (;;) {
    const answer = await fetch(url).catch(() => null);
    if (answer === null) return;
    if (answer.status === 503) {
      expect(await answer.json()).toMatchObject({ code: 'unavailable' });
      return;
    }
    await answer.arrayBuffer();
  }
}

describe('on the wire', () => {
  it('answers bytes that are not HTTP with a problem', async () => {
    const answer = await exchange('hello?\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json/);
    expect(bodyOf(answer)).toMatchObject({ status: 400, code: 'malformed' });
    await stillServes();
  });

  it('answers a header that is too large with a problem', async () => {
    const answer = await exchange(head('GET / HTTP/1.1', `X-Large: ${'x'.repeat(20_000)}`));
    expect(bodyOf(answer)).toMatchObject({ status: 431, code: 'header-too-large' });
    await stillServes();
  });

  it('stops reading a chunked body that exceeds the limit', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const chunked = head(
      `POST /api/v1/conversations/${team}/messages HTTP/1.1`,
      `Authorization: Bearer ${ada.accessToken}`,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    );
    const answer = await exchange(chunked + chunk.repeat(BODY_MAX / 0x10000 + 1));
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(bodyOf(answer)).toMatchObject({ status: 413, code: 'too-large' });
    await stillServes();
  });

  it('survives a client that disconnects in the middle of a body', async () => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      head(
        `POST /api/v1/conversations/${team}/messages HTTP/1.1`,
        `Authorization: Bearer ${ada.accessToken}`,
        'Content-Type: application/json',
        'Content-Length: 100',
      ).concat('{"content":'),
    );
    socket.destroy();
    await once(socket, 'close');
    await stillServes();
  });

  it('waits for a position as long as the client does', async () => {
    const later = (await server.log.head())?.replace(/^00/, '01') ?? '';
    const leaving = new AbortController();
    const waiting = fetch(`http://127.0.0.1:${port}/api/v1/conversations`, {
      headers: { authorization: `Bearer ${ada.accessToken}`, 'min-position': later },
      signal: leaving.signal,
    });
    // If the server mistook the end of the request for a disconnect, it would have answered before another request.
    await stillServes();
    const first = await Promise.race([waiting, stillServes().then(() => 'still waiting')]);
    expect(first).toBe('still waiting');
    leaving.abort();
    await expect(waiting).rejects.toThrow();
    await stillServes();
  });

  it('finishes requests in progress when it stops, and accepts no new ones', async () => {
    const own = await startServer();
    const person = await signUp(own, 'last');
    const id = await group(own, person);
    const url = await own.app.listen({ host: '127.0.0.1', port: 0 });
    const send = () =>
      fetch(`${url}/api/v1/conversations/${id}/messages`, {
        method: 'POST',
        body: JSON.stringify({ content: 'the last' }),
        headers: { 'content-type': 'application/json', authorization: `Bearer ${person.accessToken}` },
      });
    // Opened ahead of need, as browsers do.
    const unused = connect(Number(new URL(url).port), '127.0.0.1');
    await once(unused, 'connect');
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    own.events.beforeAppend.hook = async () => {
      reached.resolve();
      await released.promise;
    };
    const inProgress = send();
    await reached.promise;
    const closed = own.app.close();
    await once(unused, 'close');
    await refused(`${url}/healthz`);
    released.resolve();
    expect((await inProgress).status).toBe(202);
    await closed;
    await own.close();
  });
});
