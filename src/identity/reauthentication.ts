import type { ActiveAccount } from '../aggregates/user/decider.ts';
import { Refusal } from '../kernel/errors.ts';
import type { PasswordHasher } from './password-hasher.ts';
import type { SignInThrottle } from './sign-in-throttle.ts';

/** How long after a sign-in its session may do what needs the password otherwise, in ms. */
export const FRESH_SIGN_IN_MS = 10 * 60_000;

/** What shows that the owner of the account sent a request, and not only somebody with an access token. */
export type OwnerProof = Readonly<{
  /** When the person signed in, ms since the epoch; `null` when that is not known. */
  signedInAt: number | null;
  /** `null`: the sign-in has to be fresh. */
  currentPassword: string | null;
  /** The client's network address, used for limits only. */
  address: string;
  /** The time of the request, as in its metadata. */
  at: string;
}>;

/**
 * Resolves when the password is right, or, where none is given, when the person has signed in a short time ago. Throws `forbidden` otherwise, and
 * `too-many-requests` (`retryAfterMs`) after repeated failures: guesses count together with those of sign-ins.
 */
export type RequireOwner = (account: ActiveAccount, proof: OwnerProof) => Promise<void>;

export function createRequireOwner(deps: {
  hasher: PasswordHasher;
  /** `null`: no delays after failures. */
  throttle: SignInThrottle | null;
}): RequireOwner {
  const { hasher, throttle } = deps;

  async function requirePassword(account: ActiveAccount, password: string, address: string): Promise<void> {
    const attempt = await throttle?.begin(account.email ?? '', address);
    if (typeof attempt === 'number') {
      const text = 'too many wrong passwords; wait a moment';
      throw new Refusal('too-many-requests', text, { retryAfterMs: attempt });
    }
    let matches: boolean;
    try {
      matches = await hasher.verify(account.passwordHash, password);
    } catch (error) {
      if (attempt !== undefined) await throttle?.forgive(attempt);
      throw error;
    }
    if (!matches) {
      const errors = [{ path: '/currentPassword', message: 'is wrong' }];
      throw new Refusal('forbidden', 'the current password is wrong', { errors });
    }
    if (attempt !== undefined) await throttle?.succeeded(attempt);
  }

  return async (account, { signedInAt, currentPassword, address, at }) => {
    if (currentPassword !== null) return requirePassword(account, currentPassword, address);
    if (signedInAt !== null && Date.parse(at) - signedInAt < FRESH_SIGN_IN_MS) return;
    const errors = [{ path: '/currentPassword', message: 'is required, unless you have just signed in' }];
    throw new Refusal('forbidden', 'the current password is required, or a new sign-in', { errors });
  };
}
