import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNameIds } from '../../src/identity/names.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import {
  activated,
  ada,
  adasNames,
  eventsOf,
  linkToken,
  logged,
  type Node,
  openWorld,
  PASSWORD,
  registered,
  request,
  SECRET,
  startNode,
  type World,
} from './world.ts';

const HOUR = 60 * 60_000;
const names = createNameIds(deriveSecrets(SECRET).names);
const usernameTaken = { name: 'Refusal', code: 'username-taken', errors: [{ path: '/username', message: 'is taken' }] };

let world: World;
let node: Node;
beforeEach(async () => {
  world = await openWorld();
  node = await startNode(world);
});
afterEach(async () => {
  await node.commands.close();
  await world.close();
});

describe('a registration', () => {
  it('creates the account and the link to be mailed, and returns their position', async () => {
    const { userId, position } = await node.identity.register(ada, request(world));
    const events = await eventsOf(world, `user-${userId}`);
    const at = new Date(world.clock.now()).toISOString();
    expect(events.map(({ type, data }) => ({ type, data }))).toEqual([
      { type: 'UserRegistered', data: { userId, ...adasNames, registeredAt: at } },
      {
        type: 'PasswordLinkIssued',
        data: {
          userId,
          linkId: expect.stringMatching(/^[0-9a-f-]{36}$/),
          purpose: 'welcome',
          usernameHolder: userId,
          expiresAt: new Date(world.clock.now() + 24 * HOUR).toISOString(),
          language: 'en',
        },
      },
    ]);
    expect(position).toBe(events.at(-1)?.position);
  });

  it('does not disclose names in the streams of reservations', async () => {
    await registered(world, node);
    const streams = (await logged(world, 'NameReserved')).map(({ stream }) => stream);
    expect(streams).toEqual([`username-${names.username('ada')}`, `address-${names.address('ada@example.org')}`]);
  });

  it('stores the address in its canonical form', async () => {
    const userId = await registered(world, node, { email: '  Ada@Example.org ' });
    const [first] = await eventsOf(world, `user-${userId}`);
    expect(first?.data.email).toBe('ada@example.org');
  });

  it('of an address or a username in another spelling is that of the same address or username', async () => {
    const first = await registered(world, node, {
      email: 'josé@bücher.example',
      username: 'José',
      firstname: ' Jose\u0301 ',
    });
    const [{ data } = { data: {} }] = await eventsOf(world, `user-${first}`);
    expect(data).toMatchObject({ email: 'josé@xn--bcher-kva.example', username: 'José', firstname: 'José' });
    const other = { ...ada, email: 'other@example.org', username: 'JOSE\u0301' };
    await expect(node.identity.register(other, request(world))).rejects.toMatchObject(usernameTaken);
    await registered(world, node, { email: 'JOSE\u0301@xn--bcher-kva.example', username: 'Josephine' });
    expect(await logged(world, 'UserRegistered')).toHaveLength(1);
    expect(await logged(world, 'PasswordLinkIssued')).toHaveLength(2);
  });

  it('reports every field that is not accepted, with its reason', async () => {
    const input = {
      ...ada,
      email: 'ａda@example.org',
      username: 'аdmin',
      firstname: '\u3164',
      lastname: 'x'.repeat(101),
    };
    await expect(node.identity.register(input, request(world))).rejects.toMatchObject({
      code: 'out-of-range',
      errors: [
        { path: '/email', message: 'must not contain compatibility forms of letters before the @' },
        { path: '/username', message: 'must not mix letters of several scripts' },
        { path: '/firstname', message: 'must contain a visible character' },
        { path: '/lastname', message: 'must have at most 100 characters' },
      ],
    });
    expect(await world.log.head()).toBeNull();
  });

  it('with a username in use is refused in any spelling, and reserves no address', async () => {
    await registered(world, node);
    const other = { ...ada, email: 'other@example.org', username: 'ADA' };
    await expect(node.identity.register(other, request(world))).rejects.toMatchObject(usernameTaken);
    expect(await eventsOf(world, `address-${names.address(other.email)}`)).toEqual([]);
  });

  it('can use a username whose reservation has expired', async () => {
    await registered(world, node);
    await world.clock.advance(24 * HOUR);
    await expect(registered(world, node, { email: 'other@example.org' })).resolves.toMatch(/^[0-9a-f]{24}$/);
  });

  it('of one username, ten at once, creates one account', async () => {
    const other = await startNode(world);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => registered(world, i % 2 ? node : other, { email: `user${i}@example.org` })),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await logged(world, 'UserRegistered')).toHaveLength(1);
    await other.commands.close();
  });

  it('repeated with its key returns the same account and issues one link', async () => {
    const first = await node.identity.register(ada, request(world, 'key'));
    await world.clock.advance(1_000);
    const again = await node.identity.register(ada, { ...request(world, 'key'), handledSince: -1n });
    expect(again).toEqual(first);
    expect(await logged(world, 'UserRegistered', 'PasswordLinkIssued')).toHaveLength(2);
  });

  it.each([0, 1, 2])('that failed after %i appends is completed by repeating it with its key', async (appends) => {
    let seen = 0;
    node.log.beforeAppend.hook = async () => {
      if (seen++ === appends) node.log.faults.push('away');
    };
    await expect(node.identity.register(ada, request(world, 'key'))).rejects.toMatchObject({ code: 'unavailable' });
    node.log.beforeAppend.hook = async () => {};
    const { userId } = await node.identity.register(ada, { ...request(world, 'key'), handledSince: -1n });
    expect((await eventsOf(world, `user-${userId}`)).map(({ type }) => type)).toEqual([
      'UserRegistered',
      'PasswordLinkIssued',
    ]);
  });
});

