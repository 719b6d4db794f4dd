/**
 * A user as others see them (spec, section 9). `online` and `lastSeenAt` are `null` for readers who share no conversation with them. Names are `null`
 * once the user was erased.
 */
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
