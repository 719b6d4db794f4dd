// A process that sends the mail of a registration and is killed by its test: `mails.child.ts <data folder> <SMTP URL>`.
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import { createAccountMails } from '../../src/reactions/account-mails.ts';
import { PUBLIC_URL, registered, startNode } from '../identity/world.ts';
import { manualClock } from '../support/manual-clock.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import { start, until } from './world.ts';

const [folder = '', url = ''] = process.argv.slice(2);
// The clock stands still, so that the test knows when an attempt counts as lost.
const world = { ...(await openMemoryStores({ folder })), clock: manualClock() };
const node = await startNode(world);
const mailer = createSmtpMailer({ url, from: 'Parley <no-reply@parley.test>', clock: system.clock });
const accounts = node.identity.mailAccounts;
await start(world, createAccountMails({ accounts, mailer, publicUrl: PUBLIC_URL }), world.clock);
await registered(world, node);
await until('the mail is recorded as sent', async () => {
  return (await world.documents.count('mails', { status: 'done' }, 1)) === 1;
});
process.stdout.write('done\n');
// Until it is killed.
await new Promise(() => process.stdin.resume());
