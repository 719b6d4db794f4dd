import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Person, type Server, signUp, startServer } from '../support/http.ts';
import { addressOf, closeAll } from '../support/live.ts';
import { upgradeRequest } from '../support/raw-live.ts';

let server: Server;
let ann: Person;

beforeAll(async () => {
  server = await startServer();
  ann = await signUp(server, 'ann');
});
afterAll(async () => {
  await closeAll(server);
  await server.close();
});

/** The status lines and bodies of the responses to these requests, sent one after the other over one connection. Parts of a request are sent separately. */
async function exchange(...requests: readonly (readonly string[])[]): Promise<{ status: string; body: string }[]> {
  const { port } = await addressOf(server);
  const tcp = connect(port, '127.0.0.1').setNoDelay();
  const chunks = tcp.setEncoding('utf8')[Symbol.asyncIterator]();
  const responses: { status: string; body: string }[] = [];
  for (const parts of requests) {
    for (const part of parts) {
      const { bytesRead } = serverSide();
      tcp.write(part);
      // Each part arrives before the next one is sent.
      while (serverSide().bytesRead < bytesRead + Buffer.byteLength(part)) await new Promise(setImmediate);
    }
    let text = '';
    const isComplete = (): boolean => {
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      return end >= 0 && Buffer.byteLength(text.slice(end + 4)) >= length;
    };
    while (!isComplete()) {
      const { value, done } = await chunks.next();
      if (done === true) throw new Error(`the connection was closed after: ${text}`);
      text += value;
    }
    responses.push({ status: text.split(' ', 2)[1] ?? '', body: text.slice(text.indexOf('\r\n\r\n') + 4) });
  }
  tcp.destroy();
  return responses;

  function serverSide(): { bytesRead: number } {
    return accepted.get(tcp.localPort ?? 0) ?? { bytesRead: 0 };
  }
}

/** The server's side of connections, by the port of the client. */
const accepted = new Map<number, { bytesRead: number }>();
beforeAll(() => {
  server.app.server.on('connection', (socket) => accepted.set(socket.remotePort ?? 0, socket));
});

const h2c = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA'];
const head = (start: string, lines: readonly string[]): string =>
  `${[`${start} HTTP/1.1`, 'Host: parley.test', ...lines].join('\r\n')}\r\n\r\n`;
const plain = [head('GET /healthz', [])];

describe('an offer of another protocol', () => {
  it.each([
    ['h2c', h2c],
    ['TLS', ['Connection: Upgrade', 'Upgrade: TLS/1.0']],
    ['several protocols', ['Connection: Upgrade', 'Upgrade: h2c, websocket']],
    ['WebSocket, but not on the live endpoint', ['Connection: Upgrade', 'Upgrade: websocket']],
  ])('(%s) is ignored, and the connection stays usable', async (_name, lines) => {
    const responses = await exchange([head('GET /healthz', lines)], [head('GET /no/such/path', lines)], plain);
    expect(responses.map(({ status }) => status)).toEqual(['200', '404', '200']);
    expect(JSON.parse(responses[1]?.body ?? '')).toMatchObject({ code: 'not-found' });
  });

  it.each([
    ['together with its header', (lines: string, body: string) => [lines + body]],
    ['after its header', (lines: string, body: string) => [lines, body.slice(0, 10), body.slice(10)]],
  ])('leaves the body of a command intact that arrives %s', async (_name, parts) => {
    const bearer = `Authorization: Bearer ${ann.accessToken}`;
    const body = JSON.stringify({ name: 'from Java', participants: [] });
    const lines = [...h2c, bearer, 'Content-Type: application/json', `Content-Length: ${body.length}`];
    const chunked = [...h2c, bearer, 'Content-Type: application/json', 'Transfer-Encoding: chunked'];
    const responses = await exchange(
      parts(head('POST /api/v1/conversations', lines), body),
      parts(head('POST /api/v1/conversations', chunked), `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`),
      plain,
    );
    expect(responses.map(({ status }) => status)).toEqual(['202', '202', '200']);
  });

  it('on the live endpoint is answered like a request without an upgrade', async () => {
    const [answer] = await exchange([head('GET /api/v1/live', h2c)]);
    expect(answer?.status).toBe('400');
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({
      code: 'malformed',
      detail: 'this path requires an upgrade to WebSocket',
    });
  });

  it('with a method other than GET on the live endpoint is answered over HTTP', async () => {
    const [answer] = await exchange([upgradeRequest().replace('GET', 'POST')]);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ code: 'method-not-allowed', status: 405 });
  });
});

describe('an upgrade to WebSocket', () => {
  it.each([
    ['with a query string', '/api/v1/live?from=here'],
    ['with a slash at the end', '/api/v1/live/'],
  ])('%s succeeds', async (_name, path) => {
    expect(await exchange([upgradeRequest([], path)])).toMatchObject([{ status: '101' }]);
  });

  it('whose name is written in capitals succeeds', async () => {
    const request = upgradeRequest().replace('Upgrade: websocket', 'Upgrade: WebSocket');
    expect(await exchange([request])).toMatchObject([{ status: '101' }]);
  });
});