describe('a registration with the address of a pending account', () => {
  it('gets the same response, and issues a new link for the existing account', async () => {
    const userId = await registered(world, node);
    const before = await linkToken(world, node, userId);
    const repeated = await node.identity.register({ ...ada, username: 'ada2' }, request(world));
    expect(repeated.userId).toMatch(/^[0-9a-f]{24}$/);
    expect(repeated.userId).not.toBe(userId);
    expect(await eventsOf(world, `user-${repeated.userId}`)).toEqual([]);
    await expect(node.identity.checkPasswordLink(before)).rejects.toMatchObject({ code: 'invalid-link' });
    await expect(node.identity.checkPasswordLink(await linkToken(world, node, userId))).resolves.toBeUndefined();
  });

  it('reserves the address and the new username for as long as the new link is good', async () => {
    const userId = await registered(world, node);
    await world.clock.advance(23 * HOUR);
    await node.identity.register({ ...ada, username: 'ada2' }, request(world));
    await world.clock.advance(23 * HOUR);
    const taker = { ...ada, email: 'other@example.org', username: 'ada2' };
    await expect(node.identity.register(taker, request(world))).rejects.toMatchObject(usernameTaken);
    const token = await linkToken(world, node, userId);
    const given = { token, password: PASSWORD, confirmPassword: PASSWORD };
    await expect(node.identity.setPassword(given, request(world))).resolves.toMatchObject({ userId });
  });

  it('creates a new account once the first reservation has expired', async () => {
    const first = await registered(world, node);
    await world.clock.advance(24 * HOUR);
    const second = await registered(world, node);
    expect(second).not.toBe(first);
    expect((await eventsOf(world, `user-${second}`)).map(({ type }) => type)).toEqual([
      'UserRegistered',
      'PasswordLinkIssued',
    ]);
  });
});

