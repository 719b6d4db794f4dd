import { isLinkGood, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { Clock } from '../ports/clock.ts';
import type { PasswordLinks } from './links.ts';

/** What mails to users are made from. */
export interface MailAccounts {
  /** Who a user is, by the log; `null` when there is no such account. */
  find(userId: string): Promise<MailAccount | null>;
  /** The address to follow to set the password by this link, `null` when the link is not good any more. */
  passwordLink(userId: string, linkId: string): Promise<string | null>;
}

export type MailAccount = Readonly<{ email: string; username: string; firstname: string | null }>;

export function createMailAccounts(deps: {
  commands: CommandHandler;
  clock: Clock;
  links: PasswordLinks;
  publicUrl: string;
}): MailAccounts {
  const { commands, clock, links, publicUrl } = deps;
  return {
    async find(userId) {
      const { state } = await commands.look(user, userId, 'fresh');
      if (state.status === 'none') return null;
      const { email, username, firstname } = state;
      return { email, username, firstname };
    },
    async passwordLink(userId, linkId) {
      const { state } = await commands.look(user, userId, 'fresh');
      if (!isLinkGood(state, linkId, new Date(clock.now()).toISOString())) return null;
      return `${publicUrl}/set-password?token=${links.token({ userId, linkId })}`;
    },
  };
}
