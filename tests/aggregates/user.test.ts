import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLinkGood, type UserState, user } from '../../src/aggregates/user/decider.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import type { UserCommand } from '../../src/commands/user.ts';
import { given } from '../support/decider-spec.ts';
import { alice, at, by, uuid } from './fixtures.ts';
import { checkRules } from './properties.ts';

const profile = { userId: alice, email: 'alice@example.org', username: 'alice', firstname: 'Alice', lastname: null };

const register = (link = 1, seconds = 0): UserCommand => ({
  type: 'RegisterUser',
  data: { ...profile, linkId: uuid(link), linkExpiresAt: at(100) },
  metadata: by(null, seconds),
});
const repeat = (link: number, seconds = 10): UserCommand => ({
  type: 'RepeatRegistration',
  data: { userId: alice, linkId: uuid(link), linkExpiresAt: at(200) },
  metadata: by(null, seconds),
});
const set = (link: number, seconds: number): UserCommand => ({
  type: 'SetPassword',
  data: { userId: alice, linkId: uuid(link), passwordHash: '$argon2id$x' },
  metadata: by(null, seconds),
});

const registered: UserEvent = { type: 'UserRegistered', data: { ...profile, registeredAt: at(0) } };
const issued = (link: number, expires: number): UserEvent => ({
  type: 'PasswordLinkIssued',
  data: { userId: alice, linkId: uuid(link), purpose: 'welcome', expiresAt: at(expires) },
});
const passwordSet = (link: number, seconds: number): UserEvent => ({
  type: 'PasswordSet',
  data: { userId: alice, linkId: uuid(link), passwordHash: '$argon2id$x', setAt: at(seconds) },
});
const pending = [registered, issued(1, 100)];
const active = [...pending, passwordSet(1, 50)];

describe('RegisterUser', () => {
  it('opens a pending account and issues a link to set the password', () => {
    const state = given(user, [])
      .when(register())
      .decides([registered, issued(1, 100)]);
    const link = { linkId: uuid(1), expiresAt: at(100) };
    expect(state).toStrictEqual({ status: 'pending', ...profile, registeredAt: at(0), link });
  });

  it('adds nothing when the account is there', () => {
    given(user, pending).when(register(2, 5)).decides([]);
    given(user, active).when(register(2, 60)).decides([]);
  });
});

describe('RepeatRegistration', () => {
  it('issues a newer link while the account is pending', () => {
    given(user, pending)
      .when(repeat(2))
      .decides([issued(2, 200)]);
  });

  it('adds nothing for a link that was issued already', () => {
    given(user, [...pending, issued(2, 200)])
      .when(repeat(2))
      .decides([]);
  });

  it('tells the owner of an active account, each time', () => {
    const warned: UserEvent = { type: 'RegistrationRepeated', data: { userId: alice, attemptedAt: at(60) } };
    const state = given(user, active).when(repeat(2, 60)).decides([warned]);
    expect(state).toStrictEqual(given(user, active).state);
    given(user, [...active, warned])
      .when(repeat(3, 60))
      .decides([warned]);
  });

  it('is refused for an account that does not exist', () => {
    given(user, []).when(repeat(1)).refused('not-found');
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
      link: null,
      passwordHash: '$argon2id$x',
      passwordSetAt: at(50),
    });
  });

  it('works up to the last moment of the link', () => {
    given(user, pending)
      .when(set(1, 99.999))
      .decides([passwordSet(1, 99.999)]);
  });

  it.each([
    ['a link of no account', [], set(1, 50)],
    ['a link that was never issued', pending, set(2, 50)],
    ['a link from the moment it expires', pending, set(1, 100)],
    ['a link that was replaced', [...pending, issued(2, 200)], set(1, 50)],
    ['a link that was used', active, set(1, 60)],
  ])('is refused by %s', (_what, history, command) => {
    given(user, history).when(command).refused('invalid-link');
  });

  it('takes a newer link of an account that is active already', () => {
    const state = given(user, [...active, issued(2, 200)])
      .when(set(2, 150))
      .decides([passwordSet(2, 150)]);
    expect(state).toMatchObject({ status: 'active', passwordSetAt: at(150), link: null });
  });
});

it('a link is good by the same rule that sets the password', () => {
  const { state } = given(user, pending);
  expect(isLinkGood(state, uuid(1), at(99))).toBe(true);
  expect(isLinkGood(state, uuid(1), at(100))).toBe(false);
  expect(isLinkGood(state, uuid(2), at(50))).toBe(false);
  expect(isLinkGood(user.initialState, uuid(1), at(50))).toBe(false);
});

it('events before the registration are passed over', () => {
  expect(given(user, [issued(1, 100), passwordSet(1, 50)]).state).toStrictEqual({ status: 'none' });
});

it('whatever is asked, an account keeps the rules', () => {
  const link = fc.integer({ min: 1, max: 3 });
  const seconds = fc.integer({ min: 0, max: 220 });
  checkRules<UserState, UserCommand, UserEvent>(user, {
    commands: fc.oneof(
      fc.tuple(link, seconds).map(([n, s]) => register(n, s)),
      fc.tuple(link, seconds).map(([n, s]) => repeat(n, s)),
      fc.tuple(link, seconds).map(([n, s]) => set(n, s)),
    ),
    again: ({ type }) => (type === 'RegisterUser' ? 'nothing' : type === 'SetPassword' ? 'refused' : 'anew'),
    invariant: (state, history) => {
      const isSet = history.some(({ type }) => type === 'PasswordSet');
      expect(state.status).toBe(isSet ? 'active' : 'pending');
    },
    reaches: [
      'UserRegistered',
      'PasswordLinkIssued',
      'RegistrationRepeated',
      'PasswordSet',
      'not-found',
      'invalid-link',
    ],
  });
});
