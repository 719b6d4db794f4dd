import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accountOf, activeAccountOf, isLinkGood, type UserState, user } from '../../src/aggregates/user/decider.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import type { UserCommand } from '../../src/commands/user.ts';
import type { ProfileNames } from '../../src/identity/identity.ts';
import type { Language } from '../../src/kernel/language.ts';
import { erased, given } from '../support/decider-spec.ts';
import { alice, at, bob, by, uuid } from './fixtures.ts';
import { checkRules } from './properties.ts';

const profile = { userId: alice, email: 'alice@example.org', username: 'alice', firstname: 'Alice', lastname: null };

const names: ProfileNames = { username: 'alice', firstname: 'Alice', lastname: null };
/** What a further registration of the address enters. */
const others = { username: 'vic', firstname: null, lastname: 'Victor' };

const register = (link = 1, seconds = 0): UserCommand => ({
  type: 'RegisterUser',
  data: { ...profile, usernameHolder: alice, linkId: uuid(link), linkExpiresAt: at(100), language: 'en' },
  metadata: by(null, seconds),
});
const repeat = (link: number, seconds = 10, language: Language = 'en'): UserCommand => ({
  type: 'RegisterUser',
  data: { ...profile, ...others, usernameHolder: bob, linkId: uuid(link), linkExpiresAt: at(200), language },
  metadata: by(null, seconds),
});
const set = (link: number, seconds: number, chosen: ProfileNames = names): UserCommand => ({
  type: 'SetPassword',
  data: { userId: alice, linkId: uuid(link), passwordHash: '$argon2id$x', ...chosen },
  metadata: by(null, seconds),
});

const registered: UserEvent = { type: 'UserRegistered', data: { ...profile, registeredAt: at(0) } };
const issued = (
  link: number,
  expires: number,
  usernameHolder = alice,
  language: Language | null = 'en',
): UserEvent => ({
  type: 'PasswordLinkIssued',
  data: { userId: alice, linkId: uuid(link), purpose: 'welcome', usernameHolder, expiresAt: at(expires), language },
});
const changed = (chosen: ProfileNames, seconds: number): UserEvent => ({
  type: 'ProfileChanged',
  data: { userId: alice, ...chosen, changedAt: at(seconds) },
});
const passwordSet = (link: number, seconds: number): UserEvent => ({
  type: 'PasswordSet',
  data: { userId: alice, linkId: uuid(link), passwordHash: '$argon2id$x', setAt: at(seconds) },
});
const pending = [registered, issued(1, 100)];
const active = [...pending, passwordSet(1, 50)];
const reserved = [{ kind: 'username' as const, id: 'ab'.repeat(32) }];
const userErased: UserEvent = { type: 'UserErased', data: { userId: alice, erasedAt: at(70) } };

describe('RegisterUser', () => {
  it('creates a pending account and issues a link to set the password', () => {
    const state = given(user, [])
      .when(register())
      .decides([registered, issued(1, 100)]);
    const link = { linkId: uuid(1), expiresAt: at(100) };
    expect(state).toStrictEqual({
      status: 'pending',
      ...profile,
      registeredAt: at(0),
      language: 'en',
      link,
      usernameHolder: alice,
      replaced: [],
      roles: [],
    });
  });
});

