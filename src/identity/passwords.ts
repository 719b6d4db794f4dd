import {
  type Account,
  type ActiveAccount,
  accountOf,
  activeAccountOf,
  invalidLink,
  isLinkGood,
  user,
} from '../aggregates/user/decider.ts';
import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { canonicalNames, nameErrors } from './canonical.ts';
import { positionOf } from './context.ts';
import type { Accepted, Identity, NewPassword, ProfileNames } from './identity.ts';
import type { PasswordLink, PasswordLinks } from './links.ts';
import type { LiveSessions } from './live-sessions.ts';
import type { NameIds } from './names.ts';
import type { PasswordHasher } from './password-hasher.ts';
import { passwordErrors } from './password-rules.ts';
import { createUsernames } from './usernames.ts';

/** For how long after a link was used the same request succeeds again, in ms: a double click is not a failure. */
const REPEATABLE_MS = 5 * 60_000;

type Deps = Readonly<{
  commands: CommandHandler;
  books: Books;
  clock: Clock;
  names: NameIds;
  links: PasswordLinks;
  hasher: PasswordHasher;
  liveSessions: LiveSessions;
}>;

/** Sets passwords by mailed links. */
export function createPasswords(
  deps: Deps,
): Pick<Identity, 'checkPasswordLink' | 'namesOfPasswordLink' | 'userOfPasswordLink' | 'setPassword'> {
  const { commands, clock, links, hasher, liveSessions } = deps;
  const usernames = createUsernames(deps);

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

  async function ownerOfGood(token: string): Promise<Account> {
    const link = read(token);
    const account = await ownerOf(link);
    if (!isLinkGood(account, link.linkId, new Date(clock.now()).toISOString())) throw invalidLink();
    return account;
  }

  /** The outcome of an equal request a short while ago. Throws `invalid-link` when there was none. */
  async function repeated({ userId, linkId }: PasswordLink, password: string, context: RequestContext) {
    const loaded = await commands.load(user, userId, 'fresh');
    const account = activeAccountOf(loaded.state);
    if (account === null || !wasUsedLately(account, linkId, context.metadata.at)) throw invalidLink();
    if (!(await hasher.verify(account.passwordHash, password))) throw invalidLink();
    // Its key, if it has one, is claimed like that of any request that succeeds.
    await context.claim?.begin();
    return { userId, position: positionOf(loaded) };
  }

  /** Sets the password of an account whose names are confirmed. Throws `invalid-link` when the link was used or replaced meanwhile. */
  async function handle(data: SetPasswordData, context: RequestContext): Promise<Accepted> {
    const { userId } = data;
    const metadata = { ...context.metadata, actor: userId };
    const command = { type: 'SetPassword' as const, data, metadata };
    const handled = await commands.handle(user, userId, command, mainOptions(context));
    liveSessions.forget(userId);
    return { userId, position: positionOf(handled) };
  }

  return {
    async checkPasswordLink(token) {
      await ownerOfGood(token);
    },

    async namesOfPasswordLink(token) {
      const account = await ownerOfGood(token);
      if (account.status === 'active' || account.username === null) return null;
      const { username, firstname, lastname } = account;
      return { username, firstname, lastname };
    },

    userOfPasswordLink: (token) => links.read(token)?.userId ?? null,

    async setPassword(input: NewPassword, context: RequestContext) {
      const { password, confirmPassword } = input;
      const link = read(input.token);
      const { userId, linkId } = link;
      if (context.earlier !== undefined) return { userId, position: positionOf(context.earlier) };
      const account = await ownerOf(link);
      // A repeated request may have used the link itself; the command handler then finds the earlier outcome.
      if (context.handledSince === undefined && !isLinkGood(account, linkId, context.metadata.at)) {
        return repeated(link, password, context);
      }
      const names = namesFor(account, input);
      const owner = { email: account.email, username: names.username };
      const errors = [...nameErrors(input), ...passwordErrors(password, confirmPassword, owner)];
      if (errors.length > 0) throw new Refusal('out-of-range', 'this password or name cannot be used', { errors });

      const passwordHash = await hasher.hash(password);
      await usernames.confirm(account, names.username, context);
      let accepted: Accepted;
      try {
        accepted = await handle({ userId, linkId, passwordHash, ...names }, context);
      } catch (error) {
        if (!(error instanceof Refusal) || error.code !== 'invalid-link') throw error;
        // Another request has used the link, or a newer one was issued, since it was found good.
        await usernames.releaseUnused(await ownerOf(link), names.username, context);
        return repeated(link, password, context);
      }
      await usernames.releaseReplaced(account, names.username, context);
      return accepted;
    },
  };
}

type SetPasswordData = Readonly<{ userId: string; linkId: string; passwordHash: string }> & ProfileNames;

/** The names that the account gets: those of the link's registration, unless the request changes them. An active account keeps its names. */
function namesFor(account: Account, { username, firstname, lastname }: NewPassword): ProfileNames {
  if (account.username === null) throw invalidLink();
  const own = { username: account.username, firstname: account.firstname, lastname: account.lastname };
  if (account.status === 'active') return own;
  return canonicalNames({
    username: username ?? own.username,
    firstname: firstname === undefined ? own.firstname : firstname,
    lastname: lastname === undefined ? own.lastname : lastname,
  });
}

function wasUsedLately({ usedLinkId, passwordSetAt }: ActiveAccount, linkId: string, at: string): boolean {
  return usedLinkId === linkId && Date.parse(at) - Date.parse(passwordSetAt) < REPEATABLE_MS;
}
