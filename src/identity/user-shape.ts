/** A user as others see one (spec, section 9). `online` and `lastSeenAt` are null to who shares no conversation with them. */
export type User = Readonly<{
  _id: string;
  username: string | null;
  firstname: string | null;
  lastname: string | null;
  displayName: string | null;
  online: boolean | null;
  lastSeenAt: string | null;
}>;

/** A user as they see themselves. */
export type OwnUser = User & Readonly<{ email: string | null; roles: readonly string[]; createdAt: string }>;

/** First and last name, or what there is of them, else the username. */
export function displayNameOf(user: Pick<User, 'username' | 'firstname' | 'lastname'>): string | null {
  const full = [user.firstname, user.lastname].filter((name) => name !== null && name !== '').join(' ');
  return full === '' ? user.username : full;
}
