import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manualClock } from '../support/manual-clock.ts';
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
  signIn,
  startNode,
  type World,
  whileTimePasses,
} from './world.ts';

const DAY = 24 * 60 * 60_000;
const SIGN_IN_FAILED =
  'sign-in failed: check the e-mail address and the password, and wait a moment after several attempts';
const failed = { name: 'Refusal', code: 'unauthenticated', message: SIGN_IN_FAILED };
const over = { name: 'Refusal', code: 'unauthenticated', message: 'this session has ended; sign in again' };

let world: World;
let node: Node;
let userId: string;
beforeEach(async () => {
  world = await openWorld();
  node = await startNode(world);
  userId = await activated(world, node);
});
afterEach(async () => {
  await node.commands.close();
  await world.close();
});

describe('signing in', () => {
  it('returns valid tokens and the user’s own profile', async () => {
    const signedIn = await signIn(world, node);
    expect(signedIn).toEqual({
      accessToken: expect.any(String),
      refreshToken: expect.any(String),
      tokenType: 'Bearer',
      expiresIn: 600,
      user: {
        _id: userId,
        ...adasNames,
        displayName: 'Ada Lovelace',
        roles: [],
        createdAt: new Date(world.clock.now()).toISOString(),
      },
      position: await world.log.head(),
    });
    expect(await node.identity.profile(userId)).toEqual({ profile: signedIn.user, revision: 2 });
    const [started] = await eventsOf(world, `sessions-${userId}`);
    expect(started).toMatchObject({ type: 'SessionStarted', metadata: { actor: userId } });
    expect(await node.identity.authenticate(signedIn.accessToken, 'command')).toEqual({
      userId,
      sessionId: started?.data.sessionId,
      roles: [],
      signedInAt: world.clock.now(),
      expiresAt: world.clock.now() + 600_000,
    });
  });

  it('accepts any spelling of the address, but only the exact password', async () => {
    await expect(signIn(world, node, { email: ' ADA@Example.ORG' })).resolves.toMatchObject({ user: { _id: userId } });
    await expect(signIn(world, node, { password: `${PASSWORD} ` })).rejects.toMatchObject(failed);
    await expect(signIn(world, node, { password: PASSWORD.toUpperCase() })).rejects.toMatchObject(failed);
  });

  it('accepts a password in any composition of its letters', async () => {
    const composed = 'crème brûlée à Orléans';
    const decomposed = composed.normalize('NFD');
    expect(decomposed).not.toBe(composed);
    for (const [i, password] of [composed, decomposed].entries()) {
      const who = { email: `reader${i}@example.org`, username: `reader${i}` };
      const token = await linkToken(world, node, await registered(world, node, who));
      const given = { token, password, confirmPassword: password.normalize(i === 0 ? 'NFD' : 'NFC') };
      await node.identity.setPassword(given, request(world));
      for (const entered of [composed, decomposed]) {
        await expect(signIn(world, node, { email: who.email, password: entered })).resolves.toMatchObject({});
      }
    }
  });

  it('fails with the same text for a wrong password, an unknown address and a pending account', async () => {
    await registered(world, node, { email: 'bob@example.org', username: 'bob' });
    await expect(signIn(world, node, { password: 'wrong password' })).rejects.toMatchObject(failed);
    await expect(signIn(world, node, { email: 'nobody@example.org' })).rejects.toMatchObject(failed);
    await expect(signIn(world, node, { email: 'bob@example.org' })).rejects.toMatchObject(failed);
    await expect(signIn(world, node, { email: 'no address', password: '' })).rejects.toMatchObject(failed);
  });

  it('is delayed after repeated failures with the same text, whether the account exists or not, and works again afterwards', async () => {
    for (const email of [ada.email, 'nobody@example.org']) {
      for (let i = 0; i < 5; i++) {
        await expect(signIn(world, node, { email, password: 'wrong password' })).rejects.toMatchObject(failed);
      }
      await expect(signIn(world, node, { email })).rejects.toMatchObject({
        code: 'too-many-requests',
        message: SIGN_IN_FAILED,
        retryAfterMs: 1_000,
      });
    }
    await world.clock.advance(1_000);
    await expect(signIn(world, node)).resolves.toMatchObject({ user: { _id: userId } });
  });

  it('is not delayed when limits are off', async () => {
    const open = await startNode(world, 'off');
    for (let i = 0; i < 8; i++) {
      await expect(signIn(world, open, { password: 'wrong password' })).rejects.toMatchObject(failed);
    }
    await open.commands.close();
  });

  it('works at once on a node whose clock is slower than that of the node where the password was set', async () => {
    const slow = await startNode({ ...world, clock: manualClock(world.clock.now() - 2_000) });
    const { accessToken } = await slow.identity.signIn(
      { email: ada.email, password: PASSWORD, userAgent: null, address: '192.0.2.1' },
      request({ ...world, clock: manualClock(world.clock.now() - 2_000) }),
    );
    await expect(node.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
    await slow.commands.close();
  });

  it('starts a new session each time', async () => {
    const [one, two] = [await signIn(world, node), await signIn(world, node)];
    const sessions = await Promise.all(
      [one, two].map(({ accessToken }) => node.identity.authenticate(accessToken, 'command')),
    );
    expect(new Set(sessions.map(({ sessionId }) => sessionId)).size).toBe(2);
  });
});

describe('a refresh', () => {
  it('returns the next tokens of the same session', async () => {
    const first = await signIn(world, node);
    const second = await node.identity.refresh(first.refreshToken, request(world));
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(second.user).toEqual(first.user);
    const [before, after] = await Promise.all(
      [first, second].map(({ accessToken }) => node.identity.authenticate(accessToken, 'command')),
    );
    expect(after?.sessionId).toBe(before?.sessionId);
  });

  it('returns the current token for the one before it, any number of times within 60 s, and writes nothing for that', async () => {
    const first = await signIn(world, node);
    const second = await node.identity.refresh(first.refreshToken, request(world));
    const before = await world.log.head();
    for (let i = 0; i < 6; i++) {
      const again = await node.identity.refresh(first.refreshToken, request(world));
      expect(again.refreshToken).toBe(second.refreshToken);
      expect(again.position).toBe(second.position);
      await expect(node.identity.authenticate(again.accessToken, 'command')).resolves.toMatchObject({ userId });
      await world.clock.advance(9_999);
    }
    expect(await world.log.head()).toBe(before);
    await expect(node.identity.refresh(second.refreshToken, request(world))).resolves.toMatchObject({
      tokenType: 'Bearer',
    });
  });

  it('by 20 tabs at once on two nodes keeps them all signed in, round after round', async () => {
    const elsewhere = await startNode(world);
    const { refreshToken } = await signIn(world, node);
    let tokens = Array.from({ length: 20 }, () => refreshToken);
    for (let round = 0; round < 5; round++) {
      const tabs = tokens.map((token, i) => (i % 2 ? node : elsewhere).identity.refresh(token, request(world)));
      const refreshed = await whileTimePasses(world, Promise.all(tabs));
      tokens = refreshed.map((answer) => answer.refreshToken);
      expect(new Set(tokens).size).toBe(1);
      await world.clock.advance(10 * 60_000);
    }
    expect(await logged(world, 'SessionRefreshed')).toHaveLength(5);
    await elsewhere.commands.close();
  });

  it('by a thief and the owner in turns is detected in the second round at the latest', async () => {
    // How long after the owner's first refresh the thief presents the stolen token.
    for (const delay of [30_000, 59_999, 60_000, 300_000]) {
      const { refreshToken } = await signIn(world, node);
      const newest = { owner: refreshToken, thief: refreshToken };
      const present = async (who: keyof typeof newest): Promise<void> => {
        newest[who] = (await node.identity.refresh(newest[who], request(world))).refreshToken;
      };
      const ended = (await logged(world, 'SessionEnded')).length;
      const rounds = async (): Promise<void> => {
        await present('owner');
        await world.clock.advance(delay);
        await present('thief');
        await world.clock.advance(600_000);
        await present('owner');
        await world.clock.advance(300_000);
        await present('thief');
      };
      await expect(rounds()).rejects.toMatchObject(over);
      for (const token of Object.values(newest)) {
        await expect(node.identity.refresh(token, request(world))).rejects.toMatchObject(over);
      }
      expect((await logged(world, 'SessionEnded')).slice(ended)).toMatchObject([{ data: { reason: 'reused-token' } }]);
    }
  });

  it('with the token before the current one after 60 s ends the session', async () => {
    const first = await signIn(world, node);
    const second = await node.identity.refresh(first.refreshToken, request(world));
    await world.clock.advance(60_000);
    await expect(node.identity.refresh(first.refreshToken, request(world))).rejects.toMatchObject(over);
    await expect(node.identity.refresh(second.refreshToken, request(world))).rejects.toMatchObject(over);
    await expect(node.identity.authenticate(second.accessToken, 'command')).rejects.toMatchObject(over);
  });

  it('with an older token ends only this session', async () => {
    const other = await signIn(world, node);
    const first = await signIn(world, node);
    const second = await node.identity.refresh(first.refreshToken, request(world));
    const third = await node.identity.refresh(second.refreshToken, request(world));
    await expect(node.identity.refresh(first.refreshToken, request(world))).rejects.toMatchObject(over);
    await expect(node.identity.refresh(third.refreshToken, request(world))).rejects.toMatchObject(over);
    expect(await logged(world, 'SessionEnded')).toMatchObject([{ data: { reason: 'reused-token' } }]);
    await expect(node.identity.refresh(other.refreshToken, request(world))).resolves.toMatchObject({
      tokenType: 'Bearer',
    });
  });

  it('on two nodes at once with the same token returns the same token to both', async () => {
    const elsewhere = await startNode(world);
    const first = await signIn(world, node);
    const [one, two] = await Promise.all([
      node.identity.refresh(first.refreshToken, request(world)),
      elsewhere.identity.refresh(first.refreshToken, request(world)),
    ]);
    expect(one.refreshToken).toBe(two.refreshToken);
    await elsewhere.commands.close();
  });

  it('with a token that is not ours is refused', async () => {
    const { refreshToken, accessToken } = await signIn(world, node);
    for (const wrong of ['', accessToken, `${refreshToken.slice(0, -2)}AA`]) {
      await expect(node.identity.refresh(wrong, request(world))).rejects.toMatchObject(over);
    }
  });

  it('works for 30 days and no longer, also when repeated', async () => {
    let { refreshToken } = await signIn(world, node);
    for (let day = 0; day < 29; day++) {
      await world.clock.advance(DAY);
      ({ refreshToken } = await node.identity.refresh(refreshToken, request(world)));
    }
    await world.clock.advance(DAY);
    await expect(node.identity.refresh(refreshToken, request(world))).rejects.toMatchObject(over);
  });

  it('is refused for a session older than the password', async () => {
    const before = await signIn(world, node);
    await world.clock.advance(1_000);
    await setAnotherPassword();
    await expect(node.identity.refresh(before.refreshToken, request(world))).rejects.toMatchObject(over);
  });
});

describe('an access token', () => {
  it('expires after ten minutes', async () => {
    const { accessToken } = await signIn(world, node);
    await world.clock.advance(599_999);
    await expect(node.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
    await world.clock.advance(1);
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('of a session that was signed out is refused at once on the same node, and within five seconds on others', async () => {
    const elsewhere = await startNode(world);
    const { accessToken } = await signIn(world, node);
    await elsewhere.identity.authenticate(accessToken, 'command');
    const principal = await node.identity.authenticate(accessToken, 'command');
    await node.identity.signOut(principal, request(world));
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(over);
    await world.clock.advance(5_000);
    await expect(elsewhere.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(over);
    await elsewhere.commands.close();
  });

  it('works at once on a node that knows other sessions of the user', async () => {
    const elsewhere = await startNode(world);
    await elsewhere.identity.authenticate((await signIn(world, node)).accessToken, 'command');
    const { accessToken } = await signIn(world, node);
    await expect(elsewhere.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
    await elsewhere.commands.close();
  });

  it('of a session older than the password is refused', async () => {
    const { accessToken } = await signIn(world, node);
    await world.clock.advance(1_000);
    await setAnotherPassword();
    await world.clock.advance(5_000);
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(over);
  });
});

describe('signing out', () => {
  it('ends the session for its refresh token too, and may be repeated', async () => {
    const { accessToken, refreshToken } = await signIn(world, node);
    const principal = await node.identity.authenticate(accessToken, 'command');
    const first = await node.identity.signOut(principal, request(world));
    expect(await node.identity.signOut(principal, request(world))).toEqual(first);
    await expect(node.identity.refresh(refreshToken, request(world))).rejects.toMatchObject(over);
  });

  it('does not affect other sessions', async () => {
    const [one, two] = [await signIn(world, node), await signIn(world, node)];
    await node.identity.signOut(await node.identity.authenticate(one.accessToken, 'command'), request(world));
    await expect(node.identity.authenticate(two.accessToken, 'command')).resolves.toMatchObject({ userId });
  });
});

/** Sets another password for the account, as a link to reset it would. */
async function setAnotherPassword(): Promise<void> {
  const last = (await eventsOf(world, `user-${userId}`)).at(-1);
  const setAt = new Date(world.clock.now()).toISOString();
  const data = {
    userId,
    linkId: '00000000-0000-4000-8000-000000000000',
    passwordHash: String(last?.data.passwordHash),
    setAt,
  };
  const metadata = {
    actor: userId,
    correlationId: 'test',
    causationId: null,
    commandId: '00000000-0000-4000-8000-000000000000',
  };
  const id = '00000000-0000-5000-8000-000000000001';
  await world.log.append(`user-${userId}`, [{ id, type: 'PasswordSet', data, metadata }], { expect: 'exists' });
}