describe('a registration with the address of an active account', () => {
  it('gets the same response, and warns the owner', async () => {
    const userId = await activated(world, node);
    const repeated = await node.identity.register({ ...ada, username: 'eve' }, request(world));
    expect(repeated.userId).not.toBe(userId);
    expect(await eventsOf(world, `user-${repeated.userId}`)).toEqual([]);
    expect((await eventsOf(world, `user-${userId}`)).at(-1)?.type).toBe('RegistrationRepeated');
  });

  it('also reserves its username', async () => {
    await activated(world, node);
    await node.identity.register({ ...ada, username: 'eve' }, request(world));
    const again = { ...ada, email: 'other@example.org', username: 'eve' };
    await expect(node.identity.register(again, request(world))).rejects.toMatchObject(usernameTaken);
  });

  it('repeated with its key warns once', async () => {
    await activated(world, node);
    const again = { ...ada, username: 'eve' };
    const first = await node.identity.register(again, request(world, 'key'));
    const second = await node.identity.register(again, { ...request(world, 'key'), handledSince: -1n });
    expect(second.userId).toBe(first.userId);
    expect(await logged(world, 'RegistrationRepeated')).toHaveLength(1);
  });

  it('warns at most twice an hour and five times a day', async () => {
    await activated(world, node);
    await world.clock.advance(24 * HOUR);
    const warned: number[] = [];
    for (let i = 0; i < 30; i++) {
      const before = (await logged(world, 'RegistrationRepeated')).length;
      await node.identity.register({ ...ada, username: `eve${i}` }, request(world));
      if ((await logged(world, 'RegistrationRepeated')).length > before) warned.push(i);
      await world.clock.advance(HOUR / 4);
    }
    expect(warned).toEqual([0, 1, 4, 5, 8]);
  });
});

describe('a stranger', () => {
  it.each(['pending', 'active'] as const)(
    'cannot distinguish a new account from an address with a %s account by the growth of the log',
    async (status) => {
      await (status === 'active' ? activated : registered)(world, node);
      await world.clock.advance(1_000);
      let keys = 0;
      const create = world.keys.create.bind(world.keys);
      const counted: typeof create = (...args) => {
        keys++;
        return create(...args);
      };
      Object.assign(world.keys, { create: counted });
      const grown = async (email: string, username: string) => {
        const { appends, events } = node.log.counts;
        const before = keys;
        const { position } = await node.identity.register({ ...ada, email, username }, request(world));
        expect(position).toBe(await world.log.head());
        const { counts } = node.log;
        return { appends: counts.appends - appends, events: counts.events - events, keys: keys - before };
      };
      const known = await grown(ada.email, 'one');
      const unknown = await grown('nobody@example.org', 'two');
      expect(known.events).toBe(unknown.events);
      expect([known.keys, unknown.keys]).toEqual([1, 1]);
      // For an active account, two of them are done at the same time.
      expect(known.appends).toBe(unknown.appends + (status === 'active' ? 1 : 0));
    },
  );
});

describe('an address that was reserved by a registration that failed', () => {
  /** A registration that fails just before it creates its account. */
  async function failBeforeAccount(): Promise<void> {
    node.log.beforeAppend.hook = async (stream) => {
      if (stream.startsWith('user-')) node.log.faults.push('away');
    };
    await expect(registered(world, node)).rejects.toMatchObject({ code: 'unavailable' });
    node.log.beforeAppend.hook = async () => {};
  }

  it('is not lost: the next registration of it creates the account with the id of the holder', async () => {
    await failBeforeAccount();
    await node.identity.register({ ...ada, username: 'countess' }, request(world));
    const [account] = await logged(world, 'UserRegistered');
    expect(account?.data.username).toBe('countess');
    const userId = String(account?.data.userId);
    const token = await linkToken(world, node, userId);
    const given = { token, password: PASSWORD, confirmPassword: PASSWORD };
    await expect(node.identity.setPassword(given, request(world))).resolves.toMatchObject({ userId });
  });

  it('gets one account when both registrations complete, with a link for each of them', async () => {
    const other = await startNode(world);
    node.log.beforeAppend.hook = async (stream) => {
      if (!stream.startsWith('user-')) return;
      node.log.beforeAppend.hook = async () => {};
      await other.identity.register({ ...ada, username: 'countess' }, request(world));
    };
    await registered(world, node);
    const [account, ...more] = await logged(world, 'UserRegistered');
    expect([account?.data.username, more]).toEqual(['countess', []]);
    expect(await logged(world, 'PasswordLinkIssued')).toHaveLength(2);
    const token = await linkToken(world, node, String(account?.data.userId));
    const { username, firstname, lastname } = ada;
    expect(await node.identity.namesOfPasswordLink(token)).toEqual({ username, firstname, lastname });
    await other.commands.close();
  });
});
