import { readFileSync } from 'node:fs';
import type { FieldError } from '../kernel/errors.ts';
import { canonicalAddress } from './addresses.ts';
import { foldUsername } from './username-rules.ts';

export const PASSWORD_MIN = 8;
export const PASSWORD_MAX = 128;

/** The most common passwords, in lower case. */
const COMMON: ReadonlySet<string> = new Set(
  readFileSync(new URL('./common-passwords.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean),
);

const RUNS = [
  '01234567890123456789',
  '98765432109876543210',
  'abcdefghijklmnopqrstuvwxyz',
  'zyxwvutsrqponmlkjihgfedcba',
];

/**
 * The form in which a password is counted, compared and hashed: NFKC (NIST SP 800-63B, section 3.1.1.2), because keyboards differ in how they compose
 * letters.
 */
export function canonicalPassword(password: string): string {
  return password.normalize('NFKC');
}

/** A password must not be one of these. */
export type PasswordOwner = Readonly<{ email: string | null; username: string | null }>;

/**
 * What is wrong with a new password, `[]` when it is acceptable: 8 to 128 characters, no composition rules (NIST SP 800-63B, ASVS 6.2), not common,
 * and not the owner's username or address. Passwords are used as given: neither trimmed nor truncated, but in their canonical form.
 */
export function passwordErrors(password: string, confirmPassword: string, owner: PasswordOwner): readonly FieldError[] {
  const message = passwordError(password, owner);
  const isSame = canonicalPassword(password) === canonicalPassword(confirmPassword);
  return [
    ...(message === null ? [] : [{ path: '/password', message }]),
    ...(isSame ? [] : [{ path: '/confirmPassword', message: 'must be the same as the password' }]),
  ];
}

function passwordError(given: string, owner: PasswordOwner): string | null {
  if (!given.isWellFormed()) return 'must be well-formed text';
  // Bounds the cost of what follows: a character is at most two code units, and few compose to one.
  const password = given.length > 10 * PASSWORD_MAX ? given : canonicalPassword(given);
  const length = password.length > 2 * PASSWORD_MAX ? Number.POSITIVE_INFINITY : [...password].length;
  if (length < PASSWORD_MIN) return `must have at least ${PASSWORD_MIN} characters`;
  if (length > PASSWORD_MAX) return `must have at most ${PASSWORD_MAX} characters`;
  const folded = password.toLowerCase();
  if (COMMON.has(folded) || isRun(folded)) return 'is too easy to guess; choose another one';
  if (isOfOwner(password, owner)) return 'must not be your e-mail address or username';
  return null;
}

/** One or two characters repeated, or a run of the alphabet or of the digits. */
function isRun(folded: string): boolean {
  const characters = [...folded];
  return (
    characters.every((character, i) => character === characters[i % 2]) || RUNS.some((run) => run.includes(folded))
  );
}

function isOfOwner(password: string, { email, username }: PasswordOwner): boolean {
  const address = email === null ? '' : canonicalAddress(email);
  const names = [username ?? '', address, address.slice(0, Math.max(0, address.lastIndexOf('@')))].map(foldUsername);
  return names.includes(foldUsername(password));
}
