import { readFileSync } from 'node:fs';
import type { FieldError } from '../kernel/errors.ts';
import { foldEmail, foldUsername } from './names.ts';

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

/** A password must not be one of these. */
export type PasswordOwner = Readonly<{ email: string | null; username: string | null }>;

/**
 * What is wrong with a new password, `[]` when it is acceptable: 8 to 128 characters, no composition rules (NIST SP 800-63B, ASVS 6.2), not common,
 * and not the owner's username or address. Passwords are used exactly as given: not trimmed, truncated or normalised.
 */
export function passwordErrors(password: string, confirmPassword: string, owner: PasswordOwner): readonly FieldError[] {
  const message = passwordError(password, owner);
  return [
    ...(message === null ? [] : [{ path: '/password', message }]),
    ...(password === confirmPassword
      ? []
      : [{ path: '/confirmPassword', message: 'must be the same as the password' }]),
  ];
}

function passwordError(password: string, owner: PasswordOwner): string | null {
  if (!password.isWellFormed()) return 'must be well-formed text';
  // Bounds the cost of counting characters: a character is at most two code units.
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
  const names = [
    ...(username === null ? [] : [foldUsername(username)]),
    ...(email === null ? [] : [foldEmail(email), foldEmail(email).slice(0, foldEmail(email).lastIndexOf('@'))]),
  ];
  return names.includes(foldUsername(password));
}
