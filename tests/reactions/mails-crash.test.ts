import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import { createAccountMails } from '../../src/reactions/account-mails.ts';
import { ada, type Node, PUBLIC_URL, registered, startNode, type World } from '../identity/world.ts';
import { manualClock } from '../support/manual-clock.ts';
import { service } from '../support/services.ts';
import { type SmtpAnswer, startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import { start, until } from './world.ts';

service('SMTP server in the test');

const CHILD = fileURLToPath(new URL('./mails.child.ts', import.meta.url));
/** Longer than until an attempt counts as lost with its process. */
const LOST_MS = 2 * 60_000;

let folder: string;
let smtp: TestSmtpServer;
/** How the server answers, and what happens when it is asked. */
let onRecipient: () => SmtpAnswer;
let onMessage: () => SmtpAnswer;
const closers: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-mails-'));
  [onRecipient, onMessage] = [() => 'take', () => 'take'];
  smtp = await startSmtpServer(
    () => onRecipient(),
    () => onMessage(),
  );
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await smtp.close();
  await rm(folder, { recursive: true });
});

/** Starts a process that sends a mail to Ada. */
function launch(): ChildProcess {
  const args = ['--disable-warning=ExperimentalWarning', CHILD, folder, smtp.url];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  closers.push(async () => {
    if (child.exitCode === null && child.signalCode === null) await kill(child);
  });
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Runs the reaction over what the killed process has left, at the same time on its clock. */
async function resume(): Promise<Readonly<{ world: World; node: Node }>> {
  [onRecipient, onMessage] = [() => 'take', () => 'take'];
  const world = { ...(await openMemoryStores({ folder })), clock: manualClock() };
  closers.push(() => world.close());
  const node = await startNode(world);
  closers.push(() => node.commands.close());
  const mailer = createSmtpMailer({ url: smtp.url, from: 'Parley <no-reply@parley.test>', clock: system.clock });
  closers.push(() => mailer.close());
  const accounts = node.identity.mailAccounts;
  const { stop } = await start(world, createAccountMails({ accounts, mailer, publicUrl: PUBLIC_URL }), world.clock);
  closers.push(stop);
  return { world, node };
}

const recorded = ({ documents }: World) =>
  until('the mail is recorded as sent', async () => (await documents.count('mails', { status: 'done' }, 10)) === 1);

/** Registers another user and waits for that mail, which shows that everything before was handled. */
async function expectMails({ world, node }: { world: World; node: Node }, toAda: number): Promise<void> {
  await registered(world, node, { email: 'bob@example.org', username: 'bob' });
  await smtp.waitForMail('bob@example.org');
  expect(smtp.mails.filter(({ recipients }) => recipients.includes(ada.email))).toHaveLength(toAda);
  await until('both are done', async () => (await world.documents.count('mails', { status: 'done' }, 10)) === 2);
  expect(smtp.mails).toHaveLength(toAda + 1);
}

it('a process that is killed after it has recorded a mail as sent does not cause a second one', async () => {
  const child = launch();
  if (child.stdout === null) throw new Error('the process has no output');
  expect(String((await once(child.stdout, 'data'))[0])).toBe('done\n');
  await kill(child);
  const resumed = await resume();
  await resumed.world.clock.advance(2 * LOST_MS);
  await expectMails(resumed, 1);
});

it('a process that is killed before the server has the message loses no mail, and sends none twice', async () => {
  const reached = Promise.withResolvers<void>();
  onRecipient = () => {
    reached.resolve();
    return 'silence';
  };
  const child = launch();
  await reached.promise;
  await kill(child);
  expect(smtp.mails).toEqual([]);
  const resumed = await resume();
  await resumed.world.clock.advance(LOST_MS);
  await recorded(resumed.world);
  await resumed.world.clock.advance(2 * LOST_MS);
  await expectMails(resumed, 1);
});

it('a process that is killed between the message and the answer sends it again, once, with the same Message-ID', async () => {
  const reached = Promise.withResolvers<void>();
  onMessage = () => {
    reached.resolve();
    return 'silence';
  };
  const child = launch();
  await reached.promise;
  await kill(child);
  const resumed = await resume();
  await resumed.world.clock.advance(LOST_MS - 1);
  expect(smtp.mails).toHaveLength(1);
  await resumed.world.clock.advance(1);
  await recorded(resumed.world);
  await resumed.world.clock.advance(2 * LOST_MS);
  await expectMails(resumed, 2);
  const [first, second] = smtp.mails;
  expect(second?.messageId).toBe(first?.messageId);
  expect(second?.text).toBe(first?.text);
});
