import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import { type Asking, expectProblem, group, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';

let server: Server;
let ada: Person;
let team: string;
let lines: { level: string; fields: Record<string, unknown>; message: string }[];
let reason: string | null;

beforeEach(async () => {
  lines = [];
  reason = null;
  const note = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message });
  };
  const logger: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const parts = [
    { name: 'event-store', check: () => server.events.head().then(() => null) },
    { name: 'projection:users', check: async () => reason },
  ];
  server = await startServer({ logger, parts });
  ada = await signUp(server, 'ada');
  team = await group(server, ada);
});
afterEach(() => server.close());

const send = (): Asking => ({
  method: 'POST',
  url: `/api/v1/conversations/${team}/messages`,
  payload: { content: 'x' },
});

describe('when the event store does not take it', () => {
  it('says that nothing was written, and when to try again', async () => {
    const before = await server.events.head();
    server.events.faults.push('away');
    const answer = await server.ask(ada, send());
    expectProblem(answer, 503, 'unavailable');
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    expect(await server.events.head()).toBe(before);
    expect((await server.ask(ada, send())).status).toBe(202);
  });

  it('goes on answering queries and probes, and says in /readyz what is away', async () => {
    expect((await server.ask(null, { method: 'GET', url: '/readyz' })).json).toEqual({
      ready: true,
      parts: [
        { name: 'event-store', ready: true },
        { name: 'projection:users', ready: true },
      ],
    });
    await server.events.close();
    reason = 'parked at 12';
    expectProblem(await server.ask(ada, send()), 503, 'unavailable');
    expect((await server.ask(ada, { method: 'GET', url: '/api/v1/conversations' })).status).toBe(200);
    expect((await server.ask(null, { method: 'GET', url: '/healthz' })).json).toEqual({ status: 'ok' });
    const ready = await server.ask(null, { method: 'GET', url: '/readyz' });
    expect([ready.status, ready.json]).toEqual([
      503,
      {
        ready: false,
        parts: [
          { name: 'event-store', ready: false, reason: 'does not answer' },
          { name: 'projection:users', ready: false, reason: 'parked at 12' },
        ],
      },
    ]);
  });
});

describe('when the event store has been away for more than five seconds', () => {
  it('answers GET and HEAD of sessions that it knows, and no other request', async () => {
    const clock = manualClock();
    const node = await startServer({ clock });
    const bob = await signUp(node, 'bob');
    await node.ask(bob, { method: 'GET', url: '/api/v1/users/me' });
    vi.spyOn(node.events, 'readStream').mockRejectedValue(new StoreError('UNAVAILABLE', 'away, as the test wants it'));
    await clock.advance(5_000);
    expect((await node.ask(bob, { method: 'GET', url: '/api/v1/conversations' })).status).toBe(200);
    expect((await node.ask(bob, { method: 'HEAD', url: '/api/v1/conversations' })).status).toBe(200);
    const path = `/api/v1/conversations/${team}`;
    for (const asking of [
      { method: 'POST', url: `${path}/messages` },
      { method: 'PUT', url: `${path}/read` },
      { method: 'DELETE', url: path },
    ] as const) {
      expectProblem(await node.ask(bob, asking), 503, 'unavailable');
    }
    await node.close();
  });
});

describe('when the documents are away', () => {
  it('refuses queries and takes commands', async () => {
    await server.documents.close();
    expectProblem(await server.ask(ada, { method: 'GET', url: '/api/v1/conversations' }), 503, 'unavailable');
    expect((await server.ask(ada, send())).status).toBe(202);
  });
});

describe('when something fails that nobody foresaw', () => {
  it('tells nothing of it, and logs it under the id that the caller gave', async () => {
    server.events.beforeAppend.hook = async () => {
      throw new TypeError('secret: the inside of it');
    };
    const answer = await server.ask(ada, { ...send(), headers: { 'x-correlation-id': 'mine-1' } });
    const problem = expectProblem(answer, 500, 'internal');
    expect(JSON.stringify(problem)).not.toContain('secret');
    expect(answer.headers['x-correlation-id']).toBe('mine-1');
    const line = lines.find(({ level, message }) => level === 'error' && message === 'a request failed');
    expect(line?.fields).toMatchObject({ correlationId: 'mine-1', route: '/api/v1/conversations/:id/messages' });
    expect(line?.fields.err).toBeInstanceOf(TypeError);
  });

  it('leaves no line for what goes well, or is refused', async () => {
    lines.length = 0;
    await server.ask(ada, send());
    await server.ask(ada, { method: 'GET', url: '/no/such/path' });
    await server.ask(null, send());
    expect(lines).toEqual([]);
  });
});

describe('a correlation id', () => {
  it('stands in the answer and in the metadata of the events', async () => {
    const answer = await server.ask(ada, { ...send(), headers: { 'x-correlation-id': 'trip:7' } });
    expect(answer.headers['x-correlation-id']).toBe('trip:7');
    const { events } = await server.events.readStream(`conversation-${team}`);
    expect(events.at(-1)?.metadata).toMatchObject({ actor: ada.userId, correlationId: 'trip:7', causationId: null });
  });

  it.each(['', 'a b', 'x'.repeat(65), 'ü'])('is made anew in place of %j', async (given) => {
    const answer = await server.ask(null, { method: 'GET', url: '/healthz', headers: { 'x-correlation-id': given } });
    expect(answer.headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});
