import { afterAll, beforeAll, expect, it } from 'vitest';
import { expectProblem, linkToken, PASSWORD, type Server, signUp, startServer } from '../support/http.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';

const AT_ONCE = 50;

/** Two nodes over the same stores. */
let stores: MemoryStores;
let nodes: readonly Server[];

beforeAll(async () => {
  stores = await openMemoryStores();
  nodes = await Promise.all([1, 2].map(() => startServer({ stores, singleWriter: false })));
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.close()));
  await stores.close();
});

/** Registers 50 times at once, half of it on each node. */
const race = (payload: (i: number) => { email: string; username: string }) =>
  Promise.all(
    Array.from({ length: AT_ONCE }, (_, i) => {
      const node = nodes[i % nodes.length]!;
      return node.ask(null, { method: 'POST', url: '/api/v1/users', payload: payload(i) });
    }),
  );

const accounts = async (after: string | null) =>
  (
    await stores.log.readAll({
      direction: 'forwards',
      from: after,
      limit: 4_096,
      filter: { types: ['UserRegistered'] },
    })
  ).events;

it('50 registrations of one username at once on two nodes, in several spellings, open one account', async () => {
  const before = await stores.log.head();
  const spellings = ['José', 'Jose\u0301', 'JOSÉ', 'Ｊosé'];
  const answers = await race((i) => ({ email: `jose${i}@example.org`, username: spellings[i % 4] ?? '' }));
  const [winner, ...more] = answers.filter(({ status }) => status === 202);
  expect(more).toEqual([]);
  for (const answer of answers) if (answer !== winner) expectProblem(answer, 409, 'username-taken', ['/username']);
  expect((await accounts(before)).map(({ data }) => data.userId)).toEqual([winner?.json._id]);
});

it('50 registrations of one address at once on two nodes, in several spellings, open one account with one good link', async () => {
  const before = await stores.log.head();
  const spellings = ['eve@bücher.example', 'EVE@xn--bcher-kva.example', 'eve@BU\u0308CHER.example'];
  const answers = await race((i) => ({ email: spellings[i % 3] ?? '', username: `eve${i}` }));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  const [account, ...more] = await accounts(before);
  expect(more).toEqual([]);
  const userId = String(account?.data.userId);
  const { events } = await stores.log.readStream(`user-${userId}`);
  const issued = events.filter(({ type }) => type === 'PasswordLinkIssued');
  expect(issued).toHaveLength(AT_ONCE);

  const [one, other] = nodes as [Server, Server];
  const links = await Promise.all(
    issued.map(({ data }) => other.identity.mailAccounts.passwordLink(userId, String(data.linkId))),
  );
  expect(links.filter((link) => link !== null)).toHaveLength(1);
  const payload = { token: await linkToken(one, userId), password: PASSWORD, confirmPassword: PASSWORD };
  const set = await Promise.all(
    nodes.map((node) => node.ask(null, { method: 'POST', url: '/api/v1/passwords', payload })),
  );
  expect(set.map(({ status }) => status)).toEqual([202, 202]);
  const credentials = { email: 'eve@bücher.example', password: PASSWORD };
  const { json } = await other.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
  expect(json.user._id).toBe(userId);
});

it('the usernames of links that were replaced are free again, and the one that is used is not', async () => {
  const [one, other] = nodes as [Server, Server];
  const email = 'mallory@example.org';
  const names = Array.from({ length: 10 }, (_, i) => `mallory${i}`);
  await Promise.all(
    names.map((username, i) =>
      (i % 2 ? one : other).ask(null, { method: 'POST', url: '/api/v1/users', payload: { email, username } }),
    ),
  );
  const { events } = await stores.log.readAll({
    direction: 'backwards',
    from: null,
    limit: 1,
    filter: { types: ['PasswordLinkIssued'] },
  });
  const token = await linkToken(one, String(events[0]?.data.userId));
  const payload = { token, password: PASSWORD, confirmPassword: PASSWORD };
  expect((await one.ask(null, { method: 'POST', url: '/api/v1/passwords', payload })).status).toBe(202);
  const credentials = { email, password: PASSWORD };
  const { json } = await one.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
  for (const username of names) {
    const again = { email: `${username}@example.net`, username };
    const { status } = await other.ask(null, { method: 'POST', url: '/api/v1/users', payload: again });
    expect([username, status]).toEqual([username, username === json.user.username ? 409 : 202]);
  }
});

it('an account that is active keeps its username against 50 registrations at once', async () => {
  const [one] = nodes as [Server];
  await signUp(one, 'trent');
  const answers = await race((i) => ({ email: `t${i}@example.org`, username: i % 2 ? 'Trent' : 'TRENT' }));
  for (const answer of answers) expectProblem(answer, 409, 'username-taken', ['/username']);
});
