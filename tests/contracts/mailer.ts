import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Mail, Mailer } from '../../src/ports/mailer.ts';
import type { ReceivedMail } from '../support/smtp.ts';

/** A mailer under test with the mails it has delivered. `from` is `Parley <no-reply@parley.test>`. */
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

/** The contract of `Mailer`. */
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

    it('delivers recipient, sender, subject and both bodies unchanged', async () => {
      await under.mailer.send(mail);
      const [got, ...more] = await under.received();
      expect(more).toEqual([]);
      expect(got?.recipients).toEqual([mail.to]);
      expect(got?.from).toBe('"Parley" <no-reply@parley.test>');
      expect(got?.subject).toBe(mail.subject);
      expect(got?.text).toBe(mail.text);
      expect(got?.html.trim()).toBe(mail.html);
    });

    it('keeps the Message-ID, so that receivers can recognise duplicates', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.messageId).toBe(mail.messageId);
    });

    it('sends the text first, then the HTML as the preferred alternative', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.headers.get('content-type')).toMatch(/^multipart\/alternative;/);
    });

    it('marks the mail as auto-generated, so that there are no automatic replies', async () => {
      await under.mailer.send(mail);
      expect((await under.received())[0]?.headers.get('auto-submitted')).toBe('auto-generated');
    });

    it('has a header to unsubscribe, also with one click, only when the mail has an address for that', async () => {
      await under.mailer.send({ ...mail, unsubscribeUrl: 'https://parley.test/unsubscribe?token=abc' });
      const [got] = await under.received();
      expect(got?.headers.get('list-unsubscribe')).toBe('<https://parley.test/unsubscribe?token=abc>');
      expect(got?.headers.get('list-unsubscribe-post')).toBe('List-Unsubscribe=One-Click');
    });

    it('offers no unsubscription by one click over plain HTTP', async () => {
      await under.mailer.send({ ...mail, unsubscribeUrl: 'http://localhost:3000/unsubscribe?token=abc' });
      const [got] = await under.received();
      expect(got?.headers.get('list-unsubscribe')).toBe('<http://localhost:3000/unsubscribe?token=abc>');
      expect(got?.headers.has('list-unsubscribe-post')).toBe(false);
    });

    it('has no header to unsubscribe without an address for that', async () => {
      await under.mailer.send(mail);
      const [got] = await under.received();
      expect([...(got?.headers.keys() ?? [])].filter((name) => name.startsWith('list-'))).toEqual([]);
    });

    it('does not allow header injection', async () => {
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
    ])('permanently rejects %j, which is not a single address', async (to) => {
      await expect(under.mailer.send({ ...mail, to })).rejects.toMatchObject({ name: 'MailError', permanent: true });
      expect(await under.received()).toEqual([]);
    });

    it('accepts several mails concurrently', async () => {
      const addresses = Array.from({ length: 12 }, (_, i) => `user${i}@example.test`);
      await Promise.all(addresses.map((to, i) => under.mailer.send({ ...mail, to, messageId: `<m${i}@parley.test>` })));
      const got = (await under.received()).flatMap(({ recipients }) => recipients);
      expect(got.toSorted()).toEqual(addresses.toSorted());
    });

    it('rejects mails after it was closed, and can be closed twice', async () => {
      await under.mailer.close();
      await under.mailer.close();
      await expect(under.mailer.send(mail)).rejects.toMatchObject({ name: 'MailError', permanent: false });
    });
  });
}
