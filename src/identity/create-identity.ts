import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/keys.ts';
import type { SharedLimits } from '../ports/limit-store.ts';
import type { Random } from '../ports/random.ts';
import { createAccessTokens } from './access-tokens.ts';
import { createErasures } from './erasures.ts';
import type { Identity } from './identity.ts';
import { withOutsideIssuers } from './issuers/outside-authentication.ts';
import type { OutsideTokens } from './issuers/outside-tokens.ts';
import { OutsideUsers } from './issuers/outside-users.ts';
import { createPasswordLinks } from './links.ts';
import { LiveSessions } from './live-sessions.ts';
import { createMailAccounts } from './mail-accounts.ts';
import { MailAllowance, type MailLimits } from './mail-allowance.ts';
import { createNameIds } from './names.ts';
import { PasswordHasher } from './password-hasher.ts';
import { createPasswords } from './passwords.ts';
import { createRequireOwner } from './reauthentication.ts';
import { createRefreshTokens } from './refresh-tokens.ts';
import { createRegistration } from './registration.ts';
import type { Secrets } from './secrets.ts';
import { createSessions } from './sessions.ts';
import { SignInThrottle } from './sign-in-throttle.ts';

export type IdentityDeps = Readonly<{
  commands: CommandHandler;
  books: Books;
  keys: KeyStore;
  personalKeys: { destroy(personId: string): Promise<void> };
  /** Calls back for each person whose erasure this node reads in the log. */
  onErased: (listener: (personId: string) => void) => void;
  /** The counts of what guards accounts. */
  sharedLimits: SharedLimits;
  clock: Clock;
  random: Random;
  logger: Logger;
  secrets: Secrets;
  /** URL of this installation for users, without a trailing slash; also the issuer of the tokens. */
  publicUrl: string;
  limits: IdentityLimits | 'off';
  /** `null`: only tokens of this installation are accepted. */
  outsideTokens: OutsideTokens | null;
}>;

export type IdentityLimits = Readonly<{
  /** Failed sign-ins of one account from one network without a delay. */
  signInFailures: number;
  mails: MailLimits;
}>;

/** Creates the identity of this node, and the signing key if there is none yet. */
export async function createIdentity(deps: IdentityDeps): Promise<Identity> {
  const { commands, books, keys, clock, random, secrets, publicUrl, sharedLimits, limits, outsideTokens } = deps;
  const names = createNameIds(secrets.names);
  const links = createPasswordLinks(secrets.links);
  const hasher = new PasswordHasher(random);
  const allowance = new MailAllowance(sharedLimits, limits === 'off' ? 'off' : limits.mails);
  const accessTokens = await createAccessTokens({ keys, clock, issuer: publicUrl });
  const liveSessions = new LiveSessions({ commands, clock });
  // An erased person's sessions are not taken from the cache any more as soon as this node has read the erasure.
  deps.onErased((personId) => liveSessions.forget(personId));
  const throttle = limits === 'off' ? null : new SignInThrottle(sharedLimits, secrets.names, limits.signInFailures);
  const sessions = createSessions({
    commands,
    books,
    names,
    hasher,
    accessTokens,
    refreshTokens: createRefreshTokens(secrets.refresh),
    liveSessions,
    throttle,
  });
  const users = new OutsideUsers({ commands, books, names, clock, random, secret: secrets.subjects });
  const authentication =
    outsideTokens === null
      ? sessions
      : withOutsideIssuers({ own: sessions, tokens: outsideTokens, users, liveSessions });
  return {
    register: createRegistration({ commands, books, keys, random, names, allowance }),
    ...createPasswords({ commands, books, clock, names, links, hasher, liveSessions }),
    ...sessions,
    ...authentication,
    jwks: () => accessTokens.recentJwks(),
    signingKeys: accessTokens.keys,
    ...createErasures({
      ...deps,
      names,
      liveSessions,
      requireOwner: createRequireOwner({ hasher, throttle }),
    }),
    mailAccounts: createMailAccounts({ commands, clock, links, publicUrl }),
  };
}
