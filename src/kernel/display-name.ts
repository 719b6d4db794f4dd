/** The names of a user; all of them `null` once the user was erased. */
type Names = Readonly<{ username: string | null; firstname: string | null; lastname: string | null }>;

/** First and last name, or the one of them that is set, otherwise the username. */
export function displayNameOf({ username, firstname, lastname }: Names): string | null {
  const full = [firstname, lastname].filter((name) => name !== null && name !== '').join(' ');
  return full === '' ? username : full;
}
