import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { openOnServer } from '../adapters/eventstoredb.ts';
import {
  type Asking,
  expectProblem,
  group,
  PASSWORD,
  type Person,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { openMemoryStores, system } from '../support/stores.ts';

const HOUR = 60 * 60_000;

let clock: ManualClock;
let server: Server;
let close: () => Promise<void>;
/** The streams whose retention was set. */
let retained: string[];

/** The stores of an installation, and the clock of all of its parts. */
const installations = {
  async embedded() {
    const stores = await openMemoryStores({ clock });
    return { stores, close: () => stores.close() };
  },
  async EventStoreDB() {
    const [stores, events] = [await openMemoryStores({ clock }), await openOnServer({ clock })];
    return {
      stores: { ...stores, store: events.store },
      async close() {
        await events.dispose();
        await stores.close();
      },
    };
  },
};

/** The store, which notes the streams whose retention is set. */
function recording(store: EventStore): EventStore {
  const setRetention: EventStore['setRetention'] = (stream, retention) => {
    retained.push(stream);
    return store.setRetention(stream, retention);
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'setRetention') return setRetention;
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** Sends a request with a key. */
const ask = (who: Person | null, key: string, asking: Asking) =>
  server.ask(who, { ...asking, headers: { 'idempotency-key': key } });

async function signInAgain(person: Person): Promise<Person> {
  const payload = { email: person.email, password: PASSWORD };
  const { json } = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload });
  return { ...person, accessToken: json.accessToken };
}

describe.each(Object.entries(installations))('a key that was forgotten, %s', (name, install) => {
  beforeEach(async () => {
    clock = manualClock(system.clock.now());
    const { stores, ...installation } = await install();
    retained = [];
    const singleWriter = name === 'embedded';
    server = await startServer({ clock, stores: { ...stores, store: recording(stores.store) }, singleWriter });
    close = installation.close;
  });
  afterEach(async () => {
    await server.close();
    await close();
  });

  it('has retention only where that frees something', async () => {
    const ada = await signUp(server, 'ada');
    const team = await group(server, ada);
    const url = `/api/v1/conversations/${team}/messages`;
    await ask(ada, 'once', { method: 'POST', url, payload: { content: 'hello' } });
    await server.close();
    expect(retained.filter((stream) => stream.startsWith('command-'))).toHaveLength(name === 'embedded' ? 1 : 0);
  });

  it('is a new key: it makes new ids, and stores what comes with it', async () => {
    let ada = await signUp(server, 'ada');
    const team = await group(server, ada);
    const message = (content: string): Asking => {
      return { method: 'POST', url: `/api/v1/conversations/${team}/messages`, payload: { content } };
    };
    const newGroup = (name: string): Asking => ({ method: 'POST', url: '/api/v1/conversations', payload: { name } });
    const register = (username: string): Asking => {
      return { method: 'POST', url: '/api/v1/users', payload: { email: 'eve@example.org', username } };
    };

    const first = {
      message: await ask(ada, 'key', message('first')),
      group: await ask(ada, 'key', newGroup('first')),
      user: await ask(null, 'key', register('first')),
    };
    await clock.advance(47 * HOUR);
    ada = await signInAgain(ada);
    expect((await ask(ada, 'key', message('first'))).json).toEqual(first.message.json);
    expect((await ask(ada, 'key', newGroup('first'))).json).toEqual(first.group.json);
    expect((await ask(null, 'key', register('first'))).json).toEqual(first.user.json);
    expectProblem(await ask(ada, 'key', message('second')), 422, 'key-reused');

    await clock.advance(HOUR + 60_000);
    ada = await signInAgain(ada);
    const second = {
      message: await ask(ada, 'key', message('second')),
      group: await ask(ada, 'key', newGroup('second')),
      user: await ask(null, 'key', register('second')),
    };
    for (const name of ['message', 'group', 'user'] as const) {
      expect([second[name].status, second[name].json._id === first[name].json._id]).toEqual([202, false]);
    }
    expect((await ask(ada, 'key', message('second'))).json).toEqual(second.message.json);
    const { events } = await server.log.readStream(`conversation-${team}`);
    expect(events.flatMap(({ data }) => (data.content === undefined ? [] : [data.content]))).toEqual([
      'first',
      'second',
    ]);
    const [created] = (await server.log.readStream(`conversation-${second.group.json._id}`)).events;
    expect(created?.data.name).toBe('second');
    const [registered] = (await server.log.readStream(`user-${second.user.json._id}`)).events;
    expect(registered?.data.username).toBe('second');
  });
});
