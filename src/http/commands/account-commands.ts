import { Type } from 'typebox';
import { sessions } from '../../aggregates/sessions/decider.ts';
import { invalidLink, user } from '../../aggregates/user/decider.ts';
import { closed, visibleName } from '../../commands/fields.ts';
import { PERSON_NAME_MAX, userCommands } from '../../commands/user.ts';
import { canonicalAddress } from '../../identity/addresses.ts';
import { type CommandDescription, describeCommand, describePublicCommand } from './command-description.ts';

const { email, username } = userCommands.RegisterUser.properties;
const PersonName = visibleName(PERSON_NAME_MAX);
const names = { firstname: Type.Optional(PersonName), lastname: Type.Optional(PersonName) };

/** The password rules are applied by the service, which can explain each of them. */
const Password = Type.String({ format: 'text' });

/** Commands of accounts and sessions. */
export const accountDescriptions: readonly CommandDescription[] = [
  describePublicCommand({
    name: 'RegisterUser',
    summary: 'Sign up',
    description:
      'Mails a link to set the password. The account gets the names of the request whose link is used. An address that is already in use gets the same answer, and a mail informs its owner. Mails are in the language that `Accept-Language` prefers: English or French.',
    tag: 'accounts',
    input: closed({ email, username, ...names }),
    example: { email: 'ada@example.org', username: 'ada', firstname: 'Ada', lastname: 'Lovelace' },
    paths: [{ method: 'POST', path: '/api/v1/users' }],
    sharedLimits: ['registration'],
    problems: ['username-taken'],
    // Two strangers may choose the same key, so that it counts together with the address.
    owner: (_services, { email }) => canonicalAddress(email),
    // Its outcome is in the streams of names and of other accounts too, and none of these may be distinguishable.
    target: { aggregate: user, id: (_input, { ids }) => ids.objectId('user'), noted: true },
    async perform({ identity }, { email, username, firstname = null, lastname = null }, { context, language }) {
      const registration = { email, username, firstname, lastname, language };
      const { userId, position } = await identity.register(registration, context);
      return { _id: userId, position };
    },
    location: ({ _id }) => `/api/v1/users/${_id}`,
  }),

  describePublicCommand({
    name: 'SetPassword',
    summary: 'Set the password by a mailed link',
    description:
      'Confirms the address and activates the account. 8 to 128 characters, not a common password. The account gets the names of the registration that the link was mailed for, except for those that are given here.',
    tag: 'accounts',
    input: closed({
      token: Type.String(),
      password: Password,
      confirmPassword: Password,
      username: Type.Optional(username),
      ...names,
    }),
    example: {
      token: 'the value of token= in the mailed link',
      password: 'a long sentence of yours',
      confirmPassword: 'a long sentence of yours',
    },
    paths: [{ method: 'POST', path: '/api/v1/passwords' }],
    problems: ['invalid-link', 'username-taken'],
    owner({ identity }, { token }) {
      const owner = identity.userOfPasswordLink(token);
      if (owner === null) throw invalidLink();
      return owner;
    },
    target: { aggregate: user, id: (_input, { owner }) => owner },
    async perform({ identity }, input, { context }) {
      const { userId, position } = await identity.setPassword(input, context);
      return { _id: userId, position };
    },
    location: () => '/api/v1/users/me',
  }),

  describeCommand({
    name: 'EraseUser',
    summary: 'Erase your account',
    description:
      'For good: your names, your address and the content of your messages become unreadable everywhere, your sessions end, your names can be used by others, and your groups are handed over to their oldest members. Requires the current password, or that you have signed in within the last ten minutes.',
    tag: 'accounts',
    input: closed({ currentPassword: Type.Optional(Password) }),
    example: { currentPassword: 'a long sentence of yours' },
    paths: [{ method: 'DELETE', path: '/api/v1/users/me' }],
    problems: ['forbidden'],
    target: { aggregate: user, id: (_input, { owner }) => owner },
    async perform({ identity }, { currentPassword = null }, { context, principal, address }) {
      const proof = { currentPassword, address: address ?? '' };
      const { userId, position } = await identity.erase(principal, proof, context);
      return { _id: userId, position };
    },
    location: ({ _id }) => `/api/v1/users/${_id}`,
  }),

  describeCommand({
    name: 'EndSession',
    summary: 'Sign out',
    tag: 'sessions',
    input: closed({}),
    paths: [{ method: 'DELETE', path: '/api/v1/sessions/current' }],
    target: { aggregate: sessions, id: (_input, { owner }) => owner, noted: true },
    problems: ['not-found'],
    subject: ({ sessionId, userId }) => sessionId ?? userId,
    async perform({ identity }, _input, { context, principal }) {
      const { position } = await identity.signOut(principal, context);
      return { _id: principal.sessionId ?? principal.userId, position };
    },
    location: () => '/api/v1/users/me',
  }),
];
