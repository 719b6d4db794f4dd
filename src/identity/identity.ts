import type { JSONWebKeySet } from 'jose';
import type { RequestContext } from '../commands/request-context.ts';
import type { Language } from '../kernel/language.ts';
import type { Position } from '../kernel/position.ts';
import type { SigningKeyService } from './access-tokens.ts';
import type { Erasures } from './erasure-steps.ts';
import type { Purpose } from './live-sessions.ts';
import type { MailAccounts } from './mail-accounts.ts';
import type { OwnProfile } from './profile.ts';

/**
 * Accounts as routes and sockets use them: registration, passwords, sessions and their tokens.
 * Each method throws a `Refusal`. In addition to the codes documented for each, every method may throw `unavailable`, and those that take a
 * context `outcome-unknown`.
 */
export interface Identity {
  /**
   * Opens an account and has a link mailed to set its password. The names belong to that link: the address may already have a pending account, whose
   * names they replace. An address with an active account gets the same response, and its owner is notified by mail. The new id is `context.ids.objectId('user')`, the stream `user-<id>`.
   * Throws `username-taken`, and `out-of-range` for an invalid address or name.
   */
  register(input: Registration, context: RequestContext): Promise<Accepted>;

  /** Resolves if the token of a mailed link is good. Throws `invalid-link` if it is wrong, used, replaced or expired. */
  checkPasswordLink(token: string): Promise<void>;

  /**
   * The names that the account gets when its first password is set by this link; `null` when it has a password already. Throws `invalid-link` like
   * `checkPasswordLink`.
   */
  namesOfPasswordLink(token: string): Promise<ProfileNames | null>;

  /** The user for whom the token of a mailed link was made, `null` for a token that is not ours. The link may no longer be good. */
  userOfPasswordLink(token: string): string | null;

  /**
   * Sets the password by a mailed link, which verifies the address and activates the account under the names of the link, or under those given here.
   * The same password by the same link again succeeds for a few minutes and changes nothing. Throws `invalid-link`, `username-taken`, and
   * `out-of-range` with the path of the field for an unacceptable password or name.
   */
  setPassword(input: NewPassword, context: RequestContext): Promise<Accepted>;

  /**
   * Starts a session with the id `context.ids.uuid('session', …)`. Throws `unauthenticated` with the same text for all causes, and
   * `too-many-requests` (`retryAfterMs`) after repeated failures of this account from this network, or from all networks together.
   */
  signIn(credentials: Credentials, context: RequestContext): Promise<SignedIn>;

  /**
   * Issues the next tokens of a session. For 60 s after that, the token before gets the current one, any number of times; after that, and for an older
   * token at any time, the session is ended. Throws `unauthenticated`.
   */
  refresh(refreshToken: string, context: RequestContext): Promise<SignedIn>;

  /**
   * The account of a signed-in user, as the log has it at the time of the call: no read model is involved, so that it is never lagging.
   * Throws `unauthenticated` once the person was erased.
   */
  profile(userId: string): Promise<CurrentProfile>;

  /** Ends the session that the access token belongs to. Throws `not-found` for a token of an outside issuer: its sessions end there. */
  signOut(principal: Principal, context: RequestContext): Promise<Accepted>;

  /**
   * The user of an access token, and its session if it is ours. A valid token of an accepted outside issuer opens an account for an unknown person.
   * Throws `unauthenticated` for a token that is neither ours nor theirs, is of another type, has expired, or belongs to an account that was erased or
   * a session that has ended: at once when it was ended on this node, within five seconds when on another. Throws `unavailable` when the log could
   * not be read for that long, and when the keys of the issuer cannot be read. For a query, a session that was live when the log was last read remains valid while the log is away.
   * A token that was verified before costs one cache access.
   */
  authenticate(accessToken: string, purpose: Purpose): Promise<Principal>;

  /**
   * Whether `authenticate` found before, on this node, that this installation, or the issuer, signed the token, which may have expired since. Authenticating it again
   * does not verify its signature.
   */
  isGenuine(accessToken: string): boolean;

  /**
   * Erases the account for good, once the current password or a session that has just started shows that its owner wants it. It is of no use from the
   * first event on, and all of its sessions have ended; what is interrupted after that is completed by a reaction, which also hands over the person's
   * groups. Throws `forbidden`, and `too-many-requests` (`retryAfterMs`) after repeated wrong passwords.
   */
  erase(principal: Principal, proof: Reauthentication, context: RequestContext): Promise<Accepted>;

  /** The steps of erasures that were requested. */
  readonly erasures: Erasures;

  /** The public keys that verify access tokens (RFC 7517). */
  jwks(): Promise<JSONWebKeySet>;

  /** The keys that sign access tokens, for operators. */
  readonly signingKeys: SigningKeyService;

  /** The data of mails to users. */
  readonly mailAccounts: MailAccounts;
}

/** The user of a verified access token. */
export type Principal = Readonly<{
  userId: string;
  /** The session that the token belongs to; `null` for a token of an outside issuer. */
  sessionId: string | null;
  /** The roles of the account, at most five seconds old. */
  roles: readonly string[];
  /** When the person signed in, ms since the epoch; `null` when an outside issuer does not say it. */
  signedInAt: number | null;
  /** When the token expires, ms since the epoch. */
  expiresAt: number;
}>;

/** The names of an account. */
export type ProfileNames = Readonly<{ username: string; firstname: string | null; lastname: string | null }>;

/** `language`: of mails to the address. */
export type Registration = Readonly<{ email: string; language: Language }> & ProfileNames;

/** A name that is left out stays as the link's registration gave it. */
export type NewPassword = Readonly<{ token: string; password: string; confirmPassword: string }> &
  Partial<ProfileNames>;

export type Credentials = Readonly<{
  email: string;
  password: string;
  userAgent: string | null;
  /** The client's network address, used for limits only. */
  address: string;
}>;

/** `currentPassword`: `null` when the session is to be fresh instead. `address`: the client's network address, used for limits only. */
export type Reauthentication = Readonly<{ currentPassword: string | null; address: string }>;

/** Content of a 202 response: the user, and the position of the outcome in the log. */
export type Accepted = Readonly<{ userId: string; position: Position }>;

/** What users see of themselves, and the revision of the account. */
export type CurrentProfile = Readonly<{ profile: OwnProfile; revision: number }>;

/** The response to a sign-in or a refresh. `position`: of its outcome in the log. */
export type SignedIn = Readonly<{
  accessToken: string;
  refreshToken: string;
  tokenType: 'Bearer';
  /** Lifetime of the access token, in seconds. */
  expiresIn: number;
  user: OwnProfile;
  position: Position;
}>;
