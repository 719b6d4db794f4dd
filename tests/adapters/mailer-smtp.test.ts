import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { Mailer } from '../../src/ports/mailer.ts';
import { mailerContract } from '../contracts/mailer.ts';
import { manualClock } from '../support/manual-clock.ts';
import { service } from '../support/services.ts';
import { type MessagePolicy, type RecipientPolicy, type SmtpAnswer, startSmtpServer } from '../support/smtp.ts';

service('SMTP server in the test');

const clock = createSystemClock();
const from = 'Parley <no-reply@parley.test>';

mailerContract('SMTP', async () => {
  const server = await startSmtpServer();
  return {
    mailer: createSmtpMailer({ url: server.url, from, clock }),
    received: async () => server.mails,
    stop: server.close,
  };
});

describe('the SMTP mailer', () => {
  const mail = { messageId: '<m@parley.test>', to: 'ada@example.test', subject: 's', text: 't', html: '<p>t</p>' };
  const closers: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  function mailer(url: string, sendMs?: number): Mailer {
    const created = createSmtpMailer({ url, from, clock, ...(sendMs === undefined ? {} : { sendMs }) });
    closers.push(() => created.close());
    return created;
  }

  async function against(policy: RecipientPolicy, sendMs?: number, messagePolicy?: MessagePolicy): Promise<Mailer> {
    const server = await startSmtpServer(policy, messagePolicy);
    closers.push(server.close);
    return mailer(server.url, sendMs);
  }

  it('reports a permanent rejection (5xx), without the text of the server, which may contain the recipient', async () => {
    const error: unknown = await (await against(() => 550)).send(mail).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ permanent: true, message: 'the mail server answered 550 5.1.1 to RCPT TO' });
    expect(inspect(error, { depth: 10 })).not.toContain('not this one');
  });

  it('reports a temporary rejection (4xx)', async () => {
    await expect((await against(() => 451)).send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it('continues with other mails after a rejection', async () => {
    const server = await startSmtpServer((address) => (address === mail.to ? 550 : 'take'));
    closers.push(server.close);
    const sender = mailer(server.url);
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: true });
    await sender.send({ ...mail, to: 'bob@example.test' });
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([['bob@example.test']]);
  });

  it('reports a server that cannot be reached as a temporary failure', async () => {
    const server = await startSmtpServer();
    await server.close();
    await expect(mailer(server.url).send(mail)).rejects.toMatchObject({
      permanent: false,
      message: 'the mail server could not be used (ECONNREFUSED)',
    });
  });

  it('gives up on a server that stops responding', async () => {
    const sender = await against(() => 'silence', 200);
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it.each(['a recipient', 'a message'])('reports a server that drops the connection after %s', async (what) => {
    const drop = (asked: string) => (): SmtpAnswer => (asked === what ? 'drop' : 'take');
    const sender = await against(drop('a recipient'), undefined, drop('a message'));
    await expect(sender.send(mail)).rejects.toMatchObject({
      permanent: false,
      message: expect.stringMatching(/^the mail server could not be used \((ECONNRESET|ECONNECTION|ESOCKET)\)$/),
    });
  });

  it('continues with other mails after the server has dropped a connection', async () => {
    let isFirst = true;
    const server = await startSmtpServer(() => {
      if (!isFirst) return 'take';
      isFirst = false;
      return 'drop';
    });
    closers.push(server.close);
    const sender = mailer(server.url);
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: false });
    await sender.send(mail);
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([[mail.to]]);
  });

  it('gives up on a server that does not answer to the message', async () => {
    const sender = await against(
      () => 'take',
      200,
      () => 'silence',
    );
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it.each([
    [554, true],
    [452, false],
  ] as const)('reports the rejection of a message with %i', async (code, permanent) => {
    const sender = await against(
      () => 'take',
      undefined,
      () => code,
    );
    await expect(sender.send(mail)).rejects.toMatchObject({
      permanent,
      message: expect.stringMatching(new RegExp(`^the mail server answered ${code}`)),
    });
  });

  it('gives up on a mail after 30 s', async () => {
    const reached = Promise.withResolvers<void>();
    const server = await startSmtpServer(() => {
      reached.resolve();
      return 'silence';
    });
    closers.push(server.close);
    const manual = manualClock();
    const sender = createSmtpMailer({ url: server.url, from, clock: manual });
    closers.push(() => sender.close());
    let isSettled = false;
    const sending = sender.send(mail).finally(() => {
      isSettled = true;
    });
    const outcome = Promise.allSettled([sending]);
    await reached.promise;
    await manual.advance(29_999);
    expect(isSettled).toBe(false);
    await manual.advance(1);
    expect(await outcome).toMatchObject([
      { status: 'rejected', reason: { name: 'MailError', permanent: false, message: /could not be used/ } },
    ]);
  });

  it('gives up on a server that never sends a greeting', async () => {
    const { url, close } = await silentServer();
    closers.push(close);
    await expect(mailer(url, 200).send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it('reports wrong credentials as a temporary failure, which an operator can fix', async () => {
    const { url, close } = await refusingLogin();
    closers.push(close);
    await expect(mailer(url).send(mail)).rejects.toMatchObject({
      permanent: false,
      message: 'the mail server answered 535 to AUTH PLAIN',
    });
  });
});

async function silentServer(): Promise<{ url: string; close: () => Promise<void> }> {
  return serve(() => {});
}

async function refusingLogin(): Promise<{ url: string; close: () => Promise<void> }> {
  const { url, close } = await serve((socket) => {
    socket.write('220 here\r\n');
    socket.on('data', (data) => {
      const command = data.toString();
      if (command.startsWith('EHLO')) socket.write('250-here\r\n250 AUTH PLAIN\r\n');
      else socket.write('535 wrong\r\n');
    });
  });
  return { url: url.replace('smtp://', 'smtp://user:wrong@'), close };
}

async function serve(onSocket: (socket: Socket) => void): Promise<{ url: string; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `smtp://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
