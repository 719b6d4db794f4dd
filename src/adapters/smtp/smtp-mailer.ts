import { createTransport } from 'nodemailer';
import type { Clock } from '../../ports/clock.ts';
import { MailError, type Mailer } from '../../ports/mailer.ts';
import { checkRecipient, messageOf } from './message.ts';

/** Time limit of one mail, in ms. */
const SEND_MS = 30_000;
/** Time limit for the connection, for the greeting and for each response of the server, in ms. */
const STEP_MS = 10_000;

/** Header fields that a signature covers, where a mail has them: all that are shown or acted on. */
const SIGNED_FIELDS =
  'From:To:Subject:Date:Message-ID:MIME-Version:Content-Type:Auto-Submitted:List-Unsubscribe:List-Unsubscribe-Post';

/** Signs mails for a domain (RFC 6376), whose DNS has the public key at `<selector>._domainkey.<domain>`. */
export type Dkim = Readonly<{ domain: string; selector: string /** RSA, in PEM. */; privateKey: string }>;

/** The properties of a failure in nodemailer, except its message, which may contain the recipient. */
type SmtpFailure = Error &
  Readonly<{
    code?: string;
    originalCode?: string;
    command?: string;
    response?: string;
    responseCode?: number;
    permanent?: boolean;
  }>;

/**
 * Sends by SMTP over a pool of a few connections.
 * @param options.url `smtp://` (STARTTLS if offered, or required with `?requireTLS=true`) or `smtps://`, including the credentials
 * @param options.dkim `null`: mails are not signed, or the server does it
 * @param options.sendMs time limit of one mail, by default 30 s
 */
export function createSmtpMailer(options: {
  url: string;
  from: string;
  clock: Clock;
  dkim?: Dkim | null;
  sendMs?: number;
}): Mailer {
  const sendMs = options.sendMs ?? SEND_MS;
  const stepMs = Math.min(STEP_MS, sendMs);
  const transport = createTransport({
    ...timeouts(stepMs),
    url: options.url,
    pool: true,
    maxConnections: 4,
    // Retries are up to the caller.
    maxRequeues: 0,
    ...(options.dkim == null ? {} : { dkim: dkimOptions(options.dkim) }),
  });
  let closed = false;

  return {
    async send(mail) {
      if (closed) throw new MailError('the mailer is closed', { permanent: false });
      checkRecipient(mail.to);
      const timeout = new AbortController();
      const timer = options.clock.after(sendMs, () => timeout.abort());
      try {
        await transport.sendMail({ ...messageOf(options.from, mail), signal: timeout.signal });
      } catch (error) {
        throw mailError(error);
      } finally {
        timer.cancel();
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      transport.close();
    },
  };
}

function dkimOptions({ domain, selector, privateKey }: Dkim) {
  return { domainName: domain, keySelector: selector, privateKey, headerFieldNames: SIGNED_FIELDS };
}

function timeouts(ms: number) {
  return { connectionTimeout: ms, greetingTimeout: ms, socketTimeout: ms, dnsTimeout: ms, socketCloseTimeout: 1_000 };
}

/**
 * Only a permanent rejection of this recipient or this mail is permanent: problems of the sender or the server can be fixed by an operator.
 * Of the response only the codes are kept (RFC 3463): its text may contain the recipient, and would be logged.
 */
function mailError(error: unknown): MailError {
  const failure: SmtpFailure = error instanceof Error ? error : new Error('unknown failure');
  const { code, originalCode, command, response, responseCode, permanent } = failure;
  const concernsMail = command === 'RCPT TO' || command === 'DATA';
  const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response ?? '')?.[1];
  const message =
    responseCode === undefined
      ? `the mail server could not be used (${originalCode ?? code ?? failure.name})`
      : `the mail server answered ${[responseCode, enhanced].filter(Boolean).join(' ')} to ${command ?? 'a command'}`;
  return new MailError(message, { permanent: permanent === true && concernsMail });
}
