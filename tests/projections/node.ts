import { onTestFinished } from 'vitest';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Position } from '../../src/kernel/position.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import {
  createProjections,
  type Projections,
  type ProjectionsOptions,
} from '../../src/projections/runner/projections.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { type AnyEvent, objectId, streamOf, time, uuid } from './support.ts';

export type World = Readonly<{
  events: EventStore;
  documents: DocumentStore;
  /** Appends, each event to its stream; gives the position of the last. */
  append(...events: readonly AnyEvent[]): Promise<Position>;
  /** A node on these stores; closed at the end of the test. */
  node(options?: Partial<ProjectionsOptions>): Projections;
}>;

/** A log and documents in memory, without anything in them. */
export async function openWorld(): Promise<World> {
  const events = await openSqliteEventStore({ path: ':memory:', registry: eventRegistry, logger: silentLogger });
  const documents = await openSqliteDocuments({ path: ':memory:', clock: Date, logger: silentLogger });
  onTestFinished(async () => {
    await events.close();
    await documents.close();
  });
  let appended = 0;
  return {
    events,
    documents,
    async append(...list) {
      const metadata = { actor: null, correlationId: uuid(0), causationId: null, commandId: uuid(0) };
      const all = list.map((event) => {
        const news = { ...event, id: uuid(++appended), metadata } as NewEvent;
        return events.append(streamOf(event), [news], { expect: 'any' });
      });
      return (await Promise.all(all)).at(-1)!.position;
    },
    node(options = {}) {
      const node = createProjections({
        events,
        documents,
        clock: createSystemClock(),
        logger: silentLogger,
        projections: catalogue,
        owner: 'node',
        run: true,
        ...options,
      });
      // Before the stores are closed: hooks run in reverse order.
      onTestFinished(() => node.close());
      node.start();
      return node;
    },
  };
}

/** Waits until something is so; fails when that takes too long. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string, deadlineMs = 10_000): Promise<void> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startedAt > deadlineMs) throw new Error(`waited too long until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export const ALL = catalogue.map(({ name }) => name);

/** Long enough for what will come, in ms. */
export const PATIENCE = 10_000;

export const created = (n: number, members: readonly number[]): AnyEvent => ({
  type: 'ConversationCreated',
  data: {
    conversationId: objectId(n),
    kind: 'group',
    name: `c${n}`,
    ownerId: objectId(members[0]!),
    members: members.map(objectId),
    createdAt: time(0),
  },
});

export const sent = (n: number, seq: number, senderId: number, content = `m${seq}`): AnyEvent => ({
  type: 'MessageSent',
  data: {
    conversationId: objectId(n),
    messageId: uuid(n * 10_000 + seq),
    seq,
    senderId: objectId(senderId),
    content,
    replyTo: null,
    mentions: [],
    sentAt: time(seq),
  },
});

export const added = (n: number, userId: number, joinedSeq: number): AnyEvent => ({
  type: 'MemberAdded',
  data: { conversationId: objectId(n), userId: objectId(userId), joinedSeq, addedAt: time(joinedSeq) },
});

export const removed = (n: number, userId: number): AnyEvent => ({
  type: 'MemberRemoved',
  data: { conversationId: objectId(n), userId: objectId(userId), reason: 'removed', removedAt: time(50) },
});

/** Counts messages by conversation; what it writes and when it fails is the test's to say. */
export const counter = (options: {
  name?: string;
  version?: number;
  count?: (content: string, before: number) => number | string;
}): Projection => ({
  name: options.name ?? 'counter',
  version: options.version ?? 1,
  collections: [{ name: 'counts', indexes: [] }],
  handles: ['MessageSent'],
  touches: ({ data }) => [{ collection: 'counts', id: String(data.conversationId) }],
  evolve(_ref, body, { data }) {
    const before = Number(body?.count ?? 0);
    return { count: options.count?.(String(data.content), before) ?? before + 1, version: options.version ?? 1 };
  },
});
