import { onTestFinished } from 'vitest';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { Position } from '../../src/kernel/position.ts';
import type { EventLog, Subscribe } from '../../src/log/event-log.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { readPointers } from '../../src/projections/runner/generations.ts';
import {
  createProjections,
  type Projections,
  type ProjectionsOptions,
} from '../../src/projections/runner/projections.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { type AnyEvent, objectId, streamOf, time, uuid } from './support.ts';

export type World = MemoryStores &
  Readonly<{
    /** Appends, each event to its stream; returns the position of the last. */
    append(...events: readonly AnyEvent[]): Promise<Position>;
    /** Destroys a person's key and appends the erasure; returns its position. */
    erase(userId: number): Promise<Position>;
    /** A node on these stores, which is started unless `start` is false; closed at the end of the test. */
    node(options?: Partial<ProjectionsOptions> & Readonly<{ start?: boolean }>): Projections;
  }>;

/** An empty log and documents in memory. */
export async function openWorld(): Promise<World> {
  const stores = await openMemoryStores();
  const { log, documents, personalKeys } = stores;
  onTestFinished(stores.close);
  let appended = 0;
  const append: World['append'] = async (...list) => {
    const metadata = { actor: null, correlationId: uuid(0), causationId: null, commandId: uuid(0) };
    const encoded = await Promise.all(
      list.map(async (event) => {
        const added: NewEvent = { ...event, id: uuid(++appended), metadata };
        return { stream: streamOf(event), events: await log.encode([added]) };
      }),
    );
    // Encoded beforehand, they are appended in this order.
    const all = await Promise.all(encoded.map(({ stream, events }) => log.append(stream, events, { expect: 'any' })));
    return all.at(-1)!.position;
  };
  return {
    ...stores,
    append,
    async erase(userId) {
      await personalKeys.destroy(objectId(userId));
      return append(erased(userId));
    },
    node({ start = true, ...options } = {}) {
      const node = createProjections({
        ...system,
        log,
        documents,
        projections: catalogue,
        node: 'node',
        run: true,
        ...options,
      });
      // Before the stores are closed: hooks run in reverse order.
      onTestFinished(() => node.close());
      if (start) node.start();
      return node;
    },
  };
}

/** Waits until a condition holds; fails when that takes too long. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, deadlineMs = 30_000): Promise<void> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > deadlineMs) throw new Error(`waited too long until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits for a promise while time passes on these clocks, in steps of 10 ms. */
export async function passing<Result>(clocks: readonly ManualClock[], promise: Promise<Result>): Promise<Result> {
  let isSettled = false;
  const settled = promise.finally(() => {
    isSettled = true;
  });
  while (!isSettled) for (const clock of clocks) await clock.advance(10);
  return settled;
}

/** Lets so many ms pass on a clock, in steps that are short enough for what happens meanwhile. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) await clock.advance(Math.min(50, ms - passed));
}

export const ALL = catalogue.map(({ name }) => name);

/** Longer than anything that a test waits for takes, in ms. */
export const PATIENCE = 30_000;

export const registered = (
  n: number,
  names: { username: string; firstname: string | null; lastname: string | null },
): AnyEvent => ({
  type: 'UserRegistered',
  data: { userId: objectId(n), email: `u${n}@example.org`, ...names, registeredAt: time(0) },
});

export const activated = (n: number): AnyEvent => ({
  type: 'PasswordSet',
  data: { userId: objectId(n), linkId: uuid(1), passwordHash: 'hash', setAt: time(1) },
});

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

export const erased = (userId: number): AnyEvent => ({
  type: 'UserErased',
  data: { userId: objectId(userId), erasedAt: time(60) },
});

/** Counts messages by conversation. `count` decides what is written, and may throw. */
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

/** The log, whose subscriptions (those with a filter, or all) deliver nothing until `release`: a rebuild that takes as long as a test wants. */
export function held(log: EventLog, which: 'filtered' | 'all' = 'filtered') {
  const released = Promise.withResolvers<void>();
  let asked = 0;
  const subscribe = async function* (options: Subscribe) {
    if (which === 'all' || options.filter !== undefined) {
      asked++;
      options.signal?.addEventListener('abort', () => released.resolve());
      await released.promise;
    }
    yield* log.subscribe(options);
  };
  return { log: { ...log, subscribe }, release: () => released.resolve(), asked: () => asked };
}

/** Which generations of a projection there are. */
export const pointerOf = async ({ documents }: World, name = 'counter') =>
  (await readPointers(documents, [name])).get(name);

/** What a node reads as the counter's document of a conversation. */
export const countBody = async (node: Projections, n = 1) =>
  (await node.readModels.get('counter/counts', objectId(n)))?.body;

/** So many messages of one conversation. */
export const manySent = (many: number, from = 1) => Array.from({ length: many }, (_, i) => sent(1, from + i, 1));
