import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import { MailError, type Mailer } from '../../ports/mailer.ts';
import { checkRecipient, messageOf } from './message.ts';

/**
 * Delivers nothing: writes each mail to an `.eml` file, named after its `Message-ID`, and prints its recipient and link, so that Parley can be tried
 * without a mail server.
 */
export function createOutboxMailer(options: { folder: string; from: string; print: (line: string) => void }): Mailer {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows' });
  let closed = false;

  return {
    async send(mail) {
      if (closed) throw new MailError('the mailer is closed', { permanent: false });
      checkRecipient(mail.to);
      const path = join(options.folder, `${mail.messageId.replace(/[^A-Za-z0-9-]+/g, '_').replace(/^_|_$/g, '')}.eml`);
      try {
        const { message } = await transport.sendMail(messageOf(options.from, mail));
        if (!Buffer.isBuffer(message)) throw new TypeError('the stream transport must return a buffer');
        await write(options.folder, path, message);
      } catch (error) {
        throw new MailError(`the mail could not be written to ${options.folder}`, { permanent: false, cause: error });
      }
      options.print(`Mail for ${mail.to}: ${mail.subject}${mail.link === undefined ? '' : ` ${mail.link}`} (${path})`);
    },
    async close() {
      closed = true;
      transport.close();
    },
  };
}

/** Writes the file completely or not at all. It is on disk when this resolves. */
async function write(folder: string, path: string, content: Buffer): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = `${path}.part`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
