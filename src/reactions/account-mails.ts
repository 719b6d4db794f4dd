import type { UserEvent } from '../aggregates/user/events.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import { type Mail, MailError, type Mailer } from '../ports/mailer.ts';
import { type MailWords, renderMail } from './mail-templates/layout.ts';
import { registrationRepeatedMail } from './mail-templates/registration-repeated.ts';
import { welcomeMail } from './mail-templates/welcome.ts';
import type { Reaction } from './reaction.ts';

/** What mails to users are made from, as of now. */
export interface Accounts {
  /** Who a user is, `null` when there is no such account. */
  find(userId: string): Promise<Readonly<{ email: string; username: string; firstname: string | null }> | null>;
  /** The address to follow to set the password by this link, `null` when the link is not good any more. */
  passwordLink(userId: string, linkId: string): Promise<string | null>;
}

type Deps = Readonly<{ accounts: Accounts; mailer: Mailer; publicUrl: string }>;

/** The mails that accounts need: the link to set a password, and a word to the owner when somebody registers with their address again. */
export function createAccountMails(deps: Deps): Reaction {
  const { accounts, mailer, publicUrl } = deps;
  const host = new URL(publicUrl).hostname;

  async function wordsFor(event: RecordedEvent<UserEvent>): Promise<MailWords | null> {
    switch (event.type) {
      case 'PasswordLinkIssued': {
        const url = await accounts.passwordLink(event.data.userId, event.data.linkId);
        // Used, replaced or expired meanwhile: the mail would only mislead.
        return url === null ? null : welcomeMail(url);
      }
      case 'RegistrationRepeated': {
        const account = await accounts.find(event.data.userId);
        if (account === null) return null;
        const { username, firstname } = account;
        return registrationRepeatedMail({ name: firstname ?? username, username }, `${publicUrl}/sign-in`);
      }
      default:
        return null;
    }
  }

  return {
    name: 'account-mails',
    collection: 'mails',
    handles: ['PasswordLinkIssued', 'RegistrationRepeated'],
    async perform(recorded) {
      // The runner gives it only the types that it handles, which are a user's.
      const event = recorded as RecordedEvent<UserEvent>;
      const words = await wordsFor(event);
      const account = words === null ? null : await accounts.find(event.data.userId);
      if (words === null || account === null) return;
      const mail: Mail = {
        messageId: `<${event.id}@${host}>`,
        to: account.email,
        subject: words.subject,
        ...renderMail(words),
      };
      await mailer.send(words.button === undefined ? mail : { ...mail, link: words.button.url });
    },
    isPermanent: (error) => error instanceof MailError && error.permanent,
  };
}
