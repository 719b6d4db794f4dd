import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkInOutbox, type Person, signUp } from '../../examples/two-people.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { freePort, type Server, startServer } from '../support/server.ts';
import { openMemoryStores, SERVER_SECRET, system } from '../support/stores.ts';

/** At most so many rounds, and at most this long, in ms. */
const ROUNDS = 200;
const BUDGET_MS = process.env.CI ? 60_000 : 20_000;
const GROUPS = 5;
const WRITERS = 16;

let dataDir: string;
let env: Record<string, string>;
let server: Server;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'parley-'));
  const free = '1000000/s burst 1000000';
  const limits = { RATE_LIMIT_USER: free, RATE_LIMIT_MESSAGE: free, RATE_LIMIT_ADDRESS: free };
  env = { PORT: String(await freePort()), DATA_DIR: dataDir, PARLEY_SECRET: SERVER_SECRET, ...limits };
  server = await startServer(env);
});

afterAll(async () => {
  await server.kill();
  await rm(dataDir, { recursive: true });
});

/** A message that was sent, possibly more than once, and whether it was acknowledged. */
type Sent = { conversationId: string; messageId: string; acknowledged: boolean };

async function ask(
  method: string,
  path: string,
  person: Person,
  body?: object,
): Promise<{ status: number; answer: Record<string, unknown> }> {
  const headers: Record<string, string> = { authorization: `Bearer ${person.accessToken}` };
  if (body !== undefined) headers['content-type'] = 'application/json';
  const response = await fetch(new URL(path, server.url), {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

/** Sends messages until the server has ended. The first one is a message without an answer, sent again with its id, as a client does. */
async function writeUntilKilled(ann: Person, groups: readonly string[], sent: Sent[]): Promise<void> {
  for (let n = 0; ; n++) {
    const open = n === 0 ? sent.findLast(({ acknowledged }) => !acknowledged) : undefined;
    const conversationId = groups[Math.floor(Math.random() * GROUPS)] ?? '';
    const message = open ?? { conversationId, messageId: system.random.uuid(system.clock.now()), acknowledged: false };
    if (open === undefined) sent.push(message);
    const { messageId } = message;
    const path = `/api/v1/conversations/${message.conversationId}/messages`;
    try {
      const { status } = await ask('POST', path, ann, { content: `message ${messageId}`, messageId });
      if (status !== 202) return;
      message.acknowledged = true;
    } catch {
      // The server was killed. Whether this message was stored is unknown.
      return;
    }
  }
}

it(
  'after kills at random times under load, every acknowledged message is stored once, in sequence, in the log and the read model',
  async () => {
    const linkFor = (email: string) => linkInOutbox(join(dataDir, 'outbox'), email);
    const ann = await signUp({ url: server.url, linkFor, report: () => {} }, 'ann');
    const groups: string[] = [];
    for (let i = 0; i < GROUPS; i++) {
      const { answer } = await ask('POST', '/api/v1/conversations', ann, { name: `group ${i}` });
      groups.push(String(answer._id));
    }

    const sent: Sent[] = [];
    const end = Date.now() + BUDGET_MS;
    let rounds = 0;
    for (; rounds < ROUNDS && Date.now() < end; rounds++) {
      const writers = Array.from({ length: WRITERS }, () => writeUntilKilled(ann, groups, sent));
      // Only the time of the kill is random.
      await pause(20 + Math.random() * 400);
      await server.kill();
      await Promise.all(writers);
      server = await startServer(env);
    }
    const acknowledged = sent.filter((message) => message.acknowledged);
    console.log(`killed ${rounds} times; ${acknowledged.length} of ${sent.length} messages acknowledged`);
    expect(acknowledged.length).toBeGreaterThan(rounds);

    const shown = new Map<string, { _id: string; seq: number }[]>();
    for (const id of groups) shown.set(id, await readAll(ann, id));
    await server.stop();

    const stores = await openMemoryStores({ folder: dataDir });
    for (const id of groups) {
      const logged = await readLog(stores.log, id);
      expect(logged.map(({ seq }) => seq)).toEqual(logged.map((_, i) => i + 1));
      expect(new Set(logged.map(({ _id }) => _id)).size).toBe(logged.length);
      const expected = acknowledged
        .filter(({ conversationId }) => conversationId === id)
        .map(({ messageId }) => messageId);
      const ids = new Set(logged.map(({ _id }) => _id));
      expect(expected.filter((messageId) => !ids.has(messageId))).toEqual([]);
      expect(shown.get(id)).toEqual(logged);
    }
    await stores.close();
    server = await startServer(env);
  },
  BUDGET_MS + 120_000,
);

/** All messages of a conversation from the log, each with its own content. */
async function readLog(log: EventLog, id: string): Promise<{ _id: unknown; seq: unknown }[]> {
  const logged: { _id: unknown; seq: unknown }[] = [];
  for (let from = 0n, end = false; !end; ) {
    const slice = await log.readStream(`conversation-${id}`, { from, limit: 4_096 });
    for (const { type, data } of slice.events)
      if (type === 'MessageSent') {
        expect(data.content).toBe(`message ${data.messageId}`);
        logged.push({ _id: data.messageId, seq: data.seq });
      }
    from += BigInt(slice.events.length);
    end = slice.end;
  }
  return logged;
}

/** All messages of a conversation from the read model, oldest first, once it has reached the latest event of the conversation. */
async function readAll(ann: Person, id: string): Promise<{ _id: string; seq: number }[]> {
  const { answer: last } = await ask('POST', `/api/v1/conversations/${id}/members`, ann, {
    participant_id: ann.userId,
  });
  const messages: { _id: string; seq: number }[] = [];
  let before = '';
  for (;;) {
    const path = `/api/v1/conversations/${id}/messages?limit=100&minPosition=${last.position}${before}`;
    const { answer } = await ask('GET', path, ann);
    for (const { _id, seq } of answer.items as { _id: string; seq: number }[]) messages.unshift({ _id, seq });
    if (answer.next === null) return messages;
    before = `&before=${encodeURIComponent(String(answer.next))}`;
  }
}
