import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asking, expectProblem, group, type Person, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;
let bob: Person;
let team: string;

beforeAll(async () => {
  server = await startServer();
  [ada, bob] = await Promise.all([signUp(server, 'ada'), signUp(server, 'bob')]);
  team = await group(server, ada, bob);
});
afterAll(() => server.close());

let keys = 0;
const newKey = (): string => `key ${++keys}`;
const send = (key: string, content: string, more: Partial<Asking> = {}): Asking => ({
  method: 'POST',
  url: `/api/v1/conversations/${team}/messages`,
  payload: { content },
  headers: { 'idempotency-key': key },
  ...more,
});
const sent = async () =>
  (await server.log.readStream(`conversation-${team}`)).events
    .filter(({ type }) => type === 'MessageSent')
    .map(({ data }) => data.content);

describe('the same Idempotency-Key', () => {
  it('gets the same answer, and nothing is done twice', async () => {
    const key = newKey();
    const first = await server.ask(ada, send(key, 'once'));
    const second = await server.ask(ada, send(key, 'once'));
    expect([second.status, second.json, second.headers.location]).toEqual([202, first.json, first.headers.location]);
    expect((await sent()).filter((content) => content === 'once')).toHaveLength(1);
  });

  it('gets the same answer in concurrent requests', async () => {
    const key = newKey();
    const answers = await Promise.all([1, 2, 3, 4].map(() => server.ask(ada, send(key, 'at once'))));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect((await sent()).filter((content) => content === 'at once')).toHaveLength(1);
  });

  it('counts together with the address when two strangers sign up', async () => {
    const key = newKey();
    const register = (name: string): Asking => ({
      method: 'POST',
      url: '/api/v1/users',
      payload: { email: `${name}@example.org`, username: name },
      headers: { 'idempotency-key': key },
    });
    const [eve, mallory] = [await server.ask(null, register('eve')), await server.ask(null, register('mallory'))];
    expect([eve.status, mallory.status]).toEqual([202, 202]);
    expect(mallory.json).not.toEqual(eve.json);
    expect((await server.ask(null, register('eve'))).json).toEqual(eve.json);
  });

  it('identifies the same request as JSON and as a form', async () => {
    const key = newKey();
    const first = await server.ask(ada, send(key, 'form or JSON'));
    const { payload: _, ...form } = send(key, '', { form: { content: 'form or JSON' } });
    const headers = { ...form.headers, 'content-type': 'application/x-www-form-urlencoded' };
    expect((await server.ask(ada, { ...form, headers })).json).toEqual(first.json);
  });

  it('is rejected for another body or another conversation', async () => {
    const key = newKey();
    await server.ask(ada, send(key, 'this'));
    expectProblem(await server.ask(ada, send(key, 'that')), 422, 'key-reused');
    const other = await group(server, ada);
    const elsewhere = send(key, 'this', { url: `/api/v1/conversations/${other}/messages` });
    expectProblem(await server.ask(ada, elsewhere), 422, 'key-reused');
  });

  it('is independent for each user and each route', async () => {
    const key = newKey();
    const adas = await server.ask(ada, send(key, 'mine'));
    const bobs = await server.ask(bob, send(key, 'mine'));
    const old: Asking = send(key, '', { url: `/conversations/${team}`, payload: { message_content: 'mine' } });
    const route = await server.ask(ada, old);
    expect(new Set([adas, bobs, route].map(({ json }) => json._id)).size).toBe(3);
  });

  it('creates a group once', async () => {
    const asking: Asking = {
      method: 'POST',
      url: '/conversations/',
      payload: { name: 'x' },
      headers: { 'idempotency-key': newKey() },
    };
    const [first, second] = [await server.ask(ada, asking), await server.ask(ada, asking)];
    expect(second.json).toEqual(first.json);
  });

  it('does not keep a refusal: the command is decided again', async () => {
    const headers = { 'idempotency-key': newKey() };
    const other = await group(server, ada);
    const asking: Asking = { method: 'POST', url: `/conversations/${other}/leave`, headers };
    expectProblem(await server.ask(bob, asking), 404, 'not-found');
    const add: Asking = {
      method: 'POST',
      url: `/conversations/${other}/members`,
      payload: { participant_id: bob.userId },
    };
    await server.ask(ada, add);
    expect((await server.ask(bob, asking)).status).toBe(202);
  });

  it('does not keep a failure: the next request succeeds', async () => {
    const key = newKey();
    server.events.faults.push('away');
    expectProblem(await server.ask(ada, send(key, 'after a failure')), 503, 'unavailable');
    expect((await server.ask(ada, send(key, 'after a failure'))).status).toBe(202);
    expect((await sent()).filter((content) => content === 'after a failure')).toHaveLength(1);
  });

  it('finds the outcome of a lost answer', async () => {
    const key = newKey();
    server.events.faults.push('unknown-after-write', 'unknown-after-write');
    const answer = await server.ask(ada, send(key, 'lost'));
    expect(answer.status).toBe(202);
    expect((await server.ask(ada, send(key, 'lost'))).json).toEqual(answer.json);
    expect((await sent()).filter((content) => content === 'lost')).toHaveLength(1);
  });
});

