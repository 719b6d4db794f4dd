import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Mail, Mailer } from '../../src/ports/mailer.ts';
import type { ReceivedMail } from '../support/smtp.ts';

/** A mailer, and what has come out of it. `from` is `Parley <no-reply@parley.test>`. */
export type MailerUnderTest = Readonly<{
  mailer: Mailer;
  received(): Promise<readonly ReceivedMail[]>;
  stop(): Promise<void>;
}>;

const mail: Mail = {
  messageId: '<0190d1a4-6f2b-7000-8000-000000000001@parley.test>',
  to: 'ada@example.test',
  subject: 'Grüße, Ада',
  text: 'Hello Ada, ключ: ✓\n.\na line with a dot above\n',
  html: '<p>Hello <b>Ada</b>, ключ: ✓</p>',
  link: 'http://localhost:3000/set-password?token=abc',
};

/** What every `Mailer` promises. */
export function mailerContract(name: string, start: () => Promise<MailerUnderTest>): void {
  describe(`Mailer: ${name}`, () => {
    let under: MailerUnderTest;
    beforeEach(async () => {
      under = await start();
    });
    afterEach(async () => {
      await under.mailer.close();
      await under.stop();
    });

    it('hands over recipient, sender, subject and both bodies as they were given', async () => {
      await under.mailer.send(mail);
      const [got, ...more] = await under.received();
      expect(more).toEqual([]);
      expect(got?.recipients).toEqual([mail.to]);
      expect(got?.from).toBe('"Parley" <no-reply@parley.test>');
      expect(got?.subject).toBe(mail.subject);
      expect(got?.text).toBe(mail.text);
      expect(got?.html.trim()).toBe(mail.html);
    });

    it('keeps the Message-ID, so that a receiver can drop doubles', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.messageId).toBe(mail.messageId);
    });

    it('offers the text first and the HTML as the richer alternative', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.headers.get('content-type')).toMatch(/^multipart\/alternative;/);
    });

    it('marks the mail as written by a machine, so that no machine answers', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.headers.get('auto-submitted')).toBe('auto-generated');
    });

    it('lets no text become a header', async () => {
      await under.mailer.send({ ...mail, subject: 'one\r\nBcc: eve@example.test\r\n\r\nmore' });
      const [got] = await under.received();
      expect(got?.headers.has('bcc')).toBe(false);
      expect(got?.recipients).toEqual([mail.to]);
    });

    it.each([
      'nobody',
      '',
      'ada@example.test, eve@example.test',
      'Eve <eve@example.test>',
      'ada@example.test\r\nBcc: eve@example.test',
      'a:ada@example.test;',
    ])('refuses %j for good, for it is not the address of one person', async (to) => {
      await expect(under.mailer.send({ ...mail, to })).rejects.toMatchObject({ name: 'MailError', permanent: true });
      expect(await under.received()).toEqual([]);
    });

    it('takes several mails at once', async () => {
      const addresses = Array.from({ length: 12 }, (_, i) => `user${i}@example.test`);
      await Promise.all(addresses.map((to, i) => under.mailer.send({ ...mail, to, messageId: `<m${i}@parley.test>` })));
      const got = (await under.received()).flatMap(({ recipients }) => recipients);
      expect(got.toSorted()).toEqual(addresses.toSorted());
    });

    it('takes nothing once it is closed, and may be closed twice', async () => {
      await under.mailer.close();
      await under.mailer.close();
      await expect(under.mailer.send(mail)).rejects.toMatchObject({ name: 'MailError', permanent: false });
    });
  });
}
