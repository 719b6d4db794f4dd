import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import {
  type Answer,
  type Asking,
  expectProblem,
  group,
  linkToken,
  PASSWORD,
  type Person,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';

/** Two nodes over the same stores. */
let stores: MemoryStores;
let [one, other]: [Server, Server] = [] as unknown as [Server, Server];
let [ada, bob]: [Person, Person] = [] as unknown as [Person, Person];

beforeAll(async () => {
  stores = await openMemoryStores();
  one = await startServer({ stores, singleWriter: false });
  other = await startServer({ stores, singleWriter: false });
  [ada, bob] = await Promise.all([signUp(one, 'ada'), signUp(one, 'bob')]);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await stores.close();
});

let count = 0;
const newName = (): string => `name${++count}`;

/** A request with a key: `who` sends it. */
type Keyed = Readonly<{ who: Person | null; asking: Asking }>;

const keyed = (who: Person | null, asking: Asking): Keyed => {
  return { who, asking: { ...asking, headers: { 'idempotency-key': newName(), ...asking.headers } } };
};
const register = (email: string): Keyed =>
  keyed(null, { method: 'POST', url: '/api/v1/users', payload: { email, username: newName() } });

/** A pending account, and the token of its link. */
async function pending() {
  const email = `${newName()}@example.org`;
  const { json } = await one.ask(null, {
    method: 'POST',
    url: '/api/v1/users',
    payload: { email, username: newName() },
  });
  return { email, token: await linkToken(one, json._id) };
}

/** Every command that has keys, except for the end of a session: a request for each, with what it needs in place. */
const requests: Readonly<Record<string, () => Promise<Keyed>>> = {
  'a registration': async () => register(`${newName()}@example.org`),
  'a registration with the address of a pending account': async () => register((await pending()).email),
  'a registration with the address of an active account': async () => register((await signUp(one, newName())).email),
  'setting a password': async () => {
    const payload = { token: (await pending()).token, password: PASSWORD, confirmPassword: PASSWORD };
    return keyed(null, { method: 'POST', url: '/api/v1/passwords', payload });
  },
  'setting a password again by the same link': async () => {
    const payload = { token: (await pending()).token, password: PASSWORD, confirmPassword: PASSWORD };
    await one.ask(null, { method: 'POST', url: '/api/v1/passwords', payload });
    return keyed(null, { method: 'POST', url: '/api/v1/passwords', payload });
  },
  'setting a password and another username': async () => {
    const payload = { token: (await pending()).token, password: PASSWORD, confirmPassword: PASSWORD };
    return keyed(null, { method: 'POST', url: '/api/v1/passwords', payload: { ...payload, username: newName() } });
  },
  'creating a group': async () =>
    keyed(ada, { method: 'POST', url: '/conversations/', payload: { name: 'x', participants: [bob.userId] } }),
  'deleting a group': async () =>
    keyed(ada, { method: 'DELETE', url: `/conversations/${await group(one, ada, bob)}/delete` }),
  'adding a member': async () => {
    const url = `/conversations/${await group(one, ada)}/members`;
    return keyed(ada, { method: 'POST', url, payload: { participant_id: bob.userId } });
  },
  'adding a member who is one already': async () => {
    const url = `/conversations/${await group(one, ada, bob)}/members`;
    return keyed(ada, { method: 'POST', url, payload: { participant_id: bob.userId } });
  },
  'removing a member': async () =>
    keyed(ada, { method: 'DELETE', url: `/conversations/${await group(one, ada, bob)}/members/${bob.userId}` }),
  'leaving a group': async () =>
    keyed(bob, { method: 'POST', url: `/conversations/${await group(one, ada, bob)}/leave` }),
  'marking a conversation as read': async () =>
    keyed(ada, { method: 'PUT', url: `/api/v1/conversations/${await group(one, ada)}/read` }),
  'a message': async () => {
    const url = `/api/v1/conversations/${await group(one, ada)}/messages`;
    return keyed(ada, { method: 'POST', url, payload: { content: 'hello' } });
  },
  'the first message to a user': async () => {
    const url = `/api/v1/conversations/one-to-one/message?otherUserId=${(await signUp(one, newName())).userId}`;
    return keyed(ada, { method: 'POST', url, payload: { content: 'hello' } });
  },
};

/**
 * What a request left in the log: the kinds of streams and the types of their events. An interrupted registration extends its reservations when it goes
 * on, which counts once; decoys reserve nothing that exists; and a username that was not released expires by itself.
 */
async function effectsSince(position: string | null): Promise<readonly string[]> {
  const { events } = await stores.log.readAll({ direction: 'forwards', from: position, limit: 4_096 });
  const kinds = new Set<string>();
  return events
    .filter(({ stream, type }) => {
      if (/^command-|^address-decoy-/.test(stream) || type === 'NameReleased') return false;
      const isExtended = type === 'NameReserved' && kinds.has(`${stream} ${type}`);
      kinds.add(`${stream} ${type}`);
      return !isExtended;
    })
    .map(({ stream, type }) => `${stream.split('-')[0]} ${type}`)
    .toSorted();
}

/** Runs `request` on a node that dies before or after its append number `index`, from 0. Returns the answer if it comes first, `null` otherwise. */
async function dying(node: Server, { who, asking }: Keyed, index: number, when: 'before' | 'after') {
  const died = Promise.withResolvers<null>();
  const end = Promise.withResolvers<never>();
  end.promise.catch(() => {});
  const append = node.events.append;
  let appends = 0;
  const hung: typeof append = async (...args) => {
    const isLast = appends++ >= index;
    const appended = isLast && when === 'before' ? null : await append(...args);
    if (!isLast && appended !== null) return appended;
    died.resolve(null);
    return end.promise;
  };
  Object.assign(node.events, { append: hung });
  const answered = node.ask(who, asking);
  const answer = await Promise.race([answered, died.promise]);
  return {
    answer,
    /** Ends what still runs on the node that died, after everything was checked. */
    async bury() {
      end.reject(new StoreError('UNAVAILABLE', 'the node died, as the test wants it'));
      await answered;
      Object.assign(node.events, { append });
    },
  };
}

describe.each(Object.entries(requests))('%s', (_name, prepare) => {
  it('has the same answer on another node, and its effects once, wherever the first node died', {
    timeout: 60_000,
  }, async () => {
    let before = await stores.log.head();
    const expected = await prepare().then(async ({ who, asking }) => {
      before = await stores.log.head();
      expect((await one.ask(who, asking)).status).toBe(202);
      return effectsSince(before);
    });
    for (const when of ['before', 'after'] as const) {
      for (let index = 0, isOver = false; !isOver; index++) {
        const request = await prepare();
        before = await stores.log.head();
        // A node of its own: what it has in memory is wrong from then on.
        const node = await startServer({ stores, singleWriter: false });
        const { answer, bury } = await dying(node, request, index, when);
        const answers: Answer[] = answer === null ? [] : [answer];
        for (const next of [other, one]) answers.push(await next.ask(request.who, request.asking));
        expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
        expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
        expect(new Set(answers.map(({ headers }) => headers.location)).size).toBe(1);
        expect(await effectsSince(before)).toEqual(expected);
        isOver = answer !== null;
        await bury();
        await node.close();
      }
    }
  });

  it('has the same answer on two nodes at the same time, and its effects once', async () => {
    const first = await prepare();
    const before = await stores.log.head();
    expect((await one.ask(first.who, first.asking)).status).toBe(202);
    const expected = await effectsSince(before);
    for (let round = 0; round < 5; round++) {
      const { who, asking } = await prepare();
      const start = await stores.log.head();
      const answers = await Promise.all([one.ask(who, asking), other.ask(who, asking)]);
      expect(answers.map(({ status }) => status)).toEqual([202, 202]);
      expect(answers[0]?.json).toEqual(answers[1]?.json);
      expect(await effectsSince(start)).toEqual(expected);
    }
  });
});

describe('a refused request with a key', () => {
  const refusals: Readonly<Record<string, () => Promise<Keyed>>> = {
    'a message of a stranger': async () => {
      const url = `/api/v1/conversations/${await group(one, ada)}/messages`;
      return keyed(bob, { method: 'POST', url, payload: { content: 'hello' } });
    },
    'a mark of a stranger': async () =>
      keyed(bob, { method: 'PUT', url: `/api/v1/conversations/${await group(one, ada)}/read` }),
    'a group with a user who does not exist': async () =>
      keyed(ada, { method: 'POST', url: '/conversations/', payload: { name: 'x', participants: ['f'.repeat(24)] } }),
    'the owner who leaves': async () =>
      keyed(ada, { method: 'POST', url: `/conversations/${await group(one, ada)}/leave` }),
    'a revision that has passed': async () => {
      const id = await group(one, ada, bob);
      await one.ask(bob, { method: 'POST', url: `/conversations/${id}/leave` });
      const headers = { 'if-match': '"0-AAAAAAAAAAA"' };
      return keyed(ada, { method: 'DELETE', url: `/conversations/${id}/delete`, headers });
    },
    'a username that is taken': async () =>
      keyed(null, {
        method: 'POST',
        url: '/api/v1/users',
        payload: { email: 'x@example.org', username: ada.username },
      }),
    'a link that was used': async () => {
      const { token } = await pending();
      const payload = { token, password: PASSWORD, confirmPassword: PASSWORD };
      await one.ask(null, { method: 'POST', url: '/api/v1/passwords', payload });
      const other = { ...payload, password: `${PASSWORD}!`, confirmPassword: `${PASSWORD}!` };
      return keyed(null, { method: 'POST', url: '/api/v1/passwords', payload: other });
    },
  };

  it.each(Object.entries(refusals))('writes nothing, however often it comes: %s', async (_name, prepare) => {
    const { who, asking } = await prepare();
    const before = await stores.log.head();
    const statuses = new Set<number>();
    for (const node of [one, one, other]) statuses.add((await node.ask(who, asking)).status);
    expect(statuses.size).toBe(1);
    expect([...statuses][0]).toBeGreaterThanOrEqual(403);
    expect([...statuses][0]).toBeLessThan(500);
    expect(await stores.log.head()).toBe(before);
  });
});

describe('a repeated request', () => {
  it('changes nothing although its outcome was undone: a member who was added and removed is not added again', async () => {
    for (const members of [[], [bob]]) {
      const id = await group(one, ada, ...members);
      const { asking } = keyed(ada, {
        method: 'POST',
        url: `/conversations/${id}/members`,
        payload: { participant_id: bob.userId },
      });
      const first = await one.ask(ada, asking);
      expect(first.status).toBe(202);
      await one.ask(ada, { method: 'DELETE', url: `/conversations/${id}/members/${bob.userId}` });
      const before = await stores.log.head();
      for (const node of [one, other]) expect((await node.ask(ada, asking)).json).toEqual(first.json);
      expect(await stores.log.head()).toBe(before);
    }
  });

  it('is answered although it would be refused by now', async () => {
    const id = await group(one, ada, bob);
    const { asking } = keyed(bob, {
      method: 'POST',
      url: `/api/v1/conversations/${id}/messages`,
      payload: { content: 'hello' },
    });
    const first = await one.ask(bob, asking);
    await one.ask(ada, { method: 'DELETE', url: `/conversations/${id}/delete` });
    for (const node of [one, other]) expect((await node.ask(bob, asking)).json).toEqual(first.json);
  });

  it('has the position of the first one, although further messages were appended together with that', async () => {
    const id = await group(one, ada);
    const asking = (): Asking =>
      keyed(ada, { method: 'POST', url: `/api/v1/conversations/${id}/messages`, payload: { content: 'hello' } }).asking;
    const all = Array.from({ length: 50 }, asking);
    const first = await Promise.all(all.map((each) => one.ask(ada, each)));
    const again = await Promise.all(all.map((each) => other.ask(ada, each)));
    expect(again.map(({ json }) => json)).toEqual(first.map(({ json }) => json));
    expect(new Set(first.map(({ json }) => json.position)).size).toBe(50);
  });

  it('is answered although the events of its outcome were removed since: a mark that was summarised', async () => {
    const id = await group(one, ada);
    const { asking } = keyed(ada, { method: 'PUT', url: `/api/v1/conversations/${id}/read` });
    const first = await one.ask(ada, asking);
    expect(first.status).toBe(202);
    const { events } = await stores.log.readStream(`marks-${ada.userId}`, { direction: 'backwards', limit: 1 });
    await stores.log.setRetention(`marks-${ada.userId}`, { truncateBefore: (events[0]?.revision ?? 0n) + 1n });
    const before = await stores.log.head();
    for (const node of [one, other]) expect((await node.ask(ada, asking)).json).toEqual(first.json);
    expect(await stores.log.head()).toBe(before);
  });

  it('with the key of another session that was ended is rejected', async () => {
    const person = await signUp(one, newName());
    const credentials = { email: person.email, password: PASSWORD };
    const { json: second } = await one.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
    const { asking } = keyed(person, { method: 'DELETE', url: '/api/v1/sessions/current' });
    expect((await one.ask(person, asking)).status).toBe(202);
    expectProblem(await one.ask({ ...person, accessToken: second.accessToken }, asking), 422, 'key-reused');
  });
});
