/**
 * Two people sign up by mail, set a password, sign in, and write to each other over HTTP and WebSocket.
 *
 * Run it against a server that was started with `npm start`:
 *
 *     npm run example
 *
 * Without `SMTP_URL` the server writes mails to `data/outbox/`, and this script reads the links from there.
 * `PARLEY_URL` is the URL of the server (default: http://localhost:3000), `DATA_DIR` its data directory (default: ./data).
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The URL of the server, a function that finds a mailed link, and a function that reports progress. */
export type Scene = Readonly<{
  url: string;
  linkFor: (email: string) => Promise<string>;
  report: (line: string) => void;
}>;

/** A signed-in user. */
export type Person = Readonly<{ name: string; userId: string; accessToken: string; password: string; email: string }>;

type Answer = Readonly<Record<string, unknown>>;

/** Sends a request. Throws for an error status, with the response body in the message. */
async function ask(
  url: string,
  method: string,
  path: string,
  options: { token?: string; body?: object; wait?: string } = {},
) {
  const response = await fetch(new URL(path, url), {
    method,
    headers: {
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      // Waits until the read model has reached this position, so that the response includes what was just written.
      ...(options.wait === undefined ? {} : { 'min-position': options.wait }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === '' ? {} : JSON.parse(text)) as Answer;
}

/** Signs up, sets a password with the token of the mailed link, and signs in. */
export async function signUp(scene: Scene, name: string): Promise<Person> {
  const { url, report } = scene;
  const suffix = Math.random().toString(36).slice(2, 8);
  const email = `${name}.${suffix}@example.org`;
  const password = `correct horse ${suffix} staple`;

  await ask(url, 'POST', '/api/v1/users', { body: { email, username: `${name}.${suffix}`, firstname: name } });
  const link = new URL(await scene.linkFor(email));
  report(`${name} signed up and got a mail with a link`);

  const token = link.searchParams.get('token');
  await ask(url, 'POST', '/api/v1/passwords', { body: { token, password, confirmPassword: password } });
  return signIn(scene, { name, email, password });
}

/** Signs in with the password. */
export async function signIn(scene: Scene, who: Pick<Person, 'name' | 'email' | 'password'>): Promise<Person> {
  const { email, password } = who;
  const session = await ask(scene.url, 'POST', '/api/v1/sessions', { body: { email, password } });
  const user = session.user as { _id: string };
  scene.report(`${who.name} signed in`);
  return { ...who, userId: user._id, accessToken: String(session.accessToken) };
}

/** An authenticated live connection. */
export type Live = Readonly<{
  /** Sends a message and resolves with its ack. The message is durable from then on. */
  send: (otherUserId: string, content: string) => Promise<Answer>;
  /** Resolves with the next message whose content matches. */
  message: (fits: (content: string) => boolean) => Promise<Answer>;
  /** The id of the last frame, to resume from. */
  last: () => string;
  close: () => void;
}>;

/** Opens the WebSocket. With `after`, the frames since that frame id are sent first. */
export async function goLive(scene: Scene, person: Person, after?: string): Promise<Live> {
  const socket = new WebSocket(new URL('/api/v1/live', scene.url.replace(/^http/, 'ws')));
  const frames: Answer[] = [];
  const waiting = new Set<() => void>();
  let last = after ?? '';
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as Answer;
    if (typeof frame.id === 'string' && 'event' in frame) last = frame.id;
    frames.push(frame);
    for (const look of waiting) look();
  });

  /** Resolves with the first matching frame, received already or within 10 s. */
  const frame = (fits: (frame: Answer) => boolean): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${person.name} did not receive the expected frame`)), 10_000);
      const look = () => {
        const found = frames.findIndex(fits);
        if (found === -1) return;
        clearTimeout(timer);
        waiting.delete(look);
        resolve(frames.splice(found, 1)[0] ?? {});
      };
      waiting.add(look);
      look();
    });

  let count = 0;
  const request = async (body: object): Promise<Answer> => {
    const id = `c${++count}`;
    socket.send(JSON.stringify({ ...body, id }));
    const ack = await frame((candidate) => candidate.type === 'ack' && candidate.id === id);
    if (ack.ok !== true) throw new Error(`refused: ${JSON.stringify(ack.problem)}`);
    return ack;
  };

  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', () => reject(new Error('the live connection failed')), { once: true });
  });
  await request({ type: 'auth', token: person.accessToken, ...(after === undefined ? {} : { after }) });
  return {
    send: (otherUserId, content) => request({ type: 'send', otherUserId, content }),
    message: (fits) =>
      frame(({ event, payload }) => {
        const { message } = (payload ?? {}) as { message?: { content: string } };
        return event === 'message:sent' && fits(message?.content ?? '');
      }),
    last: () => last,
    close: () => socket.close(),
  };
}

/** One user writes over HTTP, the other over WebSocket, and each receives the other's message live. */
export async function talk(scene: Scene, ann: Person, bob: Person): Promise<{ position: string; resumeAfter: string }> {
  const { url, report } = scene;
  const annLive = await goLive(scene, ann);
  const bobLive = await goLive(scene, bob);

  const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`;
  await ask(url, 'POST', path, { token: ann.accessToken, body: { content: 'Hello Bob, do you hear me?' } });
  await bobLive.message((content) => content.startsWith('Hello Bob'));
  report('ann wrote over HTTP, and bob saw it live');

  const ack = await bobLive.send(ann.userId, 'Loud and clear, Ann.');
  await annLive.message((content) => content.startsWith('Loud and clear'));
  report('bob answered over WebSocket, and ann saw it live');

  const resumeAfter = annLive.last();
  annLive.close();
  bobLive.close();
  return { position: String(ack.position), resumeAfter };
}

/** Reads the messages of the two users from the read model, oldest first. */
export async function readBack(scene: Scene, reader: Person, other: Person, position: string): Promise<string[]> {
  const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${other.userId}`;
  const { items } = await ask(scene.url, 'GET', path, { token: reader.accessToken, wait: position });
  const contents = (items as { content: string }[]).map(({ content }) => content).reverse();
  scene.report(`${reader.name} reads back: ${contents.map((content) => `“${content}”`).join(', ')}`);
  return contents;
}

/** The link in the newest mail to an address, from the folder to which a server without SMTP writes its mails. */
export async function linkInOutbox(folder: string, email: string): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.eml')).sort();
    for (const name of names.reverse()) {
      const mail = (await readFile(join(folder, name), 'utf8')).replaceAll('=\r\n', '').replaceAll('=3D', '=');
      const link = /https?:\/\/[^\s"<>]+\/set-password\?token=[\w.-]+/.exec(mail);
      if (link !== null && mail.includes(`To: ${email}`)) return link[0];
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail to ${email} in ${folder}`);
}

if (import.meta.main) {
  const outbox = join(process.env.DATA_DIR ?? './data', 'outbox');
  const scene: Scene = {
    url: process.env.PARLEY_URL ?? 'http://localhost:3000',
    linkFor: (email) => linkInOutbox(outbox, email),
    report: (line) => console.log(`• ${line}`),
  };
  const ann = await signUp(scene, 'ann');
  const bob = await signUp(scene, 'bob');
  const { position } = await talk(scene, ann, bob);
  await readBack(scene, ann, bob, position);
  console.log('Done. Try it again after stopping the server with kill -9: everything acknowledged is still there.');
}
