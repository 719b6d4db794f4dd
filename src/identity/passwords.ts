import { address, username } from '../aggregates/reservation/decider.ts';
import { isLinkGood, type UserState, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { RequestContext } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { mainOptions, positionOf, stepOf } from './context.ts';
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

type Account = Exclude<UserState, { status: 'none' }>;

/** Setting the password by a mailed link. */
export function createPasswords(
  deps: Deps,
): Pick<Identity, 'checkPasswordLink' | 'userOfPasswordLink' | 'setPassword'> {
  const { commands, clock, links, hasher, liveSessions } = deps;

  function read(token: string): PasswordLink {
    const link = links.read(token);
    if (link === null) throw invalidLink();
    return link;
  }

  /** The account behind a link, for which the link may no longer be good. */
  async function accountOf({ userId }: PasswordLink): Promise<Account> {
    const { state } = await commands.look(user, userId, 'fresh');
    if (state.status === 'none') throw invalidLink();
    return state;
  }

  return {
    async checkPasswordLink(token) {
      const link = read(token);
      const account = await accountOf(link);
      if (!isLinkGood(account, link.linkId, new Date(clock.now()).toISOString())) throw invalidLink();
    },

    userOfPasswordLink: (token) => links.read(token)?.userId ?? null,

    async setPassword({ token, password, confirmPassword }: NewPassword, context: RequestContext) {
      const link = read(token);
      const { userId, linkId } = link;
      const account = await accountOf(link);
      // A repetition may find the link used by itself; the command handler then finds its earlier outcome.
      if (context.handledSince === undefined && !isLinkGood(account, linkId, context.metadata.at)) throw invalidLink();

      const errors = passwordErrors(password, confirmPassword, account);
      if (errors.length > 0) throw new Refusal('out-of-range', 'this password will not do', { errors });

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

/** Keeps username and address for good; `invalid-link` when somebody else got one of them since the registration ran out. */
async function confirmNames({ commands, names }: Deps, account: Account, context: RequestContext): Promise<void> {
  const holder = account.userId;
  const metadata = (step: string) => ({ ...stepOf(context, step), actor: holder });
  const usernameId = names.username(account.username);
  try {
    const own = { kind: 'username' as const, holder };
    await commands.handle(username, usernameId, {
      type: 'ConfirmName',
      data: own,
      metadata: metadata('confirm username'),
    });
    try {
      const data = { kind: 'address' as const, holder };
      const command = { type: 'ConfirmName' as const, data, metadata: metadata('confirm address') };
      await commands.handle(address, names.address(account.email), command);
    } catch (error) {
      // This account will never be used, so its username must not stay held for good.
      if (isTaken(error)) {
        await commands.handle(username, usernameId, {
          type: 'ReleaseName',
          data: own,
          metadata: metadata('give up username'),
        });
      }
      throw error;
    }
  } catch (error) {
    if (isTaken(error)) throw invalidLink();
    throw error;
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof Refusal && error.code === 'already-exists';
}

function invalidLink(): Refusal {
  return new Refusal('invalid-link', 'this link is wrong, was used or replaced, or has expired');
}
