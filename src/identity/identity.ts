import type { JSONWebKeySet } from 'jose';
import type { RequestContext } from '../commands/request-context.ts';
import type { Position } from '../kernel/position.ts';
import type { Purpose } from './live-sessions.ts';
import type { MailAccounts } from './mail-accounts.ts';
import type { OwnUser } from './user-shape.ts';

/**
 * Accounts from the outside: signing up, passwords, sessions and the tokens that prove them.
 * Each method throws a `Refusal`; beside the codes named at each, any may throw `unavailable` or `outcome-unknown`.
 */
export interface Identity {
  /**
   * Opens an account and has a link mailed to set its password. An address that has an account already gets the same answer, and its
   * owner is told by mail. The new id is `context.ids.objectId('user')`, the stream `user-<id>`.
   * Throws `username-taken`, and `out-of-range` for an address or name that cannot be.
   */
  register(input: Registration, context: RequestContext): Promise<Accepted>;

  /** Resolves while the token of a mailed link is good; throws `invalid-link` for one that is wrong, used, replaced or expired. */
  checkPasswordLink(token: string): Promise<void>;

  /** The user that the token of a mailed link was made for, `null` for one that is not ours. Says nothing of whether it is still good. */
  userOfPasswordLink(token: string): string | null;

  /**
   * Sets the password by a mailed link, which verifies the address and activates the account.
   * Throws `invalid-link`, and `out-of-range` with the path of the field for a password that will not do.
   */
  setPassword(input: NewPassword, context: RequestContext): Promise<Accepted>;

  /**
   * Starts a session, whose id is `context.ids.uuid('session', …)`. Throws `unauthenticated` with the same words whatever was wrong,
   * and `too-many-requests` (`retryAfterMs`) after repeated failures for this account from this network, or for it at all.
   */
  signIn(credentials: Credentials, context: RequestContext): Promise<SignedIn>;

  /**
   * The next tokens of a session. The token before the current is forgiven once and gets the current one; an older one ends the session.
   * Throws `unauthenticated`.
   */
  refresh(refreshToken: string, context: RequestContext): Promise<SignedIn>;

  /** Ends the session that the access token belongs to. */
  signOut(principal: Principal, context: RequestContext): Promise<Accepted>;

  /**
   * Who an access token speaks for. Throws `unauthenticated` for one that is not ours, not meant for this, expired, or of a session that is over: at
   * once when it was ended on this node, within five seconds when on another; `unavailable` when the log could not be asked for as long.
   * For a query, a session that this node last knew to be live stays good while the log is away. A token seen before costs a look into a cache.
   */
  authenticate(accessToken: string, purpose: Purpose): Promise<Principal>;

  /** The public keys that verify access tokens (RFC 7517). */
  jwks(): JSONWebKeySet;

  /** What mails to users are made from. */
  readonly mailAccounts: MailAccounts;
}

/** Who a verified access token speaks for. */
export type Principal = Readonly<{
  userId: string;
  sessionId: string;
  /** When the token runs out, ms since the epoch. */
  expiresAt: number;
}>;

export type Registration = Readonly<{
  email: string;
  username: string;
  firstname: string | null;
  lastname: string | null;
}>;

export type NewPassword = Readonly<{ token: string; password: string; confirmPassword: string }>;

export type Credentials = Readonly<{
  email: string;
  password: string;
  userAgent: string | null;
  /** The client's network address, for limiting only. */
  address: string;
}>;

/** What a 202 tells: the user it is about, and where in the log that stands. */
export type Accepted = Readonly<{ userId: string; position: Position }>;

/** The answer to a sign-in or a refresh. */
export type SignedIn = Readonly<{
  accessToken: string;
  refreshToken: string;
  tokenType: 'Bearer';
  /** Life of the access token in seconds. */
  expiresIn: number;
  user: OwnUser;
}>;
