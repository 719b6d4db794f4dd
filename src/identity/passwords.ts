import { address, username } from '../aggregates/reservation/decider.ts';
import { type Account, accountOf, invalidLink, isLinkGood, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext, stepOptions } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { positionOf, stepOf } from './context.ts';
import type { Identity, NewPassword } from './identity.ts';
import type { PasswordLink, PasswordLinks } from './links.ts';
import type { LiveSessions } from './live-sessions.ts';
import type { NameIds } from './names.ts';
import type { PasswordHasher } from './password-hasher.ts';
import { passwordErrors } from './password-rules.ts';

type Deps = Readonly<{
  commands: CommandHandler;
  clock: Clock;
  names: NameIds;
  links: PasswordLinks;
  hasher: PasswordHasher;
  liveSessions: LiveSessions;
}>;

/** Sets passwords by mailed links. */
export function createPasswords(
  deps: Deps,
): Pick<Identity, 'checkPasswordLink' | 'userOfPasswordLink' | 'setPassword'> {
  const { commands, clock, links, hasher, liveSessions } = deps;

  function read(token: string): PasswordLink {
    const link = links.read(token);
    if (link === null) throw invalidLink();
    return link;
  }

  /** The account that a link was issued to. The link itself may no longer be good. */
  async function ownerOf({ userId }: PasswordLink): Promise<Account> {
    const account = accountOf((await commands.load(user, userId, 'fresh')).state);
    if (account === null) throw invalidLink();
    return account;
  }

  return {
    async checkPasswordLink(token) {
      const link = read(token);
      const account = await ownerOf(link);
      if (!isLinkGood(account, link.linkId, new Date(clock.now()).toISOString())) throw invalidLink();
    },

    userOfPasswordLink: (token) => links.read(token)?.userId ?? null,

    async setPassword({ token, password, confirmPassword }: NewPassword, context: RequestContext) {
      const link = read(token);
      const { userId, linkId } = link;
      if (context.earlier !== undefined) return { userId, position: positionOf(context.earlier) };
      const account = await ownerOf(link);
      // A repeated request may have used the link itself; the command handler then finds the earlier outcome.
      if (context.handledSince === undefined && !isLinkGood(account, linkId, context.metadata.at)) throw invalidLink();

      const errors = passwordErrors(password, confirmPassword, account);
      if (errors.length > 0) throw new Refusal('out-of-range', 'this password cannot be used', { errors });

      const passwordHash = await hasher.hash(password);
      await confirmNames(deps, account, context);
      const metadata = { ...context.metadata, actor: userId };
      const data = { userId, linkId, passwordHash };
      const handled = await commands.handle(
        user,
        userId,
        { type: 'SetPassword', data, metadata },
        mainOptions(context),
      );
      liveSessions.forget(userId);
      return { userId, position: positionOf(handled) };
    },
  };
}

/**
 * Makes the reservations of username and address permanent. Throws `invalid-link` when another user has taken one of them since the reservation
 * expired, and when the account's names were erased.
 */
async function confirmNames({ commands, names }: Deps, account: Account, context: RequestContext): Promise<void> {
  if (account.username === null || account.email === null) throw invalidLink();
  const holder = account.userId;
  const metadata = (step: string) => ({ ...stepOf(context, step), actor: holder });
  const options = stepOptions(context);
  const usernameId = names.username(account.username);
  try {
    const data = { kind: 'username' as const, holder };
    const confirm = { type: 'ConfirmName' as const, data, metadata: metadata('confirm username') };
    await commands.handle(username, usernameId, confirm, options);
    try {
      const data = { kind: 'address' as const, holder };
      const confirm = { type: 'ConfirmName' as const, data, metadata: metadata('confirm address') };
      await commands.handle(address, names.address(account.email), confirm, options);
    } catch (error) {
      // This account can never be used, so its username must not stay reserved.
      if (isHeldByAnother(error)) {
        const release = { type: 'ReleaseName' as const, data, metadata: metadata('give up username') };
        await commands.handle(username, usernameId, release, options);
      }
      throw error;
    }
  } catch (error) {
    if (isHeldByAnother(error)) throw invalidLink();
    throw error;
  }
}

function isHeldByAnother(error: unknown): boolean {
  return error instanceof Refusal && error.code === 'already-exists';
}
