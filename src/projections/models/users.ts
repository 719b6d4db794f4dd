import type { UserEvent } from '../../aggregates/user/events.ts';
import { displayNameOf } from '../../kernel/display-name.ts';
import { foldText } from '../../kernel/fold.ts';
import { type DocumentRef, defineProjection, type EventHandler } from './projection.ts';

/** An account as it is read; `users/users`, by the user's id. Names and address are `null` once the person was erased. */
export type UserBody = Readonly<{
  username: string | null;
  firstname: string | null;
  lastname: string | null;
  displayName: string | null;
  email: string | null;
  /** `pending` until a password was set by the mailed link; `erasing` from the request of the erasure until it is done. */
  status: 'pending' | 'active' | 'erasing' | 'erased';
  roles: readonly string[];
  createdAt: string;
  /** Of the account's last event. */
  revision: number;
  /** What a search finds the user by, folded; empty unless active. */
  terms: readonly string[];
  /** The first `SHORT_SEARCH` characters of each term, and fewer: very many users match a text that short, and an index has them in order. */
  shortTerms: readonly string[];
}>;

type Names = Pick<UserBody, 'username' | 'firstname' | 'lastname'>;

const NO_NAMES = { username: null, firstname: null, lastname: null, displayName: null, email: null } as const;

/** Each name, each word of a name, and the whole name in both orders, so that a prefix of any of them finds the user. */
function searchTerms(names: Names): readonly string[] {
  const { username, firstname, lastname } = names;
  const parts = [username, firstname, lastname].filter((name) => name !== null).map(foldText);
  const words = parts.flatMap((part) => part.split(/[\s._-]+/u));
  const whole = [firstname, lastname].filter((name) => name !== null).map(foldText);
  const terms = [...parts, ...words, whole.join(' '), whole.toReversed().join(' ')];
  return [...new Set(terms)].filter((term) => term !== '');
}

/** Characters of a short search. */
export const SHORT_SEARCH = 2;

function shortTermsOf(terms: readonly string[]): readonly string[] {
  const starts = terms.flatMap((term) => {
    const characters = [...term].slice(0, SHORT_SEARCH);
    return characters.map((_, i) => characters.slice(0, i + 1).join(''));
  });
  return [...new Set(starts)];
}

/** What an active account is found by. */
function searchable(names: Names): Pick<UserBody, 'terms' | 'shortTerms'> {
  const terms = searchTerms(names);
  return { terms, shortTerms: shortTermsOf(terms) };
}

const NOT_SEARCHABLE = { terms: [], shortTerms: [] } as const;

const account = ({ data }: { data: { userId: string } }): readonly DocumentRef[] => [
  { collection: 'users', id: data.userId },
];

/** Only the revision moves. */
const noted: EventHandler<UserBody, UserEvent> = {
  touches: account,
  evolve: (user, { revision }) => user && { ...user, revision: Number(revision) },
};

export const users = defineProjection<UserBody, UserEvent>({
  name: 'users',
  version: 5,
  collections: [
    {
      name: 'users',
      indexes: [
        { array: 'terms', fields: ['username'] },
        { array: 'shortTerms', fields: ['username'] },
        { fields: ['status', 'username'] },
      ],
    },
  ],
  on: {
    UserRegistered: {
      touches: ({ data }) => [{ collection: 'users', id: data.userId, fresh: true }],
      evolve: (user, { data, revision }) => user ?? registered(data, Number(revision)),
    },
    ProfileChanged: {
      touches: account,
      evolve: (user, { data, revision }) => {
        if (user === undefined) return undefined;
        const { username, firstname, lastname } = data;
        const names = { username, firstname, lastname };
        const terms = user.status === 'active' ? searchable(names) : NOT_SEARCHABLE;
        return { ...user, ...names, displayName: displayNameOf(names), ...terms, revision: Number(revision) };
      },
    },
    PasswordLinkIssued: noted,
    RegistrationRepeated: noted,
    PasswordSet: {
      touches: account,
      evolve: (user, { revision }) =>
        user && { ...user, status: 'active', ...searchable(user), revision: Number(revision) },
    },
    UserProvisioned: {
      touches: ({ data }) => [{ collection: 'users', id: data.userId, fresh: true }],
      evolve(user, { data, revision }) {
        if (user !== undefined) return user;
        const opened = registered({ ...data, registeredAt: data.provisionedAt }, Number(revision));
        return { ...opened, status: 'active', ...searchable(opened) };
      },
    },
    ErasureRequested: { touches: account, evolve: without('erasing') },
    UserErased: { touches: account, evolve: without('erased') },
  },
});

/** The account without what it says of its person. */
function without(status: 'erasing' | 'erased'): EventHandler<UserBody, UserEvent>['evolve'] {
  return (user, { revision }) =>
    user && { ...user, ...NO_NAMES, status, roles: [], ...NOT_SEARCHABLE, revision: Number(revision) };
}

type Registration = Pick<UserBody, 'username' | 'firstname' | 'lastname' | 'email'> &
  Readonly<{ registeredAt: string }>;

function registered(data: Registration, revision: number): UserBody {
  const { username, firstname, lastname, email, registeredAt } = data;
  const names = { username, firstname, lastname };
  return {
    ...names,
    displayName: displayNameOf(names),
    email,
    status: 'pending',
    roles: [],
    createdAt: registeredAt,
    revision,
    ...NOT_SEARCHABLE,
  };
}
