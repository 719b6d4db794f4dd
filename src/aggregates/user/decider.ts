import type { UserCommand } from '../../commands/user.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { UserEvent } from './events.ts';

/** The latest link to set a password, until it is used. Earlier links are void. */
export type PasswordLink = Readonly<{ linkId: string; expiresAt: string }>;

/** Latest usernames of links that were replaced which a pending account remembers, so that they can be released. */
const REPLACED_MAX = 16;

/** A username, and the id under which it is reserved. Personal data like all names. */
export type ReservedUsername = Readonly<{ username: string | null; holder: string }>;

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
  /** What the user may do besides what every user may; the roles of an outside issuer are not taken over. */
  roles: readonly string[];
}>;

/**
 * An account that can be used: its password is set, or an outside issuer authenticates its person. Sessions that started before `passwordSetAt` are void.
 * `passwordHash`: `null` without a password. `usedLinkId`: the link by which it was set, where it was one.
 */
export type ActiveAccount = Profile &
  Readonly<{
    status: 'active';
    passwordHash: string | null;
    passwordSetAt: string;
    usedLinkId: string | null;
    isProvisioned: boolean;
  }>;

/**
 * An account that was not erased. It is `pending` until a password is set for the first time; its names are those of the newest link until then.
 * `usernameHolder`: the id under which its username is reserved. `replaced`: the usernames of earlier links, the latest last.
 */
export type Account =
  | (Profile & Readonly<{ status: 'pending'; usernameHolder: string; replaced: readonly ReservedUsername[] }>)
  | ActiveAccount;

export type UserState =
  | Readonly<{ status: 'none' }>
  | Account
  /** The erasure has begun: nothing of the account can be used any more. */
  | Readonly<{ status: 'erasing'; userId: string; requestedAt: string }>
  | Readonly<{ status: 'erased'; userId: string; erasedAt: string }>;

const initialState: UserState = { status: 'none' };

/** The account, `null` when there is none, it was erased, or its erasure has begun. */
export function accountOf(state: UserState): Account | null {
  return state.status === 'pending' || state.status === 'active' ? state : null;
}

