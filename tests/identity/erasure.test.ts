import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import type { SessionsEvent } from '../../src/aggregates/sessions/events.ts';
import { user } from '../../src/aggregates/user/decider.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import type { RequestContext } from '../../src/commands/request-context.ts';
import { createPasswordLinks } from '../../src/identity/links.ts';
import { LiveSessions } from '../../src/identity/live-sessions.ts';
import { createMailAccounts } from '../../src/identity/mail-accounts.ts';
import { createNameIds } from '../../src/identity/names.ts';
import { PasswordHasher } from '../../src/identity/password-hasher.ts';
import { createPasswords } from '../../src/identity/passwords.ts';
import { createRefreshTokens } from '../../src/identity/refresh-tokens.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import { createSessions } from '../../src/identity/sessions.ts';
import { fold } from '../../src/kernel/decider.ts';
import { erase } from '../commands/node.ts';
import { erased } from '../support/decider-spec.ts';
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
  PUBLIC_URL,
  registered,
  request,
  SECRET,
  signIn,
  startNode,
  type World,
} from './world.ts';

const SIGN_IN_FAILED =
  'sign-in failed: check the e-mail address and the password, and wait a moment after several attempts';
const failed = { name: 'Refusal', code: 'unauthenticated', message: SIGN_IN_FAILED };
const over = { name: 'Refusal', code: 'unauthenticated', message: 'this session has ended; sign in again' };
const invalidLink = { name: 'Refusal', code: 'invalid-link' };

describe('an erased account', () => {
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

  it('does not allow sign-in, with the same text as for a wrong password', async () => {
    await erase(world, await activated(world, node));
    await expect(signIn(world, node)).rejects.toMatchObject(failed);
    await expect(signIn(world, node, { password: 'wrong password' })).rejects.toMatchObject(failed);
  });

  it('has no live sessions: its tokens are refused', async () => {
    const userId = await activated(world, node);
    const { accessToken, refreshToken } = await signIn(world, node);
    await expect(node.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
    await erase(world, userId);
    await expect(node.identity.refresh(refreshToken, request(world))).rejects.toMatchObject(over);
    await world.clock.advance(5_000);
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(over);
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject(over);
  });

  it('has no live sessions on a node as soon as that has read the erasure', async () => {
    const userId = await activated(world, node);
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'command');
    await erase(world, userId);
    await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
    for await (const { caughtUp } of node.log.subscribe({ after: null })) if (caughtUp) break;
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject(over);
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(over);
  });

  it('has no profile, also while its access token is still taken from the cache', async () => {
    const userId = await activated(world, node);
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'query');
    await erase(world, userId);
    await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
    await expect(node.identity.profile(userId)).rejects.toMatchObject(over);
  });

  it('has no good link', async () => {
    const userId = await registered(world, node);
    const token = await linkToken(world, node, userId);
    await erase(world, userId);
    await expect(node.identity.checkPasswordLink(token)).rejects.toMatchObject(invalidLink);
    const given = { token, password: PASSWORD, confirmPassword: PASSWORD };
    await expect(node.identity.setPassword(given, request(world))).rejects.toMatchObject(invalidLink);
    expect(await logged(world, 'NameConfirmed', 'PasswordSet')).toEqual([]);
  });

  it('gets no mails', async () => {
    const userId = await registered(world, node);
    const [, issued] = await eventsOf(world, `user-${userId}`);
    await erase(world, userId);
    expect(await node.identity.mailAccounts.find(userId)).toBeNull();
    expect(await node.identity.mailAccounts.passwordLink(userId, String(issued?.data.linkId))).toBeNull();
  });

  it.each(['pending', 'active'] as const)(
    'is not notified of a registration with its address, which gets the same response (%s before)',
    async (status) => {
      const userId = await (status === 'active' ? activated : registered)(world, node);
      await erase(world, userId);
      const repeated = await node.identity.register({ ...ada, username: 'ada2' }, request(world));
      expect(repeated.userId).toMatch(/^[0-9a-f]{24}$/);
      expect(repeated.userId).not.toBe(userId);
      expect(await eventsOf(world, `user-${repeated.userId}`)).toEqual([]);
      expect((await eventsOf(world, `user-${userId}`)).at(-1)?.type).toBe('UserErased');
    },
  );
});

