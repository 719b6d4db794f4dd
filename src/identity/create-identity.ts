import type { CommandHandler } from '../commands/command-handler.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/keys.ts';
import { createAccessTokens } from './access-tokens.ts';
import type { Identity } from './identity.ts';
import { createPasswordLinks } from './links.ts';
import { LiveSessions } from './live-sessions.ts';
import { createMailAccounts } from './mail-accounts.ts';
import { MailAllowance, type MailLimits } from './mail-allowance.ts';
import { createNameIds } from './names.ts';
import { PasswordHasher } from './password-hasher.ts';
import { createPasswords } from './passwords.ts';
import { createRefreshTokens } from './refresh-tokens.ts';
import { createRegistration } from './registration.ts';
import type { Secrets } from './secrets.ts';
import { createSessions } from './sessions.ts';
import { SignInThrottle } from './sign-in-throttle.ts';

export type IdentityDeps = Readonly<{
  commands: CommandHandler;
  keys: KeyStore;
  clock: Clock;
  secrets: Secrets;
  /** Where users reach this installation, without a slash at the end; also the issuer of the tokens. */
  publicUrl: string;
  limits: IdentityLimits | 'off';
}>;

export type IdentityLimits = Readonly<{
  /** Failed sign-ins of one account from one network until they are slowed down. */
  signInFailures: number;
  mails: MailLimits;
}>;

/** Makes this node's identity; the first node of all makes the signing key. */
export async function createIdentity(deps: IdentityDeps): Promise<Identity> {
  const { commands, clock, secrets, publicUrl, limits } = deps;
  const monotonic = () => clock.monotonic();
  const names = createNameIds(secrets.names);
  const links = createPasswordLinks(secrets.links);
  const hasher = new PasswordHasher();
  const allowance = new MailAllowance(limits === 'off' ? 'off' : limits.mails, monotonic);
  const accessTokens = await createAccessTokens({ keys: deps.keys, clock, issuer: publicUrl });
  const liveSessions = new LiveSessions({ commands, clock });
  const sessions = createSessions({
    commands,
    names,
    hasher,
    accessTokens,
    refreshTokens: createRefreshTokens(secrets.refresh),
    liveSessions,
    throttle: limits === 'off' ? null : new SignInThrottle(secrets.names, monotonic, limits.signInFailures),
  });
  return {
    register: createRegistration({ commands, names, allowance }),
    ...createPasswords({ commands, clock, names, links, hasher, liveSessions }),
    ...sessions,
    jwks: () => accessTokens.jwks(),
    mailAccounts: createMailAccounts({ commands, clock, links, publicUrl }),
  };
}
