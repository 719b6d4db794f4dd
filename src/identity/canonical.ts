import { PERSON_NAME_MAX } from '../commands/user.ts';
import { type FieldError, Refusal } from '../kernel/errors.ts';
import { nameError } from '../kernel/visible-text.ts';
import { addressError, canonicalAddress } from './addresses.ts';
import type { ProfileNames, Registration } from './identity.ts';
import { canonicalUsername, usernameError } from './username-rules.ts';

/** The canonical form of each input. Throws `out-of-range` with the path and reason of every field that is not accepted. */
export function canonicalRegistration({ email, language, ...names }: Registration): Registration {
  requireNone([...errorAt('/email', addressError(email)), ...nameErrors(names)]);
  return { email: canonicalAddress(email), language, ...canonicalNames(names) };
}

/** Names as they are stored: composed (NFC), first and last names without blanks around them. */
export function canonicalNames({ username, firstname, lastname }: ProfileNames): ProfileNames {
  return {
    username: canonicalUsername(username),
    firstname: firstname === null ? null : canonicalPersonName(firstname),
    lastname: lastname === null ? null : canonicalPersonName(lastname),
  };
}

const canonicalPersonName = (name: string): string => name.normalize('NFC').trim();

/** What is wrong with the names that are given. */
export function nameErrors({ username, firstname, lastname }: Partial<ProfileNames>): readonly FieldError[] {
  return [
    ...(username === undefined ? [] : errorAt('/username', usernameError(username))),
    ...(firstname == null ? [] : errorAt('/firstname', personNameError(firstname))),
    ...(lastname == null ? [] : errorAt('/lastname', personNameError(lastname))),
  ];
}

function personNameError(name: string): string | null {
  const isLong = name.length > 10 * PERSON_NAME_MAX || [...canonicalPersonName(name)].length > PERSON_NAME_MAX;
  return isLong ? `must have at most ${PERSON_NAME_MAX} characters` : nameError(name);
}

const errorAt = (path: string, message: string | null): FieldError[] => (message === null ? [] : [{ path, message }]);

function requireNone(errors: readonly FieldError[]): void {
  const [first] = errors;
  if (first !== undefined) throw new Refusal('out-of-range', `${first.path.slice(1)} ${first.message}`, { errors });
}
