import { createTransport } from 'nodemailer';
import { MailError, type Mailer } from '../../ports/mailer.ts';
import { checkRecipient, messageOf } from './message.ts';

/** Every send has ended after so long, in ms, one way or the other. */
const SEND_MS = 30_000;
/** How long a server may take to accept a connection, to greet, and between two of its answers, in ms. */
const STEP_MS = 10_000;

/** What nodemailer tells of a failure, beside its words, which may name the recipient. */
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
 * Sends by SMTP over a few connections that are kept open.
 * @param url `smtp://` (STARTTLS where offered; `?requireTLS=true` insists) or `smtps://`, with the credentials in it
 */
export function createSmtpMailer(options: { url: string; from: string; sendMs?: number }): Mailer {
  const sendMs = options.sendMs ?? SEND_MS;
  const stepMs = Math.min(STEP_MS, sendMs);
  const transport = createTransport({
    ...timeouts(stepMs),
    url: options.url,
    pool: true,
    maxConnections: 4,
    // Whether to try again is decided by who sends.
    maxRequeues: 0,
  });
  let closed = false;

  return {
    async send(mail) {
      if (closed) throw new MailError('the mailer is closed', { permanent: false });
      checkRecipient(mail.to);
      try {
        await transport.sendMail({ ...messageOf(options.from, mail), signal: AbortSignal.timeout(sendMs) });
      } catch (error) {
        throw mailError(error);
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      transport.close();
    },
  };
}

function timeouts(ms: number) {
  return { connectionTimeout: ms, greetingTimeout: ms, socketTimeout: ms, dnsTimeout: ms, socketCloseTimeout: 1_000 };
}

/**
 * Permanent is only what a server says for good of this recipient or this mail: what is wrong with the sender or the server, an operator can mend.
 * Of what it says only the codes are kept (RFC 3463), for its words may name the recipient, and end in a log.
 */
function mailError(error: unknown): MailError {
  const failure: SmtpFailure = error instanceof Error ? error : new Error('unknown failure');
  const { code, originalCode, command, response, responseCode, permanent } = failure;
  const isOfMail = command === 'RCPT TO' || command === 'DATA';
  const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response ?? '')?.[1];
  const words =
    responseCode === undefined
      ? `the mail server could not be used (${originalCode ?? code ?? failure.name})`
      : `the mail server answered ${[responseCode, enhanced].filter(Boolean).join(' ')} to ${command ?? 'a command'}`;
  return new MailError(words, { permanent: permanent === true && isOfMail });
}
