import { mixesScripts } from './scripts.ts';

/** Characters of a username in its canonical form. */
export const USERNAME_MIN = 3;
export const USERNAME_MAX = 32;

/** A letter with its marks, or a decimal digit; in between also `.`, `_` and `-`. */
const SHAPE = /^(?:\p{L}\p{M}*|\p{Nd})(?:\p{L}\p{M}*|[\p{Nd}._-])*$/u;
/** Characters without a shape of their own, some of them letters (such as Hangul fillers). */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;

/** Names that could be taken for the service or its staff, or for parts of an address, as they are compared. */
const RESERVED: ReadonlySet<string> = new Set(
  [
    ...['admin', 'administrator', 'moderator', 'operator', 'owner', 'root', 'staff', 'superuser', 'sysadmin', 'system'],
    ...['parley', 'help', 'helpdesk', 'info', 'legal', 'official', 'security', 'support', 'team'],
    ...['abuse', 'hostmaster', 'mailer-daemon', 'no-reply', 'noreply', 'postmaster', 'webmaster'],
    ...[
      'all',
      'anonymous',
      'channel',
      'deleted',
      'everyone',
      'guest',
      'here',
      'nobody',
      'null',
      'undefined',
      'unknown',
    ],
    ...['account', 'api', 'assets', 'chat', 'docs', 'login', 'logout', 'mail', 'settings', 'sign-in', 'sign-out'],
    ...['sign-up', 'signin', 'signup', 'user', 'users', 'you'],
  ].map(foldUsername),
);

/** The form in which a username is stored: composed (NFC). */
export function canonicalUsername(username: string): string {
  return username.normalize('NFC');
}

/**
 * The form in which usernames are compared: without regard to case and compatibility variants of letters. By way of upper case, because several small
 * letters share a capital (`ı` and `i`, `ß` and `ss`).
 */
export function foldUsername(username: string): string {
  return username.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
}

/** What is wrong with a username, `null` when nothing is. */
export function usernameError(given: string): string | null {
  // Bounds the cost of what follows: no canonical form shortens a text to a tenth.
  if (given.length > 10 * USERNAME_MAX) return `must have at most ${USERNAME_MAX} characters`;
  if (!given.isWellFormed()) return 'must be well-formed text, without lone surrogates';
  const username = canonicalUsername(given);
  const { length } = [...username];
  if (length < USERNAME_MIN) return `must have at least ${USERNAME_MIN} characters`;
  if (length > USERNAME_MAX) return `must have at most ${USERNAME_MAX} characters`;
  if (!SHAPE.test(username)) {
    return 'must consist of letters, digits, dots, underscores and hyphens, and begin with a letter or digit';
  }
  if (INVISIBLE.test(username)) return 'must not contain invisible characters';
  if (mixesScripts(username)) return 'must not mix letters of several scripts';
  return RESERVED.has(foldUsername(username)) ? 'is reserved; choose another one' : null;
}