describe('an ETag', () => {
  const url = () => `/api/v1/conversations/${team}`;
  const get = async (headers: Record<string, string> = {}) => {
    const minPosition = (await server.log.head()) ?? '';
    return server.ask(ada, { method: 'GET', url: url(), headers: { 'min-position': minPosition, ...headers } });
  };

  it('avoids sending a version that the caller has', async () => {
    const { headers } = await get();
    const etag = headers.etag ?? '';
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, `W/"a,b" ,, W/${etag}`, '*']) {
      const answer = await get({ 'if-none-match': known });
      expect([answer.status, answer.text, answer.headers.etag]).toEqual([304, '', etag]);
    }
    for (const other of ['"1-x"', 'x', '', etag.replaceAll('"', ''), `"x,${etag.slice(1)}`]) {
      expect((await get({ 'if-none-match': other })).status).toBe(200);
    }
  });

  it('changes with the representation, also when only the mark moved', async () => {
    const first = await get();
    await server.ask(ada, { method: 'PUT', url: `${url()}/read` });
    const second = await get({ 'if-none-match': first.headers.etag ?? '' });
    expect(second.status).toBe(200);
    expect(second.headers.etag?.split('-')[0]).toBe(first.headers.etag?.split('-')[0]);
  });

  it('prevents a command from changing a version that the caller has not seen', async () => {
    const id = await group(server, ada, bob);
    const read = async () => {
      const minPosition = (await server.log.head()) ?? '';
      return server.ask(ada, { method: 'GET', url: `/api/v1/conversations/${id}`, query: { minPosition } });
    };
    const seen = { 'if-match': (await read()).headers.etag ?? '' };
    const removal: Asking = { method: 'DELETE', url: `/conversations/${id}/members/${bob.userId}`, headers: seen };
    expect((await server.ask(ada, removal)).status).toBe(202);
    const deletion: Asking = { method: 'DELETE', url: `/conversations/${id}/delete` };
    const before = await server.log.head();
    expectProblem(await server.ask(ada, { ...deletion, headers: seen }), 412, 'revision-mismatch');
    expect(await server.log.head()).toBe(before);
    expect(
      (await server.ask(ada, { ...deletion, headers: { 'if-match': (await read()).headers.etag ?? '' } })).status,
    ).toBe(202);
  });

  it('in a list accepts any of the versions, and never a weak or a foreign tag', async () => {
    const id = await group(server, ada, bob);
    const removal = (ifMatch: string): Asking => ({
      method: 'DELETE',
      url: `/conversations/${id}/members/${bob.userId}`,
      headers: { 'if-match': ifMatch },
    });
    const minPosition = (await server.log.head()) ?? '';
    const read = await server.ask(ada, { method: 'GET', url: `/api/v1/conversations/${id}`, query: { minPosition } });
    const etag = read.headers.etag ?? '';
    const before = await server.log.head();
    const foreign = ['"x"', '"999-x"', 'x', '', ',', '"x", "y,z"', '"18446744073709551616-x"'];
    for (const value of [...foreign, `W/${etag}`, `"999-x", W/${etag}`]) {
      expectProblem(await server.ask(ada, removal(value)), 412, 'revision-mismatch');
    }
    expect(await server.log.head()).toBe(before);
    expect((await server.ask(ada, removal(`"a,b", "999-x" ,, ${etag}`))).status).toBe(202);
    expectProblem(await server.ask(ada, removal(etag)), 412, 'revision-mismatch');
    expect((await server.ask(ada, removal('*'))).status).toBe(202);
  });

  it('is found in a list quickly, however long and broken the list is', async () => {
    const lists = [`${' '.repeat(15_000)}x`, '"x" '.repeat(3_000), ','.repeat(15_000), `"${'x'.repeat(15_000)}`];
    for (const name of ['if-match', 'if-none-match']) {
      for (const value of lists) {
        const url = `/api/v1/conversations/${team}`;
        const asking: Asking = { method: name === 'if-match' ? 'DELETE' : 'GET', url, headers: { [name]: value } };
        const startedAt = performance.now();
        expect((await server.ask(ada, asking)).status).toBe(name === 'if-match' ? 412 : 200);
        expect(performance.now() - startedAt).toBeLessThan(1_000);
      }
    }
  });

  it('is sent for users too', async () => {
    const me = await server.ask(ada, { method: 'GET', url: '/api/v1/users/me' });
    const again = await server.ask(ada, {
      method: 'GET',
      url: '/api/v1/users/me',
      headers: { 'if-none-match': me.headers.etag ?? '' },
    });
    expect(again.status).toBe(304);
  });
});

describe('Min-Position', () => {
  it('makes a query wait for a write, as a header or in the query string', async () => {
    for (const way of ['header', 'query']) {
      const { json } = await server.ask(ada, send(newKey(), `seen by ${way}`));
      const query: Partial<Asking> =
        way === 'header' ? { headers: { 'min-position': json.position } } : { query: { minPosition: json.position } };
      const url = `/api/v1/conversations/${team}/messages`;
      const page = await server.ask(bob, { method: 'GET', url, ...query });
      expect(page.json.items[0]).toMatchObject({ _id: json._id, content: `seen by ${way}` });
    }
  });
});