describe('ProvisionUser', () => {
  const outside = { ...profile, issuer: 'https://id.example.org', subject: 'subject 1', email: null };
  const provision: UserCommand = { type: 'ProvisionUser', data: outside, metadata: by(alice, 10) };
  const provisioned: UserEvent = { type: 'UserProvisioned', data: { ...outside, provisionedAt: at(10) } };

  it('opens an active account without a password', () => {
    const state = given(user, []).when(provision).decides([provisioned]);
    expect(state).toStrictEqual({
      status: 'active',
      ...profile,
      email: null,
      registeredAt: at(10),
      language: null,
      link: null,
      roles: [],
      passwordHash: null,
      passwordSetAt: at(10),
      usedLinkId: null,
      isProvisioned: true,
    });
    expect(activeAccountOf(state)).toBe(state);
  });

  it('decides nothing for an account that exists', () => {
    given(user, [provisioned]).when(provision).decides([]);
    given(user, pending).when(provision).decides([]);
    given(user, active).when(provision).decides([]);
  });

  it('is refused after the erasure', () => {
    given(user, [provisioned, userErased]).when(provision).refused('unauthenticated');
    given(user, [userErased]).when(provision).refused('unauthenticated');
  });

  it('no password can be set for it by a link of a registration', () => {
    given(user, [provisioned]).when(set(1, 20)).refused('invalid-link');
  });

  it('cannot be used once its personal data cannot be read', () => {
    const { state } = given(user, [erased(provisioned)]);
    expect(state).toMatchObject({ status: 'active', username: null, email: null });
    expect(activeAccountOf(state)).toBeNull();
  });
});

describe('RegisterUser with the address of an account', () => {
  it('replaces the names and the link while the account is pending, and remembers the username that was reserved', () => {
    const state = given(user, pending)
      .when(repeat(2))
      .decides([changed(others, 10), issued(2, 200, bob)]);
    expect(state).toStrictEqual({
      status: 'pending',
      ...profile,
      ...others,
      registeredAt: at(0),
      language: 'en',
      link: { linkId: uuid(2), expiresAt: at(200) },
      usernameHolder: bob,
      replaced: [{ username: 'alice', holder: alice }],
      roles: [],
    });
  });

  it('remembers a bounded number of usernames', () => {
    const history = Array.from({ length: 30 }, (_, i) => [
      changed({ ...others, username: `vic${i}` }, 10),
      issued(i + 2, 200, bob),
    ]);
    const { state } = given(user, [...pending, ...history.flat()]);
    const replaced = Array.from({ length: 16 }, (_, i) => ({ username: `vic${i + 13}`, holder: bob }));
    expect(state).toMatchObject({ username: 'vic29', replaced });
  });

  it('while the account is pending, the language is that of the latest link', () => {
    const { state } = given(user, [...pending, issued(2, 200, bob, 'fr')]);
    expect(accountOf(state)?.language).toBe('fr');
    given(user, pending)
      .when(repeat(2, 10, 'fr'))
      .decides([changed(others, 10), issued(2, 200, bob, 'fr')]);
  });

  it('a link without a language keeps that of the account, and so does a registration by somebody else once it is active', () => {
    expect(accountOf(given(user, [...active, issued(3, 300, alice, null)]).state)?.language).toBe('en');
    const state = given(user, active)
      .when(repeat(2, 60, 'fr'))
      .decides([{ type: 'RegistrationRepeated', data: { userId: alice, attemptedAt: at(60) } }]);
    expect(accountOf(state)?.language).toBe('en');
  });

  it('decides nothing for a link that was issued already', () => {
    given(user, [...pending, changed(others, 10), issued(2, 200, bob)])
      .when(repeat(2))
      .decides([]);
  });

  it('warns the owner of an active account each time', () => {
    const warned: UserEvent = { type: 'RegistrationRepeated', data: { userId: alice, attemptedAt: at(60) } };
    const state = given(user, active).when(repeat(2, 60)).decides([warned]);
    expect(state).toStrictEqual(given(user, active).state);
    given(user, [...active, warned])
      .when(repeat(3, 60))
      .decides([warned]);
  });

  it('is refused for an account that was erased', () => {
    given(user, [userErased]).when(repeat(2, 80)).refused('not-found');
    given(user, [...pending, userErased])
      .when(repeat(2, 80))
      .refused('not-found');
    given(user, [...active, userErased])
      .when(repeat(2, 80))
      .refused('not-found');
  });
});

