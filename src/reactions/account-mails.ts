import type { UserEvent } from '../aggregates/user/events.ts';
import type { Language } from '../kernel/language.ts';
import { type Mail, MailError, type Mailer } from '../ports/mailer.ts';
import { type MailTemplate, renderMail } from './mail-templates/layout.ts';
import { registrationRepeatedMail } from './mail-templates/registration-repeated.ts';
import { welcomeMail } from './mail-templates/welcome.ts';
import { type Reaction, reactionsOf } from './reaction.ts';

/** Address, names and language of a user. */
export type MailedAccount = Readonly<{ email: string; username: string; firstname: string | null; language: Language }>;

/** What mails to users are made from, as of now. */
export interface Accounts {
  /** `null` when there is no such account, or the person was erased. */
  find(userId: string): Promise<MailedAccount | null>;
  /** The address of the page to set the password by this link, `null` when the link is no longer valid. */
  passwordLink(userId: string, linkId: string): Promise<string | null>;
}

type Deps = Readonly<{ accounts: Accounts; mailer: Mailer; publicUrl: string }>;

/**
 * The mails that accounts need: the link to set a password, and a notice to the owner when somebody registers with their address again. Users cannot
 * unsubscribe from these: each follows from something that was done to their account.
 */
export function createAccountMails({ accounts, mailer, publicUrl }: Deps): Reaction {
  const host = new URL(publicUrl).hostname;

  /** Sends one mail to a user, in their language. `values` makes what the template needs, `null` for a mail that is not needed any more. */
  async function send<Values>(
    { id, data }: Readonly<{ id: string; data: Readonly<{ userId: string }> }>,
    template: MailTemplate<Values>,
    values: (account: MailedAccount) => Promise<Values | null> | Values,
  ): Promise<void> {
    const account = await accounts.find(data.userId);
    const made = account === null ? null : await values(account);
    if (account === null || made === null) return;
    const { email, language } = account;
    const words = template[language](made);
    const mail: Mail = {
      messageId: `<${id}@${host}>`,
      to: email,
      subject: words.subject,
      ...renderMail(language, words),
    };
    await mailer.send(words.button === undefined ? mail : { ...mail, link: words.button.url });
  }

  return {
    name: 'account-mails',
    collection: 'mails',
    on: reactionsOf<UserEvent>({
      PasswordLinkIssued: (event) =>
        send(event, welcomeMail, async () => {
          const url = await accounts.passwordLink(event.data.userId, event.data.linkId);
          // A mail with a link that was used, replaced or has expired would only mislead.
          return url === null ? null : { url };
        }),
      RegistrationRepeated: (event) =>
        send(event, registrationRepeatedMail, ({ username, firstname }) => {
          return { name: firstname ?? username, username, url: `${publicUrl}/sign-in` };
        }),
    }),
    isPermanent: (error) => error instanceof MailError && error.permanent,
  };
}
