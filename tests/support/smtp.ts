import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerOptions, type SMTPServerSession } from 'smtp-server';

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
  /** The message as it was received. */
  raw: string;
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

/** What the server does: it accepts, rejects with a code, does not answer, or closes the connection. */
export type SmtpAnswer = 'take' | 'silence' | 'drop' | number;

/** How the server answers to a recipient. */
export type RecipientPolicy = (address: string) => SmtpAnswer;

/** How the server answers to a message that has arrived completely. It keeps those that it accepts, does not answer, or drops the connection after. */
export type MessagePolicy = (mail: ReceivedMail) => SmtpAnswer;

/** Starts an SMTP server on a free port of this machine that keeps the received mails. */
export async function startSmtpServer(
  policy: RecipientPolicy = () => 'take',
  messagePolicy: MessagePolicy = () => 'take',
): Promise<TestSmtpServer> {
  const sockets = new Set<Socket>();
  /** Answers a command, or does not. Connections have one client each. */
  const answer = (given: SmtpAnswer, session: SMTPServerSession, done: (error?: Error | null) => void): void => {
    if (given === 'take') done(null);
    else if (given === 'drop') {
      for (const socket of sockets) if (socket.remotePort === session.remotePort) socket.destroy();
    } else if (given !== 'silence') {
      const code = given < 500 ? '4.2.1' : '5.1.1';
      done(Object.assign(new Error(`${code} not this one`), { responseCode: given }));
    }
  };
  const mails: ReceivedMail[] = [];
  const arrived = new Set<() => void>();
  const options: SMTPServerOptions = {
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onRcptTo({ address }, session, done) {
      answer(policy(address), session, done);
    },
    onData(stream, session, done) {
      const recipients = session.envelope.rcptTo.map(({ address }) => address);
      received(stream, recipients).then(
        (mail) => {
          const given = messagePolicy(mail);
          if (typeof given !== 'number') mails.push(mail);
          answer(given, session, done);
          for (const check of [...arrived]) check();
        },
        (error: Error) => done(error),
      );
    },
  };
  const server = new SMTPServer(options);
  server.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
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
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
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
  message: AsyncIterable<Buffer> | Buffer,
  recipients: readonly string[],
): Promise<ReceivedMail> {
  const content = Buffer.isBuffer(message) ? message : await buffer(message);
  const mail = await simpleParser(content, { skipTextToHtml: true });
  return {
    messageId: mail.messageId ?? '',
    from: mail.from?.text ?? '',
    recipients,
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    html: mail.html === false ? '' : mail.html,
    headers: new Map(mail.headerLines.map(({ key, line }) => [key, line.slice(key.length + 1).trim()])),
    raw: content.toString('latin1'),
  };
}
