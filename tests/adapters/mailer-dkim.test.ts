import { createHash, createVerify, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import type { Mail } from '../../src/ports/mailer.ts';
import { service } from '../support/services.ts';
import { startSmtpServer } from '../support/smtp.ts';
import { system } from '../support/stores.ts';

service('SMTP server in the test');

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const dkim = {
  domain: 'parley.test',
  selector: 'mail-1',
  privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};
const mail: Mail = {
  messageId: '<m@parley.test>',
  to: 'ada@example.test',
  subject: 'Grüße, Ада',
  text: 'one  line \n\n.\nkey: ✓\n\n\n',
  html: '<p>Hello <b>Ada</b></p>',
};

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The message as the server received it. */
async function sent(given: Mail, options: { dkim: typeof dkim | null }): Promise<string> {
  const server = await startSmtpServer();
  closers.push(server.close);
  const mailer = createSmtpMailer({
    url: server.url,
    from: 'Parley <no-reply@parley.test>',
    clock: system.clock,
    ...options,
  });
  closers.push(() => mailer.close());
  await mailer.send(given);
  return server.mails[0]?.raw ?? '';
}

/** The tags of the signature, and whether it is that of this message by this key, by the rules of RFC 6376 for relaxed canonicalization. */
function verify(raw: string, key: KeyObject) {
  const end = raw.indexOf('\r\n\r\n');
  const headers = raw
    .slice(0, end)
    .split(/\r\n(?![ \t])/)
    .map((line) => ({
      name: line.slice(0, line.indexOf(':')).toLowerCase(),
      value: line.slice(line.indexOf(':') + 1),
    }));
  const relaxed = (value: string): string =>
    value
      .replace(/\r\n/g, '')
      .replace(/[ \t]+/g, ' ')
      .trim();
  const signature = headers.find(({ name }) => name === 'dkim-signature')?.value ?? '';
  const tags = new Map(
    signature.split(';').map((tag) => {
      const [name = '', ...value] = tag.replace(/\s+/g, '').split('=');
      return [name, value.join('=')];
    }),
  );
  const body = raw
    .slice(end + 4)
    .split('\r\n')
    .map((line) => line.replace(/[ \t]+/g, ' ').replace(/ $/, ''))
    .join('\r\n')
    .replace(/(\r\n)*$/, '\r\n');
  const hash = createHash('sha256').update(body, 'latin1').digest('base64');
  const signed = (tags.get('h') ?? '').split(':').map((name) => {
    const value = headers.findLast((header) => header.name === name)?.value ?? '';
    return `${name}:${relaxed(value)}\r\n`;
  });
  const unsigned = relaxed(signature).replace(/(\bb=)[^;]*$/, '$1');
  const isGenuine = createVerify('RSA-SHA256')
    .update(`${signed.join('')}dkim-signature:${unsigned}`, 'latin1')
    .verify(key, tags.get('b') ?? '', 'base64');
  return { tags, isBodyHash: hash === tags.get('bh'), isGenuine };
}

it('signs the body and the headers of a mail for the domain, with the key of the selector', async () => {
  const raw = await sent({ ...mail, unsubscribeUrl: 'https://parley.test/unsubscribe' }, { dkim });
  const { tags, ...valid } = verify(raw, publicKey);
  expect(valid).toEqual({ isBodyHash: true, isGenuine: true });
  expect([tags.get('d'), tags.get('s'), tags.get('a'), tags.get('c')]).toEqual([
    'parley.test',
    'mail-1',
    'rsa-sha256',
    'relaxed/relaxed',
  ]);
  const fields = (tags.get('h') ?? '').split(':');
  for (const name of ['from', 'to', 'subject', 'date', 'message-id', 'content-type', 'auto-submitted']) {
    expect(fields).toContain(name);
  }
  // RFC 8058 requires both to be signed.
  expect(fields).toEqual(expect.arrayContaining(['list-unsubscribe', 'list-unsubscribe-post']));
});

it('makes a signature that another key or a changed message does not fit', async () => {
  const raw = await sent(mail, { dkim });
  const other = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey;
  expect(verify(raw, other)).toMatchObject({ isBodyHash: true, isGenuine: false });
  expect(verify(raw.replace('ada@example.test', 'eve@example.test'), publicKey)).toMatchObject({ isGenuine: false });
  expect(verify(raw.replace('Hello', 'Hallo'), publicKey)).toMatchObject({ isBodyHash: false });
});

it('does not sign without a key', async () => {
  expect(await sent(mail, { dkim: null })).not.toMatch(/^dkim-signature:/im);
});
