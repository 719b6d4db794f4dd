import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  activated,
  ada,
  eventsOf,
  linkToken,
  logged,
  type Node,
  openWorld,
  PASSWORD,
  registered,
  request,
  signIn,
  startNode,
  type World,
} from './world.ts';

const HOUR = 60 * 60_000;
const usernameTaken = { name: 'Refusal', code: 'username-taken', errors: [{ path: '/username', message: 'is taken' }] };
const invalidLink = {
  name: 'Refusal',
  code: 'invalid-link',
  message: 'this link is wrong, was used or replaced, or has expired',
};

let world: World;
let node: Node;
let userId: string;
let token: string;
beforeEach(async () => {
  world = await openWorld();
  node = await startNode(world);
  userId = await registered(world, node);
  token = await linkToken(world, node, userId);
});
afterEach(async () => {
  await node.commands.close();
  await world.close();
});

const given = (password = PASSWORD, confirmPassword = password) => ({ token, password, confirmPassword });

describe('a password set by a good link', () => {
  it('activates the account and confirms its names', async () => {
    const { position } = await node.identity.setPassword(given(), request(world));
    const set = (await eventsOf(world, `user-${userId}`)).at(-1);
    expect(set).toMatchObject({ type: 'PasswordSet', position, metadata: { actor: userId } });
    expect(set?.data.passwordHash).toMatch(/^\$argon2id\$/);
    expect((await logged(world, 'NameConfirmed')).map(({ data }) => data)).toEqual([
      { kind: 'username', holder: userId },
      { kind: 'address', holder: userId },
    ]);
    await expect(signIn(world, node)).resolves.toMatchObject({ user: { _id: userId } });
  });

  it('cannot be set by the same link again', async () => {
    await node.identity.setPassword(given(), request(world));
    await expect(node.identity.checkPasswordLink(token)).rejects.toMatchObject(invalidLink);
    await expect(node.identity.setPassword(given('another password'), request(world))).rejects.toMatchObject(
      invalidLink,
    );
  });

  it('repeated with its key returns the same response, although the link was used', async () => {
    const first = await node.identity.setPassword(given(), request(world, 'key'));
    const again = await node.identity.setPassword(given(), { ...request(world, 'key'), handledSince: -1n });
    expect(again).toEqual(first);
  });

  it('is set once by two requests at the same time', async () => {
    const other = await startNode(world);
    const outcomes = await Promise.allSettled([
      node.identity.setPassword(given('a first password'), request(world)),
      other.identity.setPassword(given('a second password'), request(world)),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(await logged(world, 'PasswordSet')).toHaveLength(1);
    await other.commands.close();
  });

  it('is not stored in the log, and neither is the token', async () => {
    await node.identity.setPassword(given(), request(world));
    const { events } = await world.log.readAll({ direction: 'forwards', from: null });
    const text = JSON.stringify(events, (_key, value) => (typeof value === 'bigint' ? String(value) : value));
    expect(text).not.toContain(PASSWORD);
    expect(text).not.toContain(token);
    expect(text).not.toContain(token.slice(-43));
  });
});

describe('the same link again', () => {
  it('with the same password succeeds for a few minutes, and changes nothing', async () => {
    const first = await node.identity.setPassword(given(), request(world));
    await world.clock.advance(5 * 60_000 - 1);
    const before = await world.log.head();
    expect(await node.identity.setPassword(given(), request(world))).toEqual(first);
    expect(await world.log.head()).toBe(before);
    await world.clock.advance(1);
    await expect(node.identity.setPassword(given(), request(world))).rejects.toMatchObject(invalidLink);
  });

  it('at the same time succeeds twice, and sets the password once', async () => {
    const other = await startNode(world);
    const nodes = [node, other, node];
    const outcomes = await Promise.all(nodes.map(({ identity }) => identity.setPassword(given(), request(world))));
    expect(new Set(outcomes.map(({ position }) => position)).size).toBe(1);
    expect(await logged(world, 'PasswordSet')).toHaveLength(1);
    await other.commands.close();
  });

  it('is refused after a newer link was issued', async () => {
    await node.identity.register({ ...ada, username: 'ada2' }, request(world));
    await node.identity.setPassword({ ...given(), token: await linkToken(world, node, userId) }, request(world));
    await expect(node.identity.setPassword(given(), request(world))).rejects.toMatchObject(invalidLink);
  });

  it('changes neither the names nor the password of the account', async () => {
    await node.identity.setPassword(given(), request(world));
    await node.identity.setPassword({ ...given(), username: 'eve' }, request(world));
    await expect(signIn(world, node)).resolves.toMatchObject({ user: { username: 'ada' } });
    const again = node.identity.setPassword(given('another password'), request(world));
    await expect(again).rejects.toMatchObject(invalidLink);
  });
});

describe('the names of an account', () => {
  /** Somebody registers an address of others under a name of their choice, and then its owner registers it. */
  async function registeredByOwner(): Promise<string> {
    await node.identity.register({ ...ada, ...vic, username: 'evil', firstname: 'Evil' }, request(world));
    const [evil] = (await logged(world, 'UserRegistered')).slice(-1);
    await world.clock.advance(1_000);
    await node.identity.register({ ...ada, ...vic }, request(world));
    return String(evil?.data.userId);
  }
  const vic = { email: 'victim@example.org', username: 'vic', firstname: 'Vic', lastname: 'Tim' };
  const signInAsVic = () => signIn(world, node, { email: vic.email });

  it('are those of the link by which the password is set, and names of earlier links are free again', async () => {
    const victim = await registeredByOwner();
    const newest = await linkToken(world, node, victim);
    const { email: _, ...names } = vic;
    expect(await node.identity.namesOfPasswordLink(newest)).toEqual(names);
    const other = { ...ada, email: 'evelyn@example.org', username: 'Evil' };
    await expect(node.identity.register(other, request(world))).rejects.toMatchObject(usernameTaken);
    await node.identity.setPassword({ ...given(), token: newest }, request(world));
    await expect(signInAsVic()).resolves.toMatchObject({ user: { _id: victim, ...vic, displayName: 'Vic Tim' } });
    await expect(node.identity.register(other, request(world))).resolves.toMatchObject({});
    const taken = { ...ada, email: 'vicky@example.org', username: 'vic' };
    await expect(node.identity.register(taken, request(world))).rejects.toMatchObject(usernameTaken);
    await world.clock.advance(48 * HOUR);
    await expect(node.identity.register(taken, request(world))).rejects.toMatchObject(usernameTaken);
  });

  it('are not changed by a registration once the account is active', async () => {
    const victim = await registeredByOwner();
    await node.identity.setPassword({ ...given(), token: await linkToken(world, node, victim) }, request(world));
    await node.identity.register({ ...ada, ...vic, username: 'evil', firstname: 'Evil' }, request(world));
    await expect(signInAsVic()).resolves.toMatchObject({ user: vic });
  });

  it('can be changed while the password is set; those that are left out stay', async () => {
    const victim = await registeredByOwner();
    const chosen = { token: await linkToken(world, node, victim), username: 'victoria', lastname: null };
    await node.identity.setPassword({ ...given(), ...chosen }, request(world));
    const expected = { username: 'victoria', firstname: 'Vic', lastname: null };
    await expect(signInAsVic()).resolves.toMatchObject({ user: expected });
    for (const username of ['evil', 'vic']) {
      const other = { ...ada, email: `${username}@example.org`, username };
      await expect(node.identity.register(other, request(world))).resolves.toMatchObject({});
    }
  });

  it('can be changed to a name whose reservation has expired, and to no other that is taken', async () => {
    await node.identity.register({ ...ada, ...vic, email: 'other@example.org', username: 'carl' }, request(world));
    await world.clock.advance(23 * HOUR);
    const victim = await registeredByOwner();
    const chosen = { ...given(), token: await linkToken(world, node, victim), username: 'carl' };
    await expect(node.identity.setPassword(chosen, request(world))).rejects.toMatchObject(usernameTaken);
    await world.clock.advance(2 * HOUR);
    await node.identity.setPassword(chosen, request(world));
    await expect(signInAsVic()).resolves.toMatchObject({ user: { username: 'carl' } });
  });

  it('chosen by two requests at once belong to one of them, and the other is free', async () => {
    const other = await startNode(world);
    const victim = await registeredByOwner();
    const token = await linkToken(world, node, victim);
    const outcomes = await Promise.allSettled([
      node.identity.setPassword({ ...given('a first password'), token, username: 'one' }, request(world)),
      other.identity.setPassword({ ...given('a second password'), token, username: 'two' }, request(world)),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const [winner, loser] = outcomes[0]?.status === 'fulfilled' ? ['one', 'two'] : ['two', 'one'];
    const register = (username = '') =>
      node.identity.register({ ...ada, email: `${username}@example.org`, username }, request(world));
    await expect(register(winner)).rejects.toMatchObject(usernameTaken);
    await expect(register(loser)).resolves.toMatchObject({});
    await other.commands.close();
  });
});

describe('an unacceptable password', () => {
  it('is refused with the path of its field, and the link remains good', async () => {
    const refused = node.identity.setPassword(given('password1', 'password2'), request(world));
    await expect(refused).rejects.toMatchObject({
      code: 'out-of-range',
      errors: [{ path: '/password' }, { path: '/confirmPassword' }],
    });
    await expect(node.identity.checkPasswordLink(token)).resolves.toBeUndefined();
  });

  it('is refused when it is the owner’s address or username', async () => {
    await expect(node.identity.setPassword(given(ada.email), request(world))).rejects.toMatchObject({
      code: 'out-of-range',
      errors: [{ path: '/password', message: 'must not be your e-mail address or username' }],
    });
  });
});

describe('a link', () => {
  it('that is not ours is refused with the same text', async () => {
    for (const wrong of ['', 'x', token.slice(0, -1), `${token.slice(0, -4)}AAAA`]) {
      await expect(node.identity.checkPasswordLink(wrong)).rejects.toMatchObject(invalidLink);
      const asked = node.identity.setPassword({ ...given(), token: wrong }, request(world));
      await expect(asked).rejects.toMatchObject(invalidLink);
      expect(node.identity.userOfPasswordLink(wrong)).toBeNull();
    }
  });

  it('identifies its user, whether it is good or not', async () => {
    await node.identity.setPassword(given(), request(world));
    expect(node.identity.userOfPasswordLink(token)).toBe(userId);
  });

  it('is good for 24 hours', async () => {
    await world.clock.advance(24 * HOUR - 1);
    await expect(node.identity.checkPasswordLink(token)).resolves.toBeUndefined();
    await world.clock.advance(1);
    await expect(node.identity.checkPasswordLink(token)).rejects.toMatchObject(invalidLink);
    await expect(node.identity.setPassword(given(), request(world))).rejects.toMatchObject(invalidLink);
  });

  it('of an account that lost its username confirms no name, and sets the password with another username', async () => {
    await releaseAndTake('username');
    await expect(node.identity.setPassword(given(), request(world))).rejects.toMatchObject(usernameTaken);
    expect(await logged(world, 'NameConfirmed')).toEqual([]);
    await node.identity.setPassword({ ...given(), username: 'countess' }, request(world));
    await expect(signIn(world, node)).resolves.toMatchObject({ user: { _id: userId, username: 'countess' } });
  });

  it('of an account that lost its address is refused, and releases its username', async () => {
    await releaseAndTake('address');
    await expect(node.identity.setPassword(given(), request(world))).rejects.toMatchObject(invalidLink);
    const ofUsername = (await logged(world, 'NameConfirmed', 'NameReleased')).filter(
      ({ data }) => data.kind === 'username',
    );
    expect(ofUsername.map(({ type }) => type)).toEqual(['NameConfirmed', 'NameReleased']);
  });

  /** Another user reserves a name that Ada had reserved. */
  async function releaseAndTake(kind: 'username' | 'address'): Promise<void> {
    const [reserved] = (await logged(world, 'NameReserved')).filter(({ data }) => data.kind === kind);
    const stream = reserved?.stream ?? '';
    const last = (await eventsOf(world, stream)).at(-1);
    const metadata = {
      actor: null,
      correlationId: 'test',
      causationId: null,
      commandId: '00000000-0000-4000-8000-000000000000',
    };
    const other = 'f'.repeat(24);
    const until = new Date(world.clock.now() + HOUR).toISOString();
    await world.log.append(
      stream,
      [
        { id: '00000000-0000-5000-8000-000000000001', type: 'NameReleased', data: { kind, holder: userId }, metadata },
        {
          id: '00000000-0000-5000-8000-000000000002',
          type: 'NameReserved',
          data: { kind, holder: other, until },
          metadata,
        },
      ],
      { expect: last?.revision ?? 'none' },
    );
  }
});

describe('an account without a password', () => {
  it('does not allow sign-in', async () => {
    await expect(signIn(world, node)).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('does not affect other accounts', async () => {
    await activated(world, node, { email: 'bob@example.org', username: 'bob' });
    await expect(signIn(world, node, { email: 'bob@example.org' })).resolves.toMatchObject({ tokenType: 'Bearer' });
  });
});
