import type { UserCommand } from '../../commands/user.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { UserEvent } from './events.ts';

/** The newest link to set a password that was not used yet; all others are void. */
export type PasswordLink = Readonly<{ linkId: string; expiresAt: string }>;

type Profile = Readonly<{
  userId: string;
  email: string;
  username: string;
  firstname: string | null;
  lastname: string | null;
  registeredAt: string;
  link: PasswordLink | null;
}>;

/** `pending` until a password is set for the first time. Sessions that started before `passwordSetAt` are void. */
export type UserState =
  | Readonly<{ status: 'none' }>
  | (Profile & Readonly<{ status: 'pending' }>)
  | (Profile & Readonly<{ status: 'active'; passwordHash: string; passwordSetAt: string }>);

type Asked<Type extends UserCommand['type']> = Extract<UserCommand, { type: Type }>;

const initialState: UserState = { status: 'none' };

/** Whether a password may be set by this link at this time: the newest one, not used, not expired. */
export function isLinkGood(state: UserState, linkId: string, at: string): boolean {
  return state.status !== 'none' && state.link !== null && state.link.linkId === linkId && at < state.link.expiresAt;
}

/** Registers, and issues the first link. `[]` when it was done before. */
export function registerUser({ data, metadata }: Asked<'RegisterUser'>, state: UserState): UserEvent[] {
  if (state.status !== 'none') return [];
  const { userId, email, username, firstname, lastname, linkId, linkExpiresAt } = data;
  return [
    {
      type: 'UserRegistered',
      data: { userId, email, username, firstname, lastname, registeredAt: metadata.at },
    },
    welcomeLink(userId, linkId, linkExpiresAt),
  ];
}

/**
 * A newer link while the account is pending, of which a repetition adds nothing; a warning to its owner, each time, once it is active.
 * Refused with `not-found` when there is no such account.
 */
export function repeatRegistration({ data, metadata }: Asked<'RepeatRegistration'>, state: UserState): UserEvent[] {
  const { userId, linkId, linkExpiresAt } = data;
  switch (state.status) {
    case 'none':
      throw new Refusal('not-found', 'there is no such account');
    case 'pending':
      return state.link?.linkId === linkId ? [] : [welcomeLink(userId, linkId, linkExpiresAt)];
    case 'active':
      return [{ type: 'RegistrationRepeated', data: { userId, attemptedAt: metadata.at } }];
  }
}

/** Sets the password and activates the account. Refused with `invalid-link`, in the same words whatever is wrong with the link. */
export function setPassword({ data, metadata }: Asked<'SetPassword'>, state: UserState): UserEvent[] {
  const { userId, linkId, passwordHash } = data;
  if (!isLinkGood(state, linkId, metadata.at)) {
    throw new Refusal('invalid-link', 'this link is wrong, was used or replaced, or has expired');
  }
  return [{ type: 'PasswordSet', data: { userId, linkId, passwordHash, setAt: metadata.at } }];
}

function welcomeLink(userId: string, linkId: string, expiresAt: string): UserEvent {
  return { type: 'PasswordLinkIssued', data: { userId, linkId, purpose: 'welcome', expiresAt } };
}

function evolve(state: UserState, event: UserEvent): UserState {
  if (event.type === 'UserRegistered') return { status: 'pending', ...event.data, link: null };
  if (state.status === 'none') return state;
  switch (event.type) {
    case 'PasswordLinkIssued':
      return { ...state, link: { linkId: event.data.linkId, expiresAt: event.data.expiresAt } };
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

/** An account: registered, then active once its owner set a password by the mailed link. */
export const user: Aggregate<UserState, UserCommand, UserEvent> = {
  category: 'user',
  snapshotVersion: 1,
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
  weight: () => 5,
};
