import type { UserEvent } from '../../aggregates/user/events.ts';
import { foldText } from '../../kernel/fold.ts';
import type { ProjectionOf } from './projection.ts';

/** An account as it is read; `users/users`, by the user's id. */
export type UserBody = Readonly<{
  username: string;
  firstname: string | null;
  lastname: string | null;
  displayName: string;
  email: string;
  /** `pending` until a password was set by the mailed link. */
  status: 'pending' | 'active';
  roles: readonly string[];
  createdAt: string;
  /** Of the account's last event. */
  revision: number;
  /** What a search finds the user by, folded; empty unless active. */
  terms: readonly string[];
}>;

type Names = Pick<UserBody, 'username' | 'firstname' | 'lastname'>;

const displayName = ({ username, firstname, lastname }: Names): string =>
  [firstname, lastname].filter((name) => name !== null).join(' ') || username;

/** Each name, each word of a name, and the whole name in both orders, so that a prefix of any of them finds the user. */
function searchTerms(names: Names): readonly string[] {
  const { username, firstname, lastname } = names;
  const parts = [username, firstname, lastname].filter((name) => name !== null).map(foldText);
  const words = parts.flatMap((part) => part.split(/[\s._-]+/u));
  const whole = [firstname, lastname].filter((name) => name !== null).map(foldText);
  const terms = [...parts, ...words, whole.join(' '), whole.toReversed().join(' ')];
  return [...new Set(terms)].filter((term) => term !== '');
}

export const users: ProjectionOf<UserEvent, UserBody> = {
  name: 'users',
  version: 1,
  collections: [
    { name: 'users', indexes: [{ array: 'terms', fields: ['username'] }, { fields: ['status', 'username'] }] },
  ],
  handles: ['UserRegistered', 'PasswordLinkIssued', 'RegistrationRepeated', 'PasswordSet'],
  touches: (event) => [{ collection: 'users', id: event.data.userId, fresh: event.type === 'UserRegistered' }],
  evolve(_ref, user, event) {
    const revision = Number(event.revision);
    if (event.type === 'UserRegistered') return user ?? registered(event.data, revision);
    if (user === undefined) return undefined;
    switch (event.type) {
      case 'PasswordSet':
        return { ...user, status: 'active', terms: searchTerms(user), revision };
      default:
        return { ...user, revision };
    }
  },
};

type Registration = Extract<UserEvent, { type: 'UserRegistered' }>['data'];

function registered(data: Registration, revision: number): UserBody {
  const { username, firstname, lastname, email, registeredAt } = data;
  const names = { username, firstname, lastname };
  return {
    ...names,
    displayName: displayName(names),
    email,
    status: 'pending',
    roles: [],
    createdAt: registeredAt,
    revision,
    terms: [],
  };
}
