import { accountOf, isLinkGood, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { type Language, languageOf } from '../kernel/language.ts';
import type { Clock } from '../ports/clock.ts';
import type { PasswordLinks } from './links.ts';

/** The data that mails to users contain, read from the log. */
export interface MailAccounts {
  /** The user's address, names and language; `null` when there is no such account or it was erased. */
  find(userId: string): Promise<MailAccount | null>;
  /** The URL at which the user sets their password by this link; `null` when the link is no longer good. */
  passwordLink(userId: string, linkId: string): Promise<string | null>;
}

export type MailAccount = Readonly<{ email: string; username: string; firstname: string | null; language: Language }>;

export function createMailAccounts(deps: {
  commands: CommandHandler;
  clock: Clock;
  links: PasswordLinks;
  publicUrl: string;
}): MailAccounts {
  const { commands, clock, links, publicUrl } = deps;
  return {
    async find(userId) {
      const account = accountOf((await commands.load(user, userId, 'fresh')).state);
      if (account === null) return null;
      const { email, username, firstname, language } = account;
      if (email === null || username === null) return null;
      return { email, username, firstname, language: languageOf(language) };
    },
    async passwordLink(userId, linkId) {
      const { state } = await commands.load(user, userId, 'fresh');
      if (!isLinkGood(state, linkId, new Date(clock.now()).toISOString())) return null;
      return `${publicUrl}/set-password?token=${links.token({ userId, linkId })}`;
    },
  };
}
