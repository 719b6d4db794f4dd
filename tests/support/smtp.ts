import { simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';

/** A received mail: the parsed message, and the recipients of its envelope. */
export type ReceivedMail = Readonly<{
  messageId: string;
  from: string;
  /** Recipients of the envelope, which decide the delivery. */
  recipients: readonly string[];
  subject: string;
  text: string;
  html: string;
  /** Headers by their lower-case name, as text. */
  headers: ReadonlyMap<string, string>;
}>;

export type TestSmtpServer = Readonly<{
  /** For `SMTP_URL`. */
  url: string;
  /** Received mails, in order. */
  mails: readonly ReceivedMail[];
  /** Waits for the `count`-th mail to this address (1: the first). Fails after the deadline. */
  waitForMail(to: string, count?: number, deadlineMs?: number): Promise<ReceivedMail>;
  close(): Promise<void>;
}>;

/** How the server answers to a recipient: it accepts, rejects with a code, or does not answer. */
export type RecipientPolicy = (address: string) => 'take' | 'silence' | number;

/** Starts an SMTP server on a free port of this machine that keeps the received mails. */
export async function startSmtpServer(policy: RecipientPolicy = () => 'take'): Promise<TestSmtpServer> {
  const mails: ReceivedMail[] = [];
  const arrived = new Set<() => void>();
  const options: SMTPServerOptions = {
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onRcptTo({ address }, _session, done) {
      const answer = policy(address);
      if (answer === 'silence') return;
      done(
        answer === 'take'
          ? null
          : Object.assign(new Error(`${answer < 500 ? '4.2.1' : '5.1.1'} not this one`), {
              responseCode: answer,
            }),
      );
    },
    onData(stream, session, done) {
      const recipients = session.envelope.rcptTo.map(({ address }) => address);
      received(stream, recipients).then(
        (mail) => {
          mails.push(mail);
          done();
          for (const check of [...arrived]) check();
        },
        (error: Error) => done(error),
      );
    },
  };
  const server = new SMTPServer(options);
  const port = await listen(server);

  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    waitForMail: (to, count = 1, deadlineMs = 30_000) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const mail = mails.filter(({ recipients }) => recipients.includes(to))[count - 1];
          if (mail === undefined) return;
          finish();
          resolve(mail);
        };
        const timer = setTimeout(() => {
          finish();
          reject(
            new Error(`mail ${count} to ${to} was not received; there are mails to ${mails.map((m) => m.recipients)}`),
          );
        }, deadlineMs);
        const finish = () => {
          clearTimeout(timer);
          arrived.delete(check);
        };
        arrived.add(check);
        check();
      }),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function listen(server: SMTPServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.server.address();
      if (address === null || typeof address === 'string') reject(new Error('the server has no port'));
      else resolve(address.port);
    });
  });
}

/** Parses a message, from a stream or as a whole. */
export async function received(
  message: Parameters<typeof simpleParser>[0],
  recipients: readonly string[],
): Promise<ReceivedMail> {
  const mail = await simpleParser(message, { skipTextToHtml: true });
  return {
    messageId: mail.messageId ?? '',
    from: mail.from?.text ?? '',
    recipients,
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    html: mail.html === false ? '' : mail.html,
    headers: new Map(mail.headerLines.map(({ key, line }) => [key, line.slice(key.length + 1).trim()])),
  };
}