describe('SetPassword', () => {
  it('activates the account', () => {
    const state = given(user, pending)
      .when(set(1, 50))
      .decides([passwordSet(1, 50)]);
    expect(state).toStrictEqual({
      status: 'active',
      ...profile,
      registeredAt: at(0),
      language: 'en',
      link: null,
      roles: [],
      passwordHash: '$argon2id$x',
      passwordSetAt: at(50),
      usedLinkId: uuid(1),
      isProvisioned: false,
    });
  });

  it('changes the names with the password, and keeps those that are the same', () => {
    const history = [...pending, changed(others, 10), issued(2, 200, bob)];
    const state = given(user, history)
      .when(set(2, 50, { ...others, firstname: 'Vic' }))
      .decides([changed({ ...others, firstname: 'Vic' }, 50), passwordSet(2, 50)]);
    expect(state).toStrictEqual({
      status: 'active',
      ...profile,
      ...others,
      firstname: 'Vic',
      registeredAt: at(0),
      language: 'en',
      link: null,
      passwordHash: '$argon2id$x',
      passwordSetAt: at(50),
      usedLinkId: uuid(2),
      roles: [],
      isProvisioned: false,
    });
    given(user, history)
      .when(set(2, 50, others))
      .decides([passwordSet(2, 50)]);
  });

  it('works up to the expiry of the link', () => {
    given(user, pending)
      .when(set(1, 99.999))
      .decides([passwordSet(1, 99.999)]);
  });

  it.each([
    ['a link without an account', [], set(1, 50)],
    ['a link that was never issued', pending, set(2, 50)],
    ['a link at its expiry', pending, set(1, 100)],
    ['a link that was replaced', [...pending, issued(2, 200)], set(1, 50)],
    ['a link that was used', active, set(1, 60)],
    ['a link of an erased account', [...pending, userErased], set(1, 80)],
    ['a link of an account whose key was destroyed', pending.map(erased), set(1, 50)],
  ])('is refused for %s', (_what, history, command) => {
    given(user, history).when(command).refused('invalid-link');
  });

  it('accepts a newer link of an account that is active already', () => {
    const state = given(user, [...active, issued(2, 200)])
      .when(set(2, 150))
      .decides([passwordSet(2, 150)]);
    expect(state).toMatchObject({ status: 'active', passwordSetAt: at(150), link: null, usedLinkId: uuid(2) });
  });
});

it('isLinkGood follows the rule of SetPassword', () => {
  const { state } = given(user, pending);
  expect(isLinkGood(state, uuid(1), at(99))).toBe(true);
  expect(isLinkGood(state, uuid(1), at(100))).toBe(false);
  expect(isLinkGood(state, uuid(2), at(50))).toBe(false);
  expect(isLinkGood(user.initialState, uuid(1), at(50))).toBe(false);
  expect(isLinkGood(given(user, pending.map(erased)).state, uuid(1), at(50))).toBe(false);
  expect(isLinkGood(given(user, [...pending, userErased]).state, uuid(1), at(50))).toBe(false);
});

const requestErasure = (seconds = 65): UserCommand => ({
  type: 'RequestErasure',
  data: { userId: alice, names: reserved },
  metadata: by(alice, seconds),
});
const eraseNow = (seconds = 70): UserCommand => ({
  type: 'EraseUser',
  data: { userId: alice },
  metadata: by(alice, seconds),
});

describe('RequestErasure and EraseUser', () => {
  const requested: UserEvent = {
    type: 'ErasureRequested',
    data: { userId: alice, names: reserved, requestedAt: at(65) },
  };

  it('first make the account useless, then erase it, once', () => {
    for (const history of [pending, active, active.map(erased)]) {
      const state = given(user, history).when(requestErasure()).decides([requested]);
      expect(state).toStrictEqual({ status: 'erasing', userId: alice, requestedAt: at(65) });
      expect([accountOf(state), activeAccountOf(state), isLinkGood(state, uuid(1), at(66))]).toEqual([
        null,
        null,
        false,
      ]);
      given(user, [...history, requested])
        .when(requestErasure())
        .decides([]);
      given(user, [...history, requested])
        .when(eraseNow())
        .decides([userErased]);
      given(user, [...history, requested, userErased])
        .when(eraseNow(75))
        .decides([]);
      given(user, [...history, requested, userErased])
        .when(requestErasure(75))
        .decides([]);
    }
  });

  it('are refused without an account, and without a request', () => {
    given(user, []).when(requestErasure()).refused('not-found');
    given(user, []).when(eraseNow()).refused('rule-broken');
    given(user, active).when(eraseNow()).refused('rule-broken');
  });

  it('leave an account that cannot be registered again, and gets no links', () => {
    given(user, [...active, requested])
      .when(register(2, 80))
      .refused('not-found');
    given(user, [requested]).when(register(2, 80)).refused('not-found');
    given(user, [...pending, requested])
      .when(repeat(2, 80))
      .refused('not-found');
    given(user, [...pending, requested])
      .when(set(1, 80))
      .refused('invalid-link');
  });
});

