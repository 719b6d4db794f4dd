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
  const readinessChecks = [{ name: 'of the test', check: async () => reason }];
  server = await startServer({ logger, readinessChecks });
  ada = await signUp(server, 'ada');
  team = await group(server, ada);
});
afterEach(() => server.close());

const send = (): Asking => ({
  method: 'POST',
  url: `/api/v1/conversations/${team}/messages`,
  payload: { content: 'x' },
});

describe('when the event store is unavailable', () => {
  it('reports that nothing was written, and when to try again', async () => {
    const before = await server.log.head();
    server.events.faults.push('away');
    const answer = await server.ask(ada, send());
    expectProblem(answer, 503, 'unavailable');
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    expect(await server.log.head()).toBe(before);
    expect((await server.ask(ada, send())).status).toBe(202);
  });

  it('is not ready from the first append that failed until one succeeds', async () => {
    const eventStore = async () => {
      const { json } = await server.ask(null, { method: 'GET', url: '/readyz' });
      return json.parts.find(({ name }: { name: string }) => name === 'event-store');
    };
    server.events.faults.push('away');
    expectProblem(await server.ask(ada, send()), 503, 'unavailable');
    const reason = 'the last append to the event log failed';
    expect(await eventStore()).toEqual({ name: 'event-store', ready: false, reason });
    expect((await server.ask(ada, send())).status).toBe(202);
    expect(await eventStore()).toEqual({ name: 'event-store', ready: true });
  });

  it('still answers queries and probes, and reports the reason in /readyz', async () => {
    const before = await server.ask(null, { method: 'GET', url: '/readyz' });
    expect([before.status, before.json.ready]).toEqual([200, true]);
    expect(before.json.parts).toContainEqual({ name: 'event-store', ready: true });
    expect(before.json.parts.filter(({ ready }: { ready: boolean }) => !ready)).toEqual([]);
    await server.events.close();
    reason = 'parked at 12';
    expectProblem(await server.ask(ada, send()), 503, 'unavailable');
    expect((await server.ask(ada, { method: 'GET', url: '/api/v1/conversations' })).status).toBe(200);
    expect((await server.ask(null, { method: 'GET', url: '/healthz' })).json).toEqual({ status: 'ok' });
    const after = await server.ask(null, { method: 'GET', url: '/readyz' });
    expect([after.status, after.json.ready]).toEqual([503, false]);
    expect(after.json.parts).toContainEqual({ name: 'event-store', ready: false, reason: 'does not answer' });
    expect(after.json.parts).toContainEqual({ name: 'documents', ready: true });
    expect(after.json.parts).toContainEqual({ name: 'of the test', ready: false, reason: 'parked at 12' });
  });
});

describe('when the event store has been unavailable for more than five seconds', () => {
  it('answers GET and HEAD of sessions that this node knows, and no other request', async () => {
    const clock = manualClock();
    const node = await startServer({ clock });
    const bob = await signUp(node, 'bob');
    await node.ask(bob, { method: 'GET', url: '/api/v1/users/me' });
    vi.spyOn(node.events, 'readStream').mockRejectedValue(
      new StoreError('UNAVAILABLE', 'unavailable, simulated by the test'),
    );
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

describe('when the documents are unavailable', () => {
  it('rejects queries and accepts commands', async () => {
    await server.documents.close();
    expectProblem(await server.ask(ada, { method: 'GET', url: '/api/v1/conversations' }), 503, 'unavailable');
    expect((await server.ask(ada, send())).status).toBe(202);
  });
});

describe('an unexpected error', () => {
  it('is not described in the response, and is logged under the correlation id of the caller', async () => {
    server.events.beforeAppend.hook = async () => {
      throw new TypeError('secret: an internal detail');
    };
    const answer = await server.ask(ada, { ...send(), headers: { 'x-correlation-id': 'mine-1' } });
    const problem = expectProblem(answer, 500, 'internal');
    expect(JSON.stringify(problem)).not.toContain('secret');
    expect(answer.headers['x-correlation-id']).toBe('mine-1');
    const line = lines.find(({ level, message }) => level === 'error' && message === 'request failed');
    expect(line?.fields).toMatchObject({ correlationId: 'mine-1', route: '/api/v1/conversations/:id/messages' });
    expect(line?.fields.err).toBeInstanceOf(TypeError);
  });

  it('is the only thing that is logged: no line for success and refusals', async () => {
    lines.length = 0;
    await server.ask(ada, send());
    await server.ask(ada, { method: 'GET', url: '/no/such/path' });
    await server.ask(null, send());
    expect(lines).toEqual([]);
  });
});

describe('a correlation id', () => {
  it('is in the response and in the metadata of the events', async () => {
    const answer = await server.ask(ada, { ...send(), headers: { 'x-correlation-id': 'trip:7' } });
    expect(answer.headers['x-correlation-id']).toBe('trip:7');
    const { events } = await server.log.readStream(`conversation-${team}`);
    expect(events.at(-1)?.metadata).toMatchObject({ actor: ada.userId, correlationId: 'trip:7', causationId: null });
  });

  it.each(['', 'a b', 'x'.repeat(65), 'ü'])('replaces the invalid id %j', async (given) => {
    const answer = await server.ask(null, { method: 'GET', url: '/healthz', headers: { 'x-correlation-id': given } });
    expect(answer.headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});