/** The account if it can be used: it is active, and the key of its personal data was not destroyed. */
export function activeAccountOf(state: UserState): ActiveAccount | null {
  if (state.status !== 'active') return null;
  const isReadable = state.isProvisioned ? state.username !== null : state.passwordHash !== null;
  return isReadable ? state : null;
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

/**
 * A registration with the address of this account. Without an account, it is opened with its first link. While the account is pending, the profile
 * belongs to the newest link: the names are replaced with those of this registration, and a new link is issued. Once it is active, nothing changes and
 * its owner is warned, each time. `[]` when this link was issued already. Refused with `not-found` for an account that was erased.
 */
export function registerUser(
  { data, metadata }: CommandOf<UserCommand, 'RegisterUser'>,
  state: UserState,
): UserEvent[] {
  const { userId, email, username, firstname, lastname, linkId, linkExpiresAt, usernameHolder, language } = data;
  const link: UserEvent = {
    type: 'PasswordLinkIssued',
    data: { userId, linkId, purpose: 'welcome', usernameHolder, expiresAt: linkExpiresAt, language },
  };
  switch (state.status) {
    case 'none': {
      const registeredAt = metadata.at;
      return [{ type: 'UserRegistered', data: { userId, email, username, firstname, lastname, registeredAt } }, link];
    }
    case 'pending': {
      if (state.link?.linkId === linkId) return [];
      const changed = { userId, username, firstname, lastname, changedAt: metadata.at };
      return [{ type: 'ProfileChanged', data: changed }, link];
    }
    case 'active':
      return [{ type: 'RegistrationRepeated', data: { userId, attemptedAt: metadata.at } }];
    case 'erasing':
    case 'erased':
      throw new Refusal('not-found', 'there is no such account');
  }
}

/** Sets the password and the names, and activates the account. Refused with `invalid-link` unless the link is good. */
export function setPassword({ data, metadata }: CommandOf<UserCommand, 'SetPassword'>, state: UserState): UserEvent[] {
  const { userId, linkId, passwordHash, username, firstname, lastname } = data;
  const account = accountOf(state);
  if (account === null || !isLinkGood(state, linkId, metadata.at)) throw invalidLink();
  const passwordSet: UserEvent = { type: 'PasswordSet', data: { userId, linkId, passwordHash, setAt: metadata.at } };
  const isSame = username === account.username && firstname === account.firstname && lastname === account.lastname;
  if (isSame) return [passwordSet];
  const changed = { userId, username, firstname, lastname, changedAt: metadata.at };
  return [{ type: 'ProfileChanged', data: changed }, passwordSet];
}

/** Opens an active account without a password. `[]` when there is one. Refused with `unauthenticated` after its erasure. */
export function provisionUser(
  { data, metadata }: CommandOf<UserCommand, 'ProvisionUser'>,
  state: UserState,
): UserEvent[] {
  if (state.status === 'erasing' || state.status === 'erased')
    throw new Refusal('unauthenticated', 'this account was erased');
  return state.status === 'none' ? [{ type: 'UserProvisioned', data: { ...data, provisionedAt: metadata.at } }] : [];
}

/** Begins the erasure, after which the account is of no use. `[]` when it has begun or is done. Refused with `not-found` without an account. */
export function requestErasure(
  { data, metadata }: CommandOf<UserCommand, 'RequestErasure'>,
  state: UserState,
): UserEvent[] {
  if (state.status === 'none') throw new Refusal('not-found', 'there is no such account');
  if (accountOf(state) === null) return [];
  return [{ type: 'ErasureRequested', data: { ...data, requestedAt: metadata.at } }];
}

/** Erases the account. `[]` when it was erased. Refused with `rule-broken` unless the erasure was requested: the key is destroyed in between. */
export function eraseUser({ data, metadata }: CommandOf<UserCommand, 'EraseUser'>, state: UserState): UserEvent[] {
  if (state.status === 'erased') return [];
  if (state.status !== 'erasing') throw new Refusal('rule-broken', 'the erasure of this account was not requested');
  return [{ type: 'UserErased', data: { userId: data.userId, erasedAt: metadata.at } }];
}

function evolve(state: UserState, event: UserEvent): UserState {
  if (state.status === 'erased') return state;
  // Also without an account: the id cannot be registered again even if this event is all that is left of the stream.
  if (event.type === 'UserErased')
    return { status: 'erased', userId: event.data.userId, erasedAt: event.data.erasedAt };
  if (state.status === 'erasing') return state;
  if (event.type === 'ErasureRequested')
    return { status: 'erasing', userId: event.data.userId, requestedAt: event.data.requestedAt };
  if (event.type === 'UserRegistered') {
    const { userId, email, username, firstname, lastname, registeredAt } = event.data;
    const profile = {
      userId,
      email,
      username,
      firstname,
      lastname,
      registeredAt,
      language: null,
      link: null,
      roles: [],
    };
    return { status: 'pending', ...profile, usernameHolder: userId, replaced: [] };
  }
  if (event.type === 'UserProvisioned') {
    const { userId, email, username, firstname, lastname, provisionedAt } = event.data;
    const profile = {
      userId,
      email,
      username,
      firstname,
      lastname,
      registeredAt: provisionedAt,
      language: null,
      link: null,
      roles: [],
    };
    const password = { passwordHash: null, passwordSetAt: provisionedAt, usedLinkId: null };
    return { status: 'active', ...profile, ...password, isProvisioned: true };
  }
  if (state.status === 'none') return state;
  switch (event.type) {
    case 'ProfileChanged': {
      const { username, firstname, lastname } = event.data;
      const changed = { ...state, username, firstname, lastname };
      if (changed.status === 'active') return changed;
      const replaced = [...changed.replaced, { username: state.username, holder: changed.usernameHolder }];
      return { ...changed, replaced: replaced.slice(-REPLACED_MAX) };
    }
    case 'PasswordLinkIssued': {
      const { linkId, expiresAt, usernameHolder, language } = event.data;
      const changed = { ...state, language: language ?? state.language, link: { linkId, expiresAt } };
      return changed.status === 'pending' ? { ...changed, usernameHolder } : changed;
    }
    case 'PasswordSet': {
      const { passwordHash, setAt, linkId } = event.data;
      const { userId, email, username, firstname, lastname, registeredAt, language, roles } = state;
      const profile = { userId, email, username, firstname, lastname, registeredAt, language, link: null, roles };
      const isProvisioned = state.status === 'active' && state.isProvisioned;
      return { status: 'active', ...profile, passwordHash, passwordSetAt: setAt, usedLinkId: linkId, isProvisioned };
    }
    case 'RegistrationRepeated':
      return state;
    default:
      event satisfies never;
      return state;
  }
}

/**
 * An account: registered and activated when its owner sets a password by the mailed link, or provisioned for a person of an outside issuer; possibly
 * erased.
 */
export const user: Aggregate<UserState, UserCommand, UserEvent> = {
  category: 'user',
  isPersonal: true,
  snapshotVersion: 5,
  initialState,
  decide(command, state) {
    switch (command.type) {
      case 'RegisterUser':
        return registerUser(command, state);
      case 'SetPassword':
        return setPassword(command, state);
      case 'ProvisionUser':
        return provisionUser(command, state);
      case 'RequestErasure':
        return requestErasure(command, state);
      case 'EraseUser':
        return eraseUser(command, state);
      default:
        return unknownCommand(command);
    }
  },
  evolve,
  ...plainState<UserState>(),
  // Ten short strings, a password hash, and while it is pending the usernames of earlier links.
  weight: (state) => 1_200 + (state.status === 'pending' ? state.replaced.length * 200 : 0),
};
