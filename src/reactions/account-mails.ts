import type { UserEvent } from '../aggregates/user/events.ts';
import { type Mail, MailError, type Mailer } from '../ports/mailer.ts';
import { type MailWords, renderMail } from './mail-templates/layout.ts';
import { registrationRepeatedMail } from './mail-templates/registration-repeated.ts';
import { welcomeMail } from './mail-templates/welcome.ts';
import { type Reaction, reactionsOf } from './reaction.ts';

/** What mails to users are made from, as of now. */
export interface Accounts {
  /** Address and names of a user, `null` when there is no such account, or the person was erased. */
  find(userId: string): Promise<Readonly<{ email: string; username: string; firstname: string | null }> | null>;
  /** The address of the page to set the password by this link, `null` when the link is no longer valid. */
  passwordLink(userId: string, linkId: string): Promise<string | null>;
}

type Deps = Readonly<{ accounts: Accounts; mailer: Mailer; publicUrl: string }>;

/** The mails that accounts need: the link to set a password, and a notice to the owner when somebody registers with their address again. */
export function createAccountMails({ accounts, mailer, publicUrl }: Deps): Reaction {
  const host = new URL(publicUrl).hostname;

  async function send(userId: string, eventId: string, words: MailWords): Promise<void> {
    const account = await accounts.find(userId);
    if (account === null) return;
    const mail: Mail = {
      messageId: `<${eventId}@${host}>`,
      to: account.email,
      subject: words.subject,
      ...renderMail(words),
    };
    await mailer.send(words.button === undefined ? mail : { ...mail, link: words.button.url });
  }

  return {
    name: 'account-mails',
    collection: 'mails',
    on: reactionsOf<UserEvent>({
      async PasswordLinkIssued({ id, data: { userId, linkId } }) {
        const url = await accounts.passwordLink(userId, linkId);
        // A mail with a link that was used, replaced or has expired would only mislead.
        if (url !== null) await send(userId, id, welcomeMail(url));
      },
      async RegistrationRepeated({ id, data: { userId } }) {
        const account = await accounts.find(userId);
        if (account === null) return;
        const { username, firstname } = account;
        const url = `${publicUrl}/sign-in`;
        await send(userId, id, registrationRepeatedMail({ name: firstname ?? username, username }, url));
      },
    }),
    isPermanent: (error) => error instanceof MailError && error.permanent,
  };
}
