/** Delivers single mails to the next hop. Retries are up to the caller. */
export interface Mailer {
  /**
   * Resolves when the next hop has accepted the mail. Settles within 30 s. Throws `MailError`; `permanent` when repeating the same mail cannot help.
   * The same `messageId` may be sent twice after a crash; receivers can recognise the duplicate by it.
   */
  send(mail: Mail): Promise<void>;

  /** Releases connections. May be called twice. */
  close(): Promise<void>;
}

export type Mail = Readonly<{
  /** `Message-ID` with its angle brackets, the same for every attempt. */
  messageId: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  /**
   * Where the recipient can unsubscribe from mails of this kind; only for mails that can be switched off. A POST to it unsubscribes at once, without
   * signing in (RFC 8058), and a GET shows a page that does.
   */
  unsubscribeUrl?: string;
  /** The link in the mail, also separately, so that an adapter that does not deliver can show it. */
  link?: string;
}>;

export class MailError extends Error {
  override readonly name = 'MailError';
  readonly permanent: boolean;

  constructor(message: string, details: { permanent: boolean; cause?: unknown }) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.permanent = details.permanent;
  }
}
