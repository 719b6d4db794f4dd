import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import { LANGUAGES } from '../../src/kernel/language.ts';
import type { Mailer } from '../../src/ports/mailer.ts';
import { createAccountMails } from '../../src/reactions/account-mails.ts';
import { renderMail } from '../../src/reactions/mail-templates/layout.ts';
import { registrationRepeatedMail } from '../../src/reactions/mail-templates/registration-repeated.ts';
import { welcomeMail } from '../../src/reactions/mail-templates/welcome.ts';
import { erase } from '../commands/node.ts';
import {
  activated,
  ada,
  logged,
  type Node,
  openWorld,
  PASSWORD,
  PUBLIC_URL,
  registered,
  request,
  signIn,
  startNode,
  type World,
} from '../identity/world.ts';
import { service } from '../support/services.ts';
import { type RecipientPolicy, type SmtpAnswer, startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';
import { system } from '../support/stores.ts';
import { start, until } from './world.ts';

service('SMTP server in the test');

let world: World;
let node: Node;
let smtp: TestSmtpServer;
let mailer: Mailer;
let refusing: string | null;
/** What the server does with the next messages, in order. */
let answers: SmtpAnswer[];
let stop: () => Promise<void>;
beforeEach(async () => {
  refusing = null;
  answers = [];
  world = await openWorld();
  node = await startNode(world);
  const recipients: RecipientPolicy = (address) => (address === refusing ? 550 : (answers.shift() ?? 'take'));
  smtp = await startSmtpServer(recipients);
  mailer = createSmtpMailer({ url: smtp.url, from: 'Parley <no-reply@parley.test>', clock: system.clock });
  await run();
});
afterEach(async () => {
  await stop();
  await mailer.close();
  await smtp.close();
  await node.commands.close();
  await world.close();
});

async function run(): Promise<void> {
  const reaction = createAccountMails({ accounts: node.identity.mailAccounts, mailer, publicUrl: PUBLIC_URL });
  ({ stop } = await start(world, reaction, world.clock));
}

/** When an attempt that begins now would count as lost; attempts that have failed are due long before that. */
const lostAt = () => world.clock.now() + 60_000;

/** The effect of the only mail. */
async function onlyEffect() {
  const sort = { fields: ['dueAt'], direction: 'asc' } as const;
  for (const status of ['pending', 'done', 'parked']) {
    const { items } = await world.documents.find('mails', { filter: { status }, sort, limit: 2 });
    if (items[0] !== undefined) return items[0].body;
  }
  return undefined;
}

const linkIn = (text: string): string => /https:\/\/\S+/.exec(text)?.[0] ?? '';
const settled = async (count: number) =>
  until('all mails are settled', async () => {
    const { documents } = world;
    const done = await documents.count('mails', { status: 'done' }, 100);
    return done + (await documents.count('mails', { status: 'parked' }, 100)) === count;
  });

describe('a user who registers', () => {
  it('gets one mail with the link that sets the password, and can sign in', async () => {
    const userId = await registered(world, node);
    const mail = await smtp.waitForMail(ada.email);
    const link = linkIn(mail.text);
    expect(link).toMatch(/^https:\/\/parley\.test\/set-password\?token=[A-Za-z0-9_-]{80}$/);
    expect(mail.html).toContain(`href="${link}"`);
    expect(mail.subject).toBe('Welcome to Parley: set your password');

    const token = new URL(link).searchParams.get('token') ?? '';
    await node.identity.setPassword({ token, password: PASSWORD, confirmPassword: PASSWORD }, request(world));
    await expect(signIn(world, node)).resolves.toMatchObject({ user: { _id: userId } });
    await settled(1);
    expect(smtp.mails).toHaveLength(1);
  });

  it('gets a mail whose Message-ID is the id of the event', async () => {
    await registered(world, node);
    const { messageId } = await smtp.waitForMail(ada.email);
    const [issued] = await logged(world, 'PasswordLinkIssued');
    expect(messageId).toBe(`<${issued?.id}@parley.test>`);
  });

  it('gets a mail without any text that was entered in the registration', async () => {
    const typed = { firstname: 'Win a prize', lastname: 'at evil.example', username: 'evil.example' };
    await registered(world, node, typed);
    const { text, html, subject } = await smtp.waitForMail(ada.email);
    for (const words of Object.values(typed)) expect(`${text}${html}${subject}`).not.toContain(words);
  });

  it('gets only the latest link when there were several before the mail was sent', async () => {
    await stop();
    await registered(world, node);
    await node.identity.register({ ...ada, username: 'ada2' }, request(world));
    await run();
    await settled(2);
    expect(smtp.mails).toHaveLength(1);
    const token = new URL(linkIn(smtp.mails[0]?.text ?? '')).searchParams.get('token') ?? '';
    await expect(node.identity.checkPasswordLink(token)).resolves.toBeUndefined();
  });

  it('gets no mail when the mail server rejects the address: the effect is parked, and others get theirs', async () => {
    refusing = ada.email;
    await registered(world, node);
    await registered(world, node, { email: 'bob@example.org', username: 'bob' });
    await smtp.waitForMail('bob@example.org');
    await settled(2);
    const query = { filter: { status: 'parked', dueAt: { gte: 0 } }, limit: 10 };
    const { items } = await world.documents.find('mails', query);
    expect(items.map(({ body }) => body.lastError)).toEqual(['the mail server answered 550 5.1.1 to RCPT TO']);
  });
});

describe('a user who was erased', () => {
  it('gets no mail, and its effect is done', async () => {
    await stop();
    const userId = await registered(world, node);
    await erase(world, userId);
    await registered(world, node, { email: 'bob@example.org', username: 'bob' });
    await run();
    await settled(2);
    expect(await world.documents.count('mails', { status: 'done' }, 100)).toBe(2);
    expect(smtp.mails.map(({ recipients }) => recipients)).toEqual([['bob@example.org']]);
  });
});

describe('the owner of an account', () => {
  it('gets a warning when somebody registers with their address', async () => {
    await activated(world, node);
    await node.identity.register({ ...ada, username: 'eve', firstname: 'Eve' }, request(world));
    const mail = await smtp.waitForMail(ada.email, 2);
    expect(mail.subject).toBe('You already have a Parley account');
    expect(mail.text).toContain('Hello Ada,');
    expect(mail.text).toContain(`account 'ada'`);
    expect(mail.text).not.toMatch(/eve/i);
    expect(linkIn(mail.text)).toBe(`${PUBLIC_URL}/sign-in`);
  });

  it('gets it in the language of the account, not of the request', async () => {
    await activated(world, node, { language: 'fr' });
    await node.identity.register({ ...ada, username: 'eve', language: 'en' }, request(world));
    const mail = await smtp.waitForMail(ada.email, 2);
    expect(mail.subject).toBe('Vous avez déjà un compte Parley');
    expect(mail.text).toContain('Bonjour Ada,');
    expect(mail.text).toContain('«\u00a0ada\u00a0»');
  });
});

describe('the language of a mail', () => {
  it('is that of the registration', async () => {
    await registered(world, node, { language: 'fr' });
    const { subject, text, html } = await smtp.waitForMail(ada.email);
    expect(subject).toBe('Bienvenue sur Parley\u00a0: choisissez votre mot de passe');
    expect(html).toContain('<html lang="fr">');
    expect(html).toContain('Ou ouvrez cette adresse\u00a0: <a href="');
    expect(text).toMatch(/Choisir votre mot de passe\u00a0:\nhttps:\/\/parley\.test\/set-password\?token=/);
  });

  it('is that of the latest registration while the account is pending', async () => {
    await registered(world, node, { language: 'fr' });
    await smtp.waitForMail(ada.email);
    await node.identity.register({ ...ada, username: 'ada2', language: 'en' }, request(world));
    expect((await smtp.waitForMail(ada.email, 2)).subject).toBe('Welcome to Parley: set your password');
  });

  it('has the same parts in every language, and its own words for each text', () => {
    const values = { url: 'https://parley.test/x', name: 'Ada', username: 'ada' };
    for (const template of [welcomeMail, registrationRepeatedMail]) {
      const [english, ...others] = LANGUAGES.map((language) => template[language](values));
      for (const other of others) {
        expect(other.paragraphs.length).toBe(english?.paragraphs.length);
        expect(other.notes?.length).toBe(english?.notes?.length);
        expect(other.button?.url).toBe(english?.button?.url);
        const texts = [other.subject, other.button?.label, ...other.paragraphs, ...(other.notes ?? [])];
        const known = [
          english?.subject,
          english?.button?.label,
          ...(english?.paragraphs ?? []),
          ...(english?.notes ?? []),
        ];
        expect(texts.filter((text) => known.includes(text))).toEqual([]);
      }
    }
  });
});

describe('a mail that the server does not accept at first', () => {
  it.each([
    ['rejects for now', 451],
    ['drops the connection', 'drop'],
  ] as const)('is sent once, after a pause: the server %s', async (_what, answer) => {
    answers = [answer, answer];
    await registered(world, node);
    for (const attempts of [1, 2]) {
      await until(`attempt ${attempts} has failed`, async () => {
        const effect = await onlyEffect();
        return effect?.attempts === attempts && effect.lastError !== null && Number(effect.dueAt) < lostAt();
      });
      expect(smtp.mails).toEqual([]);
      await world.clock.advance(Number((await onlyEffect())?.dueAt) - world.clock.now());
    }
    await settled(1);
    expect(smtp.mails.map(({ recipients }) => recipients)).toEqual([[ada.email]]);
    expect(await onlyEffect()).toMatchObject({ status: 'done', attempts: 3 });
  });
});

it('mails about accounts cannot be unsubscribed from', async () => {
  await activated(world, node);
  await node.identity.register({ ...ada, username: 'eve' }, request(world));
  await smtp.waitForMail(ada.email, 2);
  for (const { headers } of smtp.mails) expect(headers.has('list-unsubscribe')).toBe(false);
});

describe('the layout of mails', () => {
  const words = {
    subject: '<b>"Tom" & \'Jerry\'</b>',
    paragraphs: ['<script>alert(1)</script>', 'second'],
    button: { label: 'Go > there', url: 'https://parley.test/?a=1&b="' },
    notes: ['<i>'],
  };

  it('escapes all text in the HTML part', () => {
    const { html } = renderMail('en', words);
    expect(html).not.toMatch(/<script>|<b>|<i>/);
    expect(html).toContain('<title>&lt;b&gt;&quot;Tom&quot; &amp; &#39;Jerry&#39;&lt;/b&gt;</title>');
    expect(html).toContain('href="https://parley.test/?a=1&amp;b=&quot;"');
  });

  it('does not change text in the text part', () => {
    expect(renderMail('en', words).text).toBe(
      '<script>alert(1)</script>\n\nsecond\n\nGo > there:\nhttps://parley.test/?a=1&b="\n\n<i>\n\n-- \nParley\n',
    );
  });

  it('allows mails without a button and notes', () => {
    expect(renderMail('en', { subject: 's', paragraphs: ['only this'] }).text).toBe('only this\n\n-- \nParley\n');
  });
});
