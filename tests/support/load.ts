import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Person } from '../../examples/two-people.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { ask } from './asking.ts';
import type { Server } from './server.ts';
import { system } from './stores.ts';

/** Pause between two messages of one writer, in ms: the stores are tested, not the machine. */
const PAUSE_MS = 20;
/** A message that was not accepted after this time, in ms, fails the test. */
const PATIENCE_MS = 60_000;

/** A user who writes, and the node to which their requests go. */
export type Writer = Readonly<{ node: Server; who: Person }>;

/** Creates groups of these people. */
export async function createGroups(
  { node, who }: Writer,
  count: number,
  others: readonly Person[],
): Promise<readonly string[]> {
  const participants = others.map(({ userId }) => userId);
  const groups: string[] = [];
  for (let i = 0; i < count; i++) {
    const { answer } = await ask(node, who, 'POST', '/api/v1/conversations', { name: `group ${i}`, participants });
    groups.push(String(answer._id));
  }
  return groups;
}

/** Messages that are sent until the load is stopped, each to one of the groups and with a content of its own. */
export type Load = Readonly<{
  /** The contents of the acknowledged messages, with their conversations. */
  acknowledged: ReadonlyMap<string, string>;
  /** Contents of messages that may be stored once: their outcome was unknown, and they were not sent again. */
  uncertain: ReadonlySet<string>;
  /** Refusals so far, by their code. */
  refusals: ReadonlyMap<string, number>;
  /** Position of the last acknowledged message. */
  position(): string;
  /** Resolves once so many further messages were acknowledged. */
  more(count: number): Promise<void>;
  /** Sends no new messages, and resolves once each is acknowledged or given up. */
  stop(): Promise<void>;
}>;

/**
 * How a client handles a 503, which must have a `Retry-After`:
 * - it sends the message again with the id that it made, or with the same `Idempotency-Key`, until it is accepted;
 * - or it gives the message up. When the answer was `unavailable`, nothing was written. The id was made by the client or by the server.
 */
const RETRIES = [
  { hasId: true, hasKey: false, repeats: true },
  { hasId: true, hasKey: false, repeats: false },
  { hasId: false, hasKey: true, repeats: true },
  { hasId: false, hasKey: false, repeats: false },
] as const;

type Retry = (typeof RETRIES)[number];

/** Each writer sends one message after the other. The ways to handle a 503 are distributed evenly among the writers. */
export function startLoad(writers: readonly Writer[], groups: readonly string[]): Load {
  const acknowledged = new Map<string, string>();
  const uncertain = new Set<string>();
  const refusals = new Map<string, number>();
  const watching = new Set<() => void>();
  let isRunning = true;
  let begun = 0;
  let position = '';

  async function write({ node, who }: Writer, { hasId, hasKey, repeats }: Retry): Promise<void> {
    const content = system.random.uuid(system.clock.now());
    const conversationId = groups[begun++ % groups.length] ?? '';
    const path = `/api/v1/conversations/${conversationId}/messages`;
    const body = hasId ? { content, messageId: content } : { content };
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const { status, retryAfterS, answer } = await ask(node, who, 'POST', path, body, hasKey ? content : undefined);
      if (status === 202) {
        acknowledged.set(content, conversationId);
        if (String(answer.position) > position) position = String(answer.position);
        for (const check of watching) check();
        return;
      }
      const code = String(answer.code);
      expect({ status, code }).toEqual({ status: 503, code: expect.stringMatching(/^(unavailable|outcome-unknown)$/) });
      expect(retryAfterS).toBeGreaterThanOrEqual(1);
      refusals.set(code, (refusals.get(code) ?? 0) + 1);
      if (code === 'outcome-unknown' && !repeats) uncertain.add(content);
      await pause(Number(retryAfterS) * 1_000);
      if (!repeats) return;
      if (Date.now() >= deadline) throw new Error(`message ${content} was not accepted: ${JSON.stringify(answer)}`);
    }
  }

  const writing = Promise.all(
    writers.map(async (writer, i) => {
      while (isRunning) {
        await write(writer, RETRIES[i % RETRIES.length] ?? RETRIES[0]);
        await pause(PAUSE_MS);
      }
    }),
  );
  // The error is thrown by `more` and `stop`.
  writing.catch(() => {});

  return {
    acknowledged,
    uncertain,
    refusals,
    position: () => position,
    async more(count) {
      const wanted = acknowledged.size + count;
      const { promise: enough, resolve } = Promise.withResolvers<void>();
      const check = (): void => {
        if (acknowledged.size >= wanted) resolve();
      };
      watching.add(check);
      await Promise.race([enough, writing]);
      watching.delete(check);
    },
    async stop() {
      isRunning = false;
      await writing;
    },
  };
}

type ShownMessage = Readonly<{ content: unknown; seq: unknown }>;

/**
 * Expects every acknowledged message once in the log, no refused one, and sequences without gaps; and the same in the read model.
 * @param reader a member of all groups, with the node to read from
 */
export async function expectStored(
  { acknowledged, uncertain }: Pick<Load, 'acknowledged' | 'uncertain'>,
  groups: readonly string[],
  log: EventLog,
  reader: Writer,
): Promise<void> {
  for (const id of groups) {
    const logged = await loggedMessages(log, id);
    expect(logged.map(({ seq }) => seq)).toEqual(logged.map((_, i) => i + 1));
    const contents = logged.map(({ content }) => String(content));
    expect(new Set(contents).size).toBe(contents.length);
    const wanted = [...acknowledged].filter(([, conversationId]) => conversationId === id).map(([content]) => content);
    expect(contents.filter((content) => !uncertain.has(content)).toSorted()).toEqual(wanted.toSorted());
    expect(await shownMessages(reader, id)).toEqual(logged);
  }
}

async function loggedMessages(log: EventLog, conversationId: string): Promise<ShownMessage[]> {
  const messages: ShownMessage[] = [];
  for (let from = 0n, end = false; !end; ) {
    const slice = await log.readStream(`conversation-${conversationId}`, { from, limit: 4_096 });
    for (const { type, data } of slice.events)
      if (type === 'MessageSent') messages.push({ content: data.content, seq: data.seq });
    from = (slice.events.at(-1)?.revision ?? from) + 1n;
    end = slice.end;
  }
  return messages;
}

async function shownMessages({ node, who }: Writer, conversationId: string): Promise<ShownMessage[]> {
  const messages: ShownMessage[] = [];
  for (let after: unknown = 0; after !== null; ) {
    const path = `/api/v1/conversations/${conversationId}/messages?limit=100&after=${after}`;
    const { status, answer } = await ask(node, who, 'GET', path);
    expect(status).toBe(200);
    for (const { content, seq } of answer.items as ShownMessage[]) messages.push({ content, seq });
    after = answer.next;
  }
  return messages;
}
