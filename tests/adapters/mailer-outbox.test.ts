import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { simpleParser } from 'mailparser';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createOutboxMailer } from '../../src/adapters/smtp/outbox-mailer.ts';
import { mailerContract } from '../contracts/mailer.ts';
import { received } from '../support/smtp.ts';

const from = 'Parley <no-reply@parley.test>';

async function readOutbox(folder: string) {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(
    names.toSorted().map(async (name) => {
      const content = await readFile(join(folder, name));
      const { to } = await simpleParser(content);
      const recipients = [to ?? []].flat().flatMap(({ value }) => value.map(({ address }) => address ?? ''));
      return received(content, recipients);
    }),
  );
}

mailerContract('outbox', async () => {
  const base = await mkdtemp(join(tmpdir(), 'parley-outbox-'));
  const folder = join(base, 'outbox');
  return {
    mailer: createOutboxMailer({ folder, from, print: () => {} }),
    received: () => readOutbox(folder),
    stop: () => rm(base, { recursive: true }),
  };
});

describe('the outbox', () => {
  const mail = {
    messageId: '<e1@parley.test>',
    to: 'ada@example.test',
    subject: 'Set it',
    text: 't',
    html: '<p>t</p>',
  };
  let base: string;
  let folder: string;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'parley-outbox-'));
    folder = join(base, 'outbox');
  });
  afterEach(() => rm(base, { recursive: true }));

  it('prints the recipient and the link of a mail in one line', async () => {
    const lines: string[] = [];
    const mailer = createOutboxMailer({ folder, from, print: (line) => lines.push(line) });
    await mailer.send({ ...mail, link: 'http://localhost:3000/set-password?token=abc' });
    await mailer.send({ ...mail, messageId: '<e2@parley.test>' });
    expect(lines).toEqual([
      `Mail for ada@example.test: Set it http://localhost:3000/set-password?token=abc (${join(folder, 'e1_parley_test.eml')})`,
      `Mail for ada@example.test: Set it (${join(folder, 'e2_parley_test.eml')})`,
    ]);
  });

  it('writes mails with the same Message-ID to the same file, readable by its owner only', async () => {
    const mailer = createOutboxMailer({ folder, from, print: () => {} });
    await mailer.send(mail);
    await mailer.send(mail);
    expect(await readdir(folder)).toEqual(['e1_parley_test.eml']);
    expect((await stat(join(folder, 'e1_parley_test.eml'))).mode & 0o777).toBe(0o600);
  });

  it('reports a folder that cannot be written as a temporary failure', async () => {
    const mailer = createOutboxMailer({ folder: '/dev/null/outbox', from, print: () => {} });
    await expect(mailer.send(mail)).rejects.toMatchObject({ name: 'MailError', permanent: false });
  });
});
