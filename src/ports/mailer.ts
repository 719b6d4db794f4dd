/**
 * Hands one mail to whoever delivers it. Whether and when to try again is the caller's business.
 */
export interface Mailer {
  /**
   * Resolves when the next hop took the mail. Settles within 30 s. Throws `MailError`; `permanent` when repeating the same mail cannot help.
   * The same `messageId` may be handed over twice after a crash; receivers drop doubles by it.
   */
  send(mail: Mail): Promise<void>;

  /** Frees connections. May be called twice. */
  close(): Promise<void>;
}

export type Mail = Readonly<{
  /** `Message-ID` with its angle brackets, fixed per cause. */
  messageId: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  /** The link the reader is to follow, told apart so that an adapter without delivery can show it. */
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
