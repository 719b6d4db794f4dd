import { PERSON_NAME_MAX } from '../../commands/user.ts';
import { nameError } from '../../kernel/visible-text.ts';
import { canonicalUsername, usernameError } from '../username-rules.ts';

/** Characters of a username that leave room for the suffix. */
const STEM = 24;

/**
 * Usernames for a new account, to be tried in this order: the one that the issuer suggests, the same with a suffix, and one that derives from the id. An
 * address is not used, also not in part: usernames are visible to others.
 */
export function usernamesFor(suggested: string | null, userId: string): readonly string[] {
  const generated = `user-${userId.slice(0, 12)}`;
  if (suggested === null) return [generated];
  const wanted = canonicalUsername(suggested);
  const stem = [...wanted].slice(0, STEM).join('');
  const candidates = [wanted, `${stem}-${userId.slice(0, 6)}`];
  return [...candidates.filter((username) => usernameError(username) === null), generated];
}

/** A first or last name as it is stored, `null` when it is not acceptable. */
export function personName(name: string | null): string | null {
  const stored = name?.normalize('NFC').trim() ?? '';
  return [...stored].length <= PERSON_NAME_MAX && nameError(stored) === null ? stored : null;
}
