import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/smtp/smtp-mailer.ts';
import type { Mailer } from '../../src/ports/mailer.ts';
import { mailerContract } from '../contracts/mailer.ts';
import { service } from '../support/services.ts';
import { type RecipientPolicy, startSmtpServer } from '../support/smtp.ts';

service('SMTP server in the test');

const from = 'Parley <no-reply@parley.test>';

mailerContract('SMTP', async () => {
  const server = await startSmtpServer();
  return {
    mailer: createSmtpMailer({ url: server.url, from }),
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
    const created = createSmtpMailer({ url, from, ...(sendMs === undefined ? {} : { sendMs }) });
    closers.push(() => created.close());
    return created;
  }

  async function against(policy: RecipientPolicy, sendMs?: number): Promise<Mailer> {
    const server = await startSmtpServer(policy);
    closers.push(server.close);
    return mailer(server.url, sendMs);
  }

  it('tells a refusal for good (5xx) apart, without the words of the server, which may name the recipient', async () => {
    const error: unknown = await (await against(() => 550)).send(mail).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ permanent: true, message: 'the mail server answered 550 5.1.1 to RCPT TO' });
    expect(inspect(error, { depth: 10 })).not.toContain('not this one');
  });

  it('tells a refusal for now (4xx) apart', async () => {
    await expect((await against(() => 451)).send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it('goes on with others after one was refused', async () => {
    const server = await startSmtpServer((address) => (address === mail.to ? 550 : 'take'));
    closers.push(server.close);
    const sender = mailer(server.url);
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: true });
    await sender.send({ ...mail, to: 'bob@example.test' });
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([['bob@example.test']]);
  });

  it('holds a server that is not there for a fault that passes', async () => {
    const server = await startSmtpServer();
    await server.close();
    await expect(mailer(server.url).send(mail)).rejects.toMatchObject({
      permanent: false,
      message: 'the mail server could not be used (ECONNREFUSED)',
    });
  });

  it('gives up on a server that falls silent within its time', async () => {
    const sender = await against(() => 'silence', 200);
    await expect(sender.send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it('gives up on a server that never greets within its time', async () => {
    const { url, close } = await silentServer();
    closers.push(close);
    await expect(mailer(url, 200).send(mail)).rejects.toMatchObject({ permanent: false });
  });

  it('holds wrong credentials for a fault that an operator can mend', async () => {
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
      const said = data.toString();
      if (said.startsWith('EHLO')) socket.write('250-here\r\n250 AUTH PLAIN\r\n');
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
