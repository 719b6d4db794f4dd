import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createWebDocuments } from '../../src/adapters/web/web-documents.ts';
import { manualClock } from '../support/manual-clock.ts';

let server: Server;
let url: string;
/** Requests that arrived, and those whose connection was closed. */
let arrived = 0;
let closed = 0;

const clock = manualClock();
const documents = createWebDocuments({ clock, readMs: 1_000 });

beforeEach(async () => {
  [arrived, closed] = [0, 0];
  server = createServer((request, response) => {
    arrived++;
    response.once('close', () => closed++);
    if (request.url === '/silent') return;
    if (request.url === '/endless') return response.writeHead(200).write('{');
    if (request.url === '/moved') return response.writeHead(302, { location: '/json' }).end();
    response.writeHead(200).end(request.url === '/json' ? '{"a":["ä"]}' : 'x');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : '';
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it('reads a JSON document', async () => {
  expect(await documents.json(`${url}/json`)).toEqual({ a: ['ä'] });
});

it.each(['/silent', '/endless'])('gives up %s after the time limit, and closes the connection', async (path) => {
  const outcome = expect(documents.json(url + path)).rejects.toMatchObject({
    name: 'WebDocumentError',
    message: `${url}${path} cannot be read: no answer within 1000 ms`,
  });
  await vi.waitUntil(() => arrived === 1);
  await clock.advance(1_000);
  await outcome;
  await vi.waitUntil(() => closed === 1);
});

it('follows no redirect', async () => {
  await expect(documents.json(`${url}/moved`)).rejects.toMatchObject({ name: 'WebDocumentError' });
  expect(arrived).toBe(1);
});

it('names the URL and the reason of a failure', async () => {
  await expect(documents.json(`${url}/text`)).rejects.toThrow(/\/text cannot be read: Unexpected token/);
  await expect(documents.json('http://127.0.0.1:1/')).rejects.toThrow(/^http:\/\/127\.0\.0\.1:1\/ cannot be read: .+/);
});
