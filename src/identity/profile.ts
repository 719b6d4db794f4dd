import type { Account } from '../aggregates/user/decider.ts';
import { displayNameOf } from '../kernel/display-name.ts';

/** What others may see of a user. Names are `null` once the user was erased. */
export type Profile = Readonly<{
  _id: string;
  username: string | null;
  firstname: string | null;
  lastname: string | null;
  displayName: string | null;
}>;

/** What users see of themselves. */
export type OwnProfile = Profile & Readonly<{ email: string | null; roles: readonly string[]; createdAt: string }>;

/** The profile of an account, as its aggregate has it. */
export function ownProfile(account: Account): OwnProfile {
  const { userId, email, username, firstname, lastname, registeredAt, roles } = account;
  const names = { username, firstname, lastname };
  return { _id: userId, ...names, displayName: displayNameOf(names), email, roles, createdAt: registeredAt };
}
