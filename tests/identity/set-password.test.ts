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

  it('of an account that lost its username is refused, and confirms no name', async () => {
    await world.clock.advance(23 * HOUR);
    await node.identity.register({ ...ada, username: 'ada2' }, request(world));
    // Only the reservation of the username expires, as after a crash between the two renewals.
    const newest = await linkToken(world, node, userId);
    await world.clock.advance(24 * HOUR - 1);
    await releaseAndTake('username');
    await expect(node.identity.setPassword({ ...given(), token: newest }, request(world))).rejects.toMatchObject(
      invalidLink,
    );
    expect(await logged(world, 'NameConfirmed')).toEqual([]);
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
