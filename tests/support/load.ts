import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Person } from '../../examples/two-people.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { ask } from './asking.ts';
import type { Server } from './server.ts';

/** Between two messages of one writer, in ms: the stores are to be put to the test, not the machine. */
const BREATH_MS = 20;
/** A message that was not taken by then fails the test, in ms. */
const PATIENCE_MS = 60_000;

/** Who writes, and to which node. */
export type Writer = Readonly<{ node: Server; who: Person }>;

/** So many groups of these people. */
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

/** Messages that are written all the time, each to one of the groups, and told apart by their content. */
export type Load = Readonly<{
  /** The conversations of the messages that were acknowledged. */
  acknowledged: ReadonlyMap<string, string>;
  /** Those that may be there once: the node did not know, and they were not sent again. */
  uncertain: ReadonlySet<string>;
  /** Refusals so far, by their code. */
  refusals: ReadonlyMap<string, number>;
  /** Position of the last acknowledged one. */
  position(): string;
  /** Resolves once so many more were acknowledged than now. */
  more(count: number): Promise<void>;
  /** Begins no new ones, and resolves once each is acknowledged or given up. */
  stop(): Promise<void>;
}>;

/**
 * What a client does about a 503, which must say when to try again:
 * - send the message again under the id that it made for it, or with the same `Idempotency-Key`, until it is taken;
 * - give it up, which is certain when the answer was that nothing was written. It made an id, or left that to the server.
 */
const MANNERS = [
  { hasId: true, hasKey: false, repeats: true },
  { hasId: true, hasKey: false, repeats: false },
  { hasId: false, hasKey: true, repeats: true },
  { hasId: false, hasKey: false, repeats: false },
] as const;

type Manner = (typeof MANNERS)[number];

/** Each writer sends one message after the other, and one in four of them in each of the manners there are. */
export function startLoad(writers: readonly Writer[], groups: readonly string[]): Load {
  const acknowledged = new Map<string, string>();
  const uncertain = new Set<string>();
  const refusals = new Map<string, number>();
  const watching = new Set<() => void>();
  let going = true;
  let begun = 0;
  let position = '';

  async function write({ node, who }: Writer, { hasId, hasKey, repeats }: Manner): Promise<void> {
    const content = uuidv7(Date.now());
    const conversationId = groups[begun++ % groups.length] ?? '';
    const path = `/api/v1/conversations/${conversationId}/messages`;
    const body = hasId ? { content, messageId: content } : { content };
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const { status, retryAfterS, answer } = await ask(node, who, 'POST', path, body, hasKey ? content : undefined);
      if (status === 202) {
        acknowledged.set(content, conversationId);
        if (String(answer.position) > position) position = String(answer.position);
        for (const look of watching) look();
        return;
      }
      const code = String(answer.code);
      expect({ status, code }).toEqual({ status: 503, code: expect.stringMatching(/^(unavailable|outcome-unknown)$/) });
      expect(retryAfterS).toBeGreaterThanOrEqual(1);
      refusals.set(code, (refusals.get(code) ?? 0) + 1);
      if (code === 'outcome-unknown' && !repeats) uncertain.add(content);
      await pause(Number(retryAfterS) * 1_000);
      if (!repeats) return;
      if (Date.now() >= deadline) throw new Error(`message ${content} was not taken: ${JSON.stringify(answer)}`);
    }
  }

  const writing = Promise.all(
    writers.map(async (writer, i) => {
      while (going) {
        await write(writer, MANNERS[i % MANNERS.length] ?? MANNERS[0]);
        await pause(BREATH_MS);
      }
    }),
  );
  // It is told to whoever waits for more, and at the end.
  writing.catch(() => {});

  return {
    acknowledged,
    uncertain,
    refusals,
    position: () => position,
    async more(count) {
      const wanted = acknowledged.size + count;
      const { promise: enough, resolve } = Promise.withResolvers<void>();
      const look = (): void => {
        if (acknowledged.size >= wanted) resolve();
      };
      watching.add(look);
      await Promise.race([enough, writing]);
      watching.delete(look);
    },
    async stop() {
      going = false;
      await writing;
    },
  };
}

type Line = Readonly<{ content: unknown; seq: unknown }>;

/**
 * Every acknowledged message is there once, and none that was refused: in the log, in sequence without gaps, and the read model shows the same.
 * @param reader a member of all groups, and a node
 */
export async function isKept(
  { acknowledged, uncertain }: Pick<Load, 'acknowledged' | 'uncertain'>,
  groups: readonly string[],
  log: EventStore,
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

async function loggedMessages(log: EventStore, conversationId: string): Promise<Line[]> {
  const lines: Line[] = [];
  for (let from = 0n, end = false; !end; ) {
    const slice = await log.readStream(`conversation-${conversationId}`, { from, limit: 4_096 });
    for (const { type, data } of slice.events)
      if (type === 'MessageSent') lines.push({ content: data.content, seq: data.seq });
    from = (slice.events.at(-1)?.revision ?? from) + 1n;
    end = slice.end;
  }
  return lines;
}

async function shownMessages({ node, who }: Writer, conversationId: string): Promise<Line[]> {
  const lines: Line[] = [];
  for (let after: unknown = 0; after !== null; ) {
    const path = `/api/v1/conversations/${conversationId}/messages?limit=100&after=${after}`;
    const { status, answer } = await ask(node, who, 'GET', path);
    expect(status).toBe(200);
    for (const { content, seq } of answer.items as Line[]) lines.push({ content, seq });
    after = answer.next;
  }
  return lines;
}
