import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  type Asking,
  expectProblem,
  group,
  type Person,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';

let server: Server;
let ada: Person;
let bob: Person;
let team: string;

beforeAll(async () => {
  server = await startServer({
    config: {
      trustProxy: ['127.0.0.1', '10.9.0.0/16'],
      rateLimits: {
        address: { burst: 100, perMinute: 1 },
        badToken: { burst: 3, perMinute: 1 },
        user: { burst: 20, perMinute: 6 },
        message: { burst: 2, perMinute: 60 },
        registration: { burst: 4, perMinute: 1 },
        directory: { burst: 7, perMinute: 1 },
      },
    },
  });
  [ada, bob] = await Promise.all([signUp(server, 'ada'), signUp(server, 'bob')]);
  team = await group(server, ada, bob);
});
afterAll(() => server.close());

function expectLimited(answer: Answer): number {
  expectProblem(answer, 429, 'too-many-requests');
  return Number(answer.headers['retry-after']);
}

async function askUntilLimited(person: Person | null, asking: Asking, most: number): Promise<Answer> {
  for (let i = 0; i < most; i++) {
    const answer = await server.ask(person, asking);
    if (answer.status === 429) return answer;
  }
  throw new Error(`not limited after ${most} requests`);
}

describe('limits', () => {
  it('restrict the rate of messages over all paths together, and report when to try again', async () => {
    const url = `/api/v1/conversations/${team}/messages`;
    expect((await server.ask(ada, { method: 'POST', url, payload: { content: 'x' } })).status).toBe(202);
    const old: Asking = { method: 'POST', url: `/conversations/${team}`, payload: { message_content: 'x' } };
    expect((await server.ask(ada, old)).status).toBe(202);
    const before = await server.log.head();
    const direct = `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`;
    expect(expectLimited(await server.ask(ada, { method: 'POST', url: direct, payload: { content: 'x' } }))).toBe(1);
    expect(await server.log.head()).toBe(before);
    expect((await server.ask(bob, { method: 'POST', url, payload: { content: 'x' } })).status).toBe(202);
  });

  it('restrict the requests of a user', async () => {
    const answer = await askUntilLimited(ada, { method: 'GET', url: '/api/v1/conversations' }, 21);
    expect(expectLimited(answer)).toBe(10);
    expect((await server.ask(bob, { method: 'GET', url: '/api/v1/conversations' })).status).toBe(200);
  });

  it('restrict registrations from one network, by the address that a trusted proxy forwards', async () => {
    const from = (address: string, i: number): Asking => ({
      method: 'POST',
      url: '/api/v1/users',
      payload: { email: `r${i}@example.org`, username: `r.${i}` },
      headers: { 'x-forwarded-for': address },
    });
    const same = ['2001:db8::1', '2001:db8::2', '2001:db8:0:0:1::', '2001:db8::3'];
    for (const [i, address] of same.entries()) expect((await server.ask(null, from(address, i))).status).toBe(202);
    expect(expectLimited(await server.ask(null, from('2001:db8::4', 4)))).toBe(60);
    expect((await server.ask(null, from('2001:db8:0:1::1', 5))).status).toBe(202);
  });

  it('restrict a network that sent invalid tokens, and no other', async () => {
    const asking: Asking = { method: 'GET', url: '/api/v1/users/me', headers: { 'x-forwarded-for': '192.0.2.9' } };
    const mallory = { ...ada, accessToken: 'bad' };
    for (let i = 0; i < 3; i++) expectProblem(await server.ask(mallory, asking), 401, 'unauthenticated');
    expectLimited(await server.ask(mallory, asking));
    const headers = { 'x-forwarded-for': '192.0.2.10' };
    expect((await server.ask(bob, { ...asking, headers })).status).toBe(200);
  });

  it('do not restrict tokens that were verified before, whatever others of the network send', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.30' };
    const asking: Asking = { method: 'GET', url: '/api/v1/users/me', headers };
    expect((await server.ask(bob, asking)).status).toBe(200);
    const mallory = { ...ada, accessToken: 'bad' };
    for (let i = 0; i < 3; i++) expectProblem(await server.ask(mallory, asking), 401, 'unauthenticated');
    expectLimited(await server.ask(mallory, asking));
    expect((await server.ask(bob, asking)).status).toBe(200);
  });

  it('count a genuine token whose session has ended against itself alone', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.31' };
    const asking: Asking = { method: 'GET', url: '/api/v1/users/me', headers };
    const eve = await signUp(server, 'eve');
    await server.ask(eve, { method: 'DELETE', url: '/api/v1/sessions/current', headers });
    for (let i = 0; i < 3; i++) expectProblem(await server.ask(eve, asking), 401, 'unauthenticated');
    expectLimited(await server.ask(eve, asking));
    // The network has its whole budget left.
    const mallory = { ...ada, accessToken: 'bad' };
    for (let i = 0; i < 3; i++) expectProblem(await server.ask(mallory, asking), 401, 'unauthenticated');
    expectLimited(await server.ask(mallory, asking));
  });

  it.each([
    ['ports', ['198.51.100.1:40000', '198.51.100.1:40001', '198.51.100.1', '"198.51.100.1:5"'], '198.51.100.2:40000'],
    [
      'ports of IPv6',
      ['[2001:db8:7::1]:5', '[2001:db8:7::2]:6', '2001:db8:7::3', '[2001:db8:7::4]'],
      '[2001:db8:8::1]:5',
    ],
    ['elements that are no addresses', ['unknown', '_x', 'unknown, garbage', '198.51.100.3, unknown'], '198.51.100.4'],
  ])('count a network once, with changing %s', async (name, same, other) => {
    const from = (address: string, i: number): Asking => ({
      method: 'POST',
      url: '/api/v1/users',
      payload: { email: `${name.length}.${i}@example.org`, username: `${name.replaceAll(' ', '.')}.${i}`.slice(0, 32) },
      headers: { 'x-forwarded-for': address },
      remoteAddress: `10.9.9.${name.length}`,
    });
    for (const [i, address] of same.entries()) {
      expect((await server.ask(null, from(address, i))).status).not.toBe(429);
    }
    expectLimited(await server.ask(null, from(same[0] ?? '', 4)));
    expect((await server.ask(null, from(other, 5))).status).not.toBe(429);
  });

  it('restrict the names that a user reads from the directory, by the size of the pages', async () => {
    const eve = await signUp(server, 'eve.d');
    const page = (limit: number) =>
      server.ask(eve, { method: 'GET', url: '/api/v1/users', query: { limit: `${limit}` } });
    // 100 names cost five units, 20 names and fewer one.
    expect((await page(100)).status).toBe(200);
    expect((await page(1)).status).toBe(200);
    expect(expectLimited(await page(21))).toBe(60);
    expect((await page(20)).status).toBe(200);
    expectLimited(await page(1));
    expect((await server.ask(bob, { method: 'GET', url: '/api/v1/users' })).status).toBe(200);
  });

  it('restrict requests without a session, but not probes', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.20' };
    const answer = await askUntilLimited(null, { method: 'GET', url: '/.well-known/jwks.json', headers }, 101);
    expect(expectLimited(answer)).toBe(60);
    expectLimited(await server.ask(null, { method: 'GET', url: '/api/v1/users/me', headers }));
    expectLimited(await server.ask(null, { method: 'GET', url: '/no/such/path', headers }));
    const page = await server.ask(null, { method: 'GET', url: '/', headers });
    expect([page.status, page.headers['retry-after']]).toEqual([429, '60']);
    expect((await server.ask(null, { method: 'GET', url: '/healthz', headers })).status).toBe(200);
    expect((await server.ask(null, { method: 'GET', url: '/readyz', headers })).status).toBe(200);
  });
});
