import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { goLive, readBack, type Scene, signIn, signUp, talk } from '../../examples/two-people.ts';
import { freePort, type Server, startServer } from '../support/server.ts';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';

let smtp: TestSmtpServer;
let dataDir: string;
let server: Server;
let env: Record<string, string>;

beforeAll(async () => {
  smtp = await startSmtpServer();
  dataDir = await mkdtemp(join(tmpdir(), 'parley-'));
  env = { PORT: String(await freePort()), DATA_DIR: dataDir, SMTP_URL: smtp.url };
  server = await startServer(env);
});

afterAll(async () => {
  await server.stop();
  await smtp.close();
  await rm(dataDir, { recursive: true });
});

async function linkFor(email: string): Promise<string> {
  const mail = await smtp.waitForMail(email);
  const [link] = /https?:\/\/\S+\/set-password\?token=\S+/.exec(mail.text) ?? [];
  if (link === undefined) throw new Error(`no link in: ${mail.text}`);
  return link;
}

async function post(url: string, path: string, token: string, content: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  return fetch(new URL(path, url), { method: 'POST', headers, body: JSON.stringify({ content }) });
}

it('two people sign up by mail, write to each other over HTTP and WebSocket, and read their messages after kill -9', async () => {
  const scene: Scene = { url: server.url, linkFor, report: () => {} };
  const ann = await signUp(scene, 'ann');
  const bob = await signUp(scene, 'bob');
  const { resumeAfter } = await talk(scene, ann, bob);

  const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${ann.userId}`;
  const sent = await post(scene.url, path, bob.accessToken, 'Are you still there?');
  expect(sent.status).toBe(202);
  await server.kill();
  server = await startServer(env);

  const { position } = (await sent.json()) as { position: string };
  const whole = ['Hello Bob, do you hear me?', 'Loud and clear, Ann.', 'Are you still there?'];
  expect(await readBack(scene, ann, bob, position)).toEqual(whole);

  // Ann receives the message that she missed: the token and the frame id are valid after the restart.
  const annLive = await goLive(scene, ann, resumeAfter);
  await annLive.message((content) => content === 'Are you still there?');

  const again = await signIn(scene, ann);
  const bobLive = await goLive(scene, bob);
  await post(scene.url, path.replace(ann.userId, bob.userId), again.accessToken, 'I am.');
  await bobLive.message((content) => content === 'I am.');
  await annLive.message((content) => content === 'I am.');
  annLive.close();
  bobLive.close();
});

it('SIGTERM stops the server gracefully, and it is ready again after the next start', async () => {
  expect(await server.stop()).toBe(0);
  server = await startServer(env);
  await expect.poll(async () => (await fetch(new URL('/readyz', server.url))).status, { timeout: 30_000 }).toBe(200);
});
