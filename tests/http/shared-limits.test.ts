import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { type Answer, expectProblem, PASSWORD, type Server, signUp, startServer } from '../support/http.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';

let stores: MemoryStores;
let nodes: readonly [Server, Server];

/** Two nodes after a trusted proxy, over the same stores. */
beforeAll(async () => {
  stores = await openMemoryStores();
  const options = {
    stores,
    singleWriter: false,
    sharedLimits: createMemoryLimits(system),
    limits: { signInFailures: 3, mails: { perHour: 2, perDay: 5 } },
    config: {
      trustProxy: ['127.0.0.1'],
      rateLimits: { registration: { burst: 4, perMinute: 1 } },
    },
  };
  nodes = [await startServer(options), await startServer(options)];
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.close()));
  await stores.close();
});

/** Sends to both nodes in turn, as a client whose address the proxy forwards. */
function post(i: number, address: string, url: string, payload: object): Promise<Answer> {
  const node = i % 2 === 0 ? nodes[0] : nodes[1];
  return node.ask(null, { method: 'POST', url, payload, headers: { 'x-forwarded-for': address } });
}

let registrations = 0;
const register = (i: number, address: string, email?: string) => {
  const username = `person.${registrations++}`;
  return post(i, address, '/api/v1/users', { email: email ?? `${username}@example.org`, username });
};
const signIn = (i: number, address: string, email: string, password = 'wrong password') =>
  post(i, address, '/api/v1/sessions', { email, password });

describe('limits of two nodes together', () => {
  it('restrict registrations of an IPv6 network of 64 bits', async () => {
    const addresses = ['2001:db8::1', '2001:db8::2:1', '2001:db8:0:0:1::', '2001:db8::1:2:3:4'];
    for (const [i, address] of addresses.entries()) expect((await register(i, address)).status).toBe(202);
    for (const i of [0, 1]) {
      const answer = await register(i, '2001:db8::ffff:ffff');
      expectProblem(answer, 429, 'too-many-requests');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect((await register(5, '2001:db8:0:1::1')).status).toBe(202);
  });

  it('let no more registrations pass when they are sent at the same time', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => register(i, '192.0.2.123')));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(4).fill(202), ...Array(8).fill(429)]);
  });

  it('delay sign-ins to an account from one network, and from no other', async () => {
    const { email } = await signUp(nodes[0], 'ada');
    const [home, elsewhere] = ['2001:db8:1::7', '2001:db8:2::7'];
    for (const i of [0, 1, 2]) expectProblem(await signIn(i, home, email), 401, 'unauthenticated');
    for (const i of [0, 1]) {
      const answer = await signIn(i, '2001:db8:1::8', email, PASSWORD);
      expectProblem(answer, 429, 'too-many-requests');
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect((await signIn(1, elsewhere, email, PASSWORD)).status).toBe(200);
  });

  it('restrict the mails to one address, without a difference in the answers', async () => {
    const email = 'often@example.org';
    for (let i = 0; i < 8; i++) {
      expect((await register(i, `198.51.100.${i}`, email)).status).toBe(202);
    }
    // The first registration's link, and one more in this hour.
    expect(await linksOf(email)).toHaveLength(2);
  });
});

/** The links that were issued to the account of an address. */
async function linksOf(email: string): Promise<readonly unknown[]> {
  const types = ['PasswordLinkIssued', 'UserRegistered'];
  const { events } = await stores.log.readAll({ direction: 'forwards', from: null, limit: 1_000, filter: { types } });
  const account = events.find(({ type, data }) => type === 'UserRegistered' && data.email === email);
  return events
    .filter(({ type, data }) => type === 'PasswordLinkIssued' && data.userId === account?.data.userId)
    .map(({ data }) => data.linkId);
}
