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