describe('erasure', () => {
  it('leaves only the id and the time in the state', () => {
    const state = { status: 'erased', userId: alice, erasedAt: at(70) };
    for (const history of [[], pending, active, active.map(erased)]) {
      expect(given(user, [...history, userErased]).state).toStrictEqual(state);
    }
  });

  it('is final: later events change nothing', () => {
    const late: UserEvent = { type: 'UserErased', data: { userId: alice, erasedAt: at(90) } };
    const { state } = given(user, [...active, userErased]);
    expect(given(user, [...active, userErased, ...active, late]).state).toStrictEqual(state);
  });

  it('makes all personal data read as null before UserErased is appended', () => {
    const { state } = given(user, active.map(erased));
    expect(state).toStrictEqual({
      status: 'active',
      userId: alice,
      email: null,
      username: null,
      firstname: null,
      lastname: null,
      registeredAt: at(0),
      language: null,
      link: null,
      roles: [],
      passwordHash: null,
      passwordSetAt: at(50),
      usedLinkId: uuid(1),
      isProvisioned: false,
    });
  });

  it('leaves no account that can be used', () => {
    expect(accountOf(given(user, [...active, userErased]).state)).toBeNull();
    expect(activeAccountOf(given(user, [...active, userErased]).state)).toBeNull();
    expect(activeAccountOf(given(user, active.map(erased)).state)).toBeNull();
    expect(activeAccountOf(given(user, pending).state)).toBeNull();
    expect(activeAccountOf(given(user, active).state)).toMatchObject({ status: 'active', userId: alice });
  });
});

it('events before the registration are ignored', () => {
  expect(given(user, [issued(1, 100), passwordSet(1, 50)]).state).toStrictEqual({ status: 'none' });
});

it('an account keeps its rules for any sequence of commands', () => {
  const link = fc.integer({ min: 1, max: 3 });
  const seconds = fc.integer({ min: 0, max: 220 });
  checkRules<UserState, UserCommand, UserEvent>(user, {
    commands: fc.oneof(
      fc.tuple(link, seconds).map(([n, s]) => register(n, s)),
      fc.tuple(link, seconds).map(([n, s]) => repeat(n, s)),
      fc.tuple(link, seconds).map(([n, s]) => set(n, s)),
      fc.constant(requestErasure()),
      fc.constant(eraseNow()),
    ),
    happenings: fc.constant(userErased),
    again: ({ type }) =>
      type === 'SetPassword' ? 'refused' : type === 'RequestErasure' || type === 'EraseUser' ? 'nothing' : 'anew',
    invariant: (state, history) => {
      const has = (wanted: UserEvent['type']) => history.some(({ type }) => type === wanted);
      const ended = has('UserErased') ? 'erased' : has('ErasureRequested') ? 'erasing' : null;
      expect(state.status).toBe(ended ?? (has('PasswordSet') ? 'active' : 'pending'));
    },
    reaches: [
      'UserRegistered',
      'ProfileChanged',
      'PasswordLinkIssued',
      'RegistrationRepeated',
      'PasswordSet',
      'UserErased',
      'ErasureRequested',
      'rule-broken',
      'not-found',
      'invalid-link',
    ],
  });
});
