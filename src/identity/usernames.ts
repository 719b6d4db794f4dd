import { address, username } from '../aggregates/reservation/decider.ts';
import { type Account, invalidLink } from '../aggregates/user/decider.ts';
import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { type RequestContext, stepOptions } from '../commands/request-context.ts';
import type { ReservationCommand } from '../commands/reservation.ts';
import type { CommandOf } from '../kernel/command.ts';
import { Refusal } from '../kernel/errors.ts';
import { laterThan, stepOf } from './context.ts';
import type { NameIds } from './names.ts';

/** How long a username that a person has just chosen is reserved until it is confirmed, in ms. */
const CHOSEN_MS = 60 * 60_000;

type Deps = Readonly<{ commands: CommandHandler; books: Books; names: NameIds }>;

/** The reservations of an account whose password is set by a link. */
export type Usernames = Readonly<{
  /**
   * Makes the reservations of the chosen username and of the address permanent. Throws `username-taken` when another user holds the username, and
   * `invalid-link` when another user has taken the address since its reservation expired, or when the account's names were erased.
   */
  confirm(account: Account, chosen: string, context: RequestContext): Promise<void>;
  /** Releases the usernames of earlier links, and that of this one if another was chosen. Never refused: they are reserved for a day at most. */
  releaseReplaced(account: Account, chosen: string, context: RequestContext): Promise<void>;
  /** Releases a confirmed username that the account did not get. */
  releaseUnused(account: Account, chosen: string, context: RequestContext): Promise<void>;
}>;

export function createUsernames({ commands, books, names }: Deps): Usernames {
  /** Handles a command of the stream of one name, on behalf of the account. */
  async function handle(kind: Kind, id: string, { type, data }: Step, account: Account, context: RequestContext) {
    const { commandId, ...step } = stepOf(context, `${type} ${kind} ${id} ${data.holder}`);
    const metadata = { ...step, commandId, actor: account.userId };
    // The type of the data is that of the command's type.
    const command = { type, data, metadata } as ReservationCommand;
    const handled = await commands.handle(reservations[kind], id, command, stepOptions(context));
    books.consider(handled, { aggregate: reservations[kind], id, metadata });
  }

  async function release(kind: Kind, id: string, holder: string, account: Account, context: RequestContext) {
    await handle(kind, id, { type: 'ReleaseName', data: { kind, holder } }, account, context);
  }

  /** The password was set: what cannot be released now expires by itself. */
  async function releaseIfPossible(id: string, holder: string, account: Account, context: RequestContext) {
    try {
      await release('username', id, holder, account, context);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  async function confirmUsername(account: Account, chosen: string, context: RequestContext): Promise<void> {
    const { userId: holder } = account;
    const id = names.username(chosen);
    const kind = 'username' as const;
    const isOwn = account.username !== null && names.username(account.username) === id;
    try {
      if (!isOwn) {
        // Also takes over a reservation that has expired.
        const data = { kind, holder, until: laterThan(context, CHOSEN_MS) };
        await handle(kind, id, { type: 'ReserveName', data }, account, context);
      }
      const reservedAs = isOwn && account.status === 'pending' ? account.usernameHolder : holder;
      await handle(kind, id, { type: 'ConfirmName', data: { kind, holder, reservedAs } }, account, context);
    } catch (error) {
      if (isHeldByAnother(error)) throw usernameTaken();
      throw error;
    }
  }

  return {
    async confirm(account, chosen, context) {
      if (account.username === null || account.email === null) throw invalidLink();
      const { userId: holder } = account;
      await confirmUsername(account, chosen, context);
      const kind = 'address' as const;
      try {
        const data = { kind, holder, reservedAs: holder };
        await handle(kind, names.address(account.email), { type: 'ConfirmName', data }, account, context);
      } catch (error) {
        if (!isHeldByAnother(error)) throw error;
        // This account can never be used, so its username must not stay reserved.
        await release('username', names.username(chosen), holder, account, context);
        throw invalidLink();
      }
    },

    async releaseReplaced(account, chosen, context) {
      if (account.status !== 'pending') return;
      const { userId, usernameHolder, replaced } = account;
      const earlier = [...replaced, { username: account.username, holder: usernameHolder }];
      const kept = names.username(chosen);
      for (const { username: name, holder } of earlier) {
        if (name === null || names.username(name) === kept) continue;
        // An attempt to set the password that failed half-way has confirmed it under the account's own id.
        for (const each of new Set([holder, userId])) {
          await releaseIfPossible(names.username(name), each, account, context);
        }
      }
    },

    async releaseUnused(account, chosen, context) {
      const id = names.username(chosen);
      const isUsed = account.username !== null && names.username(account.username) === id;
      if (!isUsed) await release('username', id, account.userId, account, context);
    },
  };
}

type Kind = ReservationCommand['data']['kind'];
/** A command without its metadata. */
type Step = {
  [Type in ReservationCommand['type']]: Readonly<{ type: Type; data: CommandOf<ReservationCommand, Type>['data'] }>;
}[ReservationCommand['type']];

const reservations = { username, address };

export function usernameTaken(): Refusal {
  const errors = [{ path: '/username', message: 'is taken' }];
  return new Refusal('username-taken', 'this username is taken; choose another', { errors });
}

function isHeldByAnother(error: unknown): boolean {
  return error instanceof Refusal && error.code === 'already-exists';
}