describe('an account whose key was destroyed, before UserErased is appended', () => {
  const userId = 'a'.repeat(24);
  const sessionId = '0190d1a4-6f2b-7000-8000-000000000001';
  const linkId = '0190d1a4-6f2b-7000-8000-000000000002';
  const clock = manualClock();
  const at = new Date(clock.now()).toISOString();
  const later = new Date(clock.now() + 60_000).toISOString();

  const registration: UserEvent = { type: 'UserRegistered', data: { userId, ...adasNames, registeredAt: at } };
  const link: UserEvent = {
    type: 'PasswordLinkIssued',
    data: { userId, linkId, purpose: 'welcome', usernameHolder: userId, expiresAt: later, language: 'en' },
  };
  const password: UserEvent = { type: 'PasswordSet', data: { userId, linkId, passwordHash: '$argon2id$x', setAt: at } };
  const session: SessionsEvent = {
    type: 'SessionStarted',
    data: { userId, sessionId, userAgent: null, startedAt: at, expiresAt: later },
  };

  const secrets = deriveSecrets(SECRET);
  const names = createNameIds(secrets.names);
  const links = createPasswordLinks(secrets.links);
  const refreshTokens = createRefreshTokens(secrets.refresh);
  const metadata = { commandId: sessionId, actor: null, at, correlationId: 'test', causationId: null };
  const context: RequestContext = { ids: createSystemRandom().ids, metadata };

  /** Records what it is asked to verify. */
  class RecordingHasher extends PasswordHasher {
    readonly verified: (string | null)[] = [];

    override async verify(passwordHash: string | null, given: string): Promise<boolean> {
      this.verified.push(passwordHash);
      return super.verify(passwordHash, given);
    }
  }

  /** Commands over this account with its session. It handles none: each of these tests must end before. */
  function commandsOver(...events: readonly UserEvent[]): CommandHandler {
    const states: Readonly<Record<string, unknown>> = {
      user: fold(user, events.map(erased)),
      sessions: fold(sessions, [session]),
      address: { status: 'confirmed', holder: userId },
    };
    return {
      // The states are those of the aggregates of these categories.
      load: async ({ category }) => ({ state: states[category] as never, revision: 0n, position: '1' }),
      handle: () => Promise.reject(new Error('no command is expected')),
      close: async () => {},
    };
  }

  function identityOver(...events: readonly UserEvent[]) {
    const commands = commandsOver(...events);
    const hasher = new RecordingHasher(createSystemRandom());
    const liveSessions = new LiveSessions({ commands, clock });
    const accessTokens = {
      sign: async () => 'token',
      verify: async () => ({ userId, sessionId, issuedAt: 0, expiresAt: 0 }),
      isGenuine: () => false,
      jwks: () => ({ keys: [] }),
    };
    const throttle = null;
    // No command is handled, so that there are no books to close.
    const books = { consider: () => expect.unreachable(), idle: async () => {}, close: async () => {} };
    return {
      hasher,
      sessions: createSessions({ commands, books, names, hasher, accessTokens, refreshTokens, liveSessions, throttle }),
      passwords: createPasswords({ commands, books, clock, names, links, hasher, liveSessions }),
      mailAccounts: createMailAccounts({ commands, clock, links, publicUrl: PUBLIC_URL }),
    };
  }

  it('does not allow sign-in, at the cost of verifying a password', async () => {
    const { sessions, hasher } = identityOver(registration, link, password);
    const credentials = { email: ada.email, password: PASSWORD, userAgent: null, address: '192.0.2.1' };
    await expect(sessions.signIn(credentials, context)).rejects.toMatchObject(failed);
    expect(hasher.verified).toEqual([null]);
  });

  it('has no live sessions', async () => {
    const { sessions } = identityOver(registration, link, password);
    const refreshToken = refreshTokens.token({ userId, sessionId, counter: 0 });
    await expect(sessions.refresh(refreshToken, context)).rejects.toMatchObject(over);
    await expect(sessions.authenticate('token', 'query')).rejects.toMatchObject(over);
  });

  it('has no good link, also for a repeated request', async () => {
    const { passwords } = identityOver(registration, link);
    const token = links.token({ userId, linkId });
    const given = { token, password: PASSWORD, confirmPassword: PASSWORD };
    await expect(passwords.checkPasswordLink(token)).rejects.toMatchObject(invalidLink);
    await expect(passwords.setPassword(given, context)).rejects.toMatchObject(invalidLink);
    await expect(passwords.setPassword(given, { ...context, handledSince: -1n })).rejects.toMatchObject(invalidLink);
  });

  it('gets no mails', async () => {
    const { mailAccounts } = identityOver(registration, link);
    expect(await mailAccounts.find(userId)).toBeNull();
    expect(await mailAccounts.passwordLink(userId, linkId)).toBeNull();
  });
});
