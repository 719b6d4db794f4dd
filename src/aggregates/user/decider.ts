import type { UserCommand } from '../../commands/user.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { UserEvent } from './events.ts';

/** The latest link to set a password, until it is used. Earlier links are void. */
export type PasswordLink = Readonly<{ linkId: string; expiresAt: string }>;

/** Personal data is `null` once its key was destroyed, which happens before `UserErased` is appended. */
type Profile = Readonly<{
  userId: string;
  email: string | null;
  username: string | null;
  firstname: string | null;
  lastname: string | null;
  registeredAt: string;
  /** The tag of the language of mails to the person; `null` where none is known. */
  language: string | null;
  link: PasswordLink | null;
}>;

/** An account whose password is set. Sessions that started before `passwordSetAt` are void. */
export type ActiveAccount = Profile &
  Readonly<{ status: 'active'; passwordHash: string | null; passwordSetAt: string }>;

/** An account that was not erased. It is `pending` until a password is set for the first time. */
export type Account = (Profile & Readonly<{ status: 'pending' }>) | ActiveAccount;

export type UserState =
  | Readonly<{ status: 'none' }>
  | Account
  | Readonly<{ status: 'erased'; userId: string; erasedAt: string }>;

const initialState: UserState = { status: 'none' };

/** The account, `null` when there is none or it was erased. */
export function accountOf(state: UserState): Account | null {
  return state.status === 'pending' || state.status === 'active' ? state : null;
}

/** The account if it can be used: its password is set, and the key of its personal data was not destroyed. */
export function activeAccountOf(state: UserState): ActiveAccount | null {
  return state.status === 'active' && state.passwordHash !== null ? state : null;
}

/** Whether a password may be set by this link at this time: it is the latest one, not used and not expired, of an account that was not erased. */
export function isLinkGood(state: UserState, linkId: string, at: string): boolean {
  const account = accountOf(state);
  if (account === null || account.link === null || account.email === null) return false;
  return account.link.linkId === linkId && at < account.link.expiresAt;
}

/** One text for everything that can be wrong with a link. */
export function invalidLink(): Refusal {
  return new Refusal('invalid-link', 'this link is wrong, was used or replaced, or has expired');
}

/** Registers an account and issues its first link. `[]` when the account exists or was erased. */
export function registerUser(
  { data, metadata }: CommandOf<UserCommand, 'RegisterUser'>,
  state: UserState,
): UserEvent[] {
  if (state.status !== 'none') return [];
  const { userId, email, username, firstname, lastname } = data;
  return [
    {
      type: 'UserRegistered',
      data: { userId, email, username, firstname, lastname, registeredAt: metadata.at },
    },
    welcomeLink(data),
  ];
}

/**
 * While the account is pending: a new link, or `[]` when this one was issued already. Once it is active: a warning to its owner, each time.
 * Refused with `not-found` when there is no such account, also after its erasure.
 */
export function repeatRegistration(
  { data, metadata }: CommandOf<UserCommand, 'RepeatRegistration'>,
  state: UserState,
): UserEvent[] {
  switch (state.status) {
    case 'none':
    case 'erased':
      throw new Refusal('not-found', 'there is no such account');
    case 'pending':
      return state.link?.linkId === data.linkId ? [] : [welcomeLink(data)];
    case 'active':
      return [{ type: 'RegistrationRepeated', data: { userId: data.userId, attemptedAt: metadata.at } }];
  }
}

/** Sets the password and activates the account. Refused with `invalid-link` unless the link is good. */
export function setPassword({ data, metadata }: CommandOf<UserCommand, 'SetPassword'>, state: UserState): UserEvent[] {
  const { userId, linkId, passwordHash } = data;
  if (!isLinkGood(state, linkId, metadata.at)) throw invalidLink();
  return [{ type: 'PasswordSet', data: { userId, linkId, passwordHash, setAt: metadata.at } }];
}

type NewLink = Readonly<{ userId: string; linkId: string; linkExpiresAt: string; language: string }>;

function welcomeLink({ userId, linkId, linkExpiresAt: expiresAt, language }: NewLink): UserEvent {
  return { type: 'PasswordLinkIssued', data: { userId, linkId, purpose: 'welcome', expiresAt, language } };
}

function evolve(state: UserState, event: UserEvent): UserState {
  if (state.status === 'erased') return state;
  // Also without an account: the id cannot be registered again even if this event is all that is left of the stream.
  if (event.type === 'UserErased')
    return { status: 'erased', userId: event.data.userId, erasedAt: event.data.erasedAt };
  if (event.type === 'UserRegistered') {
    const { userId, email, username, firstname, lastname, registeredAt } = event.data;
    const profile = { userId, email, username, firstname, lastname, registeredAt };
    return { status: 'pending', ...profile, language: null, link: null };
  }
  if (state.status === 'none') return state;
  switch (event.type) {
    case 'PasswordLinkIssued': {
      const { linkId, expiresAt, language } = event.data;
      return { ...state, language: language ?? state.language, link: { linkId, expiresAt } };
    }
    case 'PasswordSet': {
      const { passwordHash, setAt } = event.data;
      return { ...state, status: 'active', link: null, passwordHash, passwordSetAt: setAt };
    }
    case 'RegistrationRepeated':
      return state;
    default:
      event satisfies never;
      return state;
  }
}

/** An account: registered, activated when its owner sets a password by the mailed link, and possibly erased. */
export const user: Aggregate<UserState, UserCommand, UserEvent> = {
  category: 'user',
  isPersonal: true,
  snapshotVersion: 3,
  initialState,
  decide(command, state) {
    switch (command.type) {
      case 'RegisterUser':
        return registerUser(command, state);
      case 'RepeatRegistration':
        return repeatRegistration(command, state);
      case 'SetPassword':
        return setPassword(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  ...plainState<UserState>(),
  // Ten short strings and a password hash.
  weight: () => 1_200,
};
