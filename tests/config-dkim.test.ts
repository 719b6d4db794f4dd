import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config/config.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey;
const pem = rsa.export({ type: 'pkcs8', format: 'pem' }).toString();
const names = { DKIM_DOMAIN: 'example.org', DKIM_SELECTOR: 'parley' };
const mails = { SMTP_URL: 'smtps://mail.example.org', MAIL_FROM: 'no-reply@example.org' };

function read(env: Record<string, string>) {
  const result = readConfig(env);
  if ('errors' in result) return { errors: result.errors.map(({ name, message }) => `${name} ${message}`) };
  return { dkim: result.config.dkim, warnings: result.warnings };
}

describe('the signature of mails', () => {
  it.each([
    ['PEM', pem],
    ['PEM with \\n for its line breaks', pem.replaceAll('\n', '\\n')],
    ['PEM of PKCS #1', rsa.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['the base64 of PKCS #8', rsa.export({ type: 'pkcs8', format: 'der' }).toString('base64')],
  ])('takes the key as %s', (_form, key) => {
    const result = read({ ...mails, ...names, DKIM_PRIVATE_KEY: key });
    expect(result).toMatchObject({ dkim: { domain: 'example.org', selector: 'parley' }, warnings: [] });
    const { privateKey } = result.dkim ?? { privateKey: '' };
    expect(createPrivateKey(privateKey).equals(rsa)).toBe(true);
  });

  const reason = 'must be an unencrypted RSA private key of at least 1024 bits, as PEM or its base64';
  const cipher = { cipher: 'aes-256-cbc', passphrase: 'secret' };
  it.each([
    ['no key', 'hunter2'],
    ['an elliptic one', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    [
      'a short one',
      generateKeyPairSync('rsa', { modulusLength: 512 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ],
    ['an encrypted one', rsa.export({ type: 'pkcs8', format: 'pem', ...cipher }).toString()],
    [
      'the public one',
      generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    ],
  ])('rejects as key %s, without repeating it', (_what, key) => {
    expect(read({ ...mails, ...names, DKIM_PRIVATE_KEY: key })).toEqual({ errors: [`DKIM_PRIVATE_KEY ${reason}`] });
  });

  it('needs all three variables', () => {
    expect(read(names)).toEqual({
      errors: ['DKIM_PRIVATE_KEY must be set because DKIM_DOMAIN is set: set all three or none'],
    });
    expect(read({ DKIM_PRIVATE_KEY: pem })).toEqual({
      errors: ['DKIM_DOMAIN', 'DKIM_SELECTOR'].map(
        (name) => `${name} must be set because DKIM_PRIVATE_KEY is set: set all three or none`,
      ),
    });
  });

  it.each(['a b', 'a;d=evil.example', '.example.org', `${'a'.repeat(64)}.org`])('rejects the domain %j', (domain) => {
    expect(read({ ...mails, ...names, DKIM_PRIVATE_KEY: pem, DKIM_DOMAIN: domain })).toEqual({
      errors: [`DKIM_DOMAIN must be a domain such as example.org (it is '${domain}')`],
    });
  });

  it.each([
    ['no-reply@example.org', []],
    ['Parley <no-reply@chat.EXAMPLE.org>', []],
    ['no-reply@other.org', [expect.stringMatching(/^DKIM_DOMAIN is not the domain of MAIL_FROM/)]],
    ['no-reply@notexample.org', [expect.stringMatching(/^DKIM_DOMAIN is not the domain of MAIL_FROM/)]],
  ])('for mails from %j causes the warnings %j', (MAIL_FROM, warnings) => {
    expect(read({ ...mails, ...names, DKIM_PRIVATE_KEY: pem, MAIL_FROM })).toMatchObject({ warnings });
  });

  it('without a mail server causes a warning', () => {
    const { MAIL_FROM } = mails;
    expect(read({ MAIL_FROM, ...names, DKIM_PRIVATE_KEY: pem })).toMatchObject({
      warnings: ['DKIM_DOMAIN is set and SMTP_URL is not: mails are not signed'],
    });
  });
});
