import { randomUUID } from 'node:crypto';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { marks } from '../../src/aggregates/marks/decider.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import type { Command } from '../../src/kernel/command.ts';
import type { Aggregate } from '../../src/kernel/decider.ts';
import type { Event } from '../../src/kernel/event.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import type { LoadMemberships } from '../../src/push/audience.ts';
import type { Client, EndReason } from '../../src/push/client.ts';
import type { Frame } from '../../src/push/frames.ts';
import { Hub, type Released } from '../../src/push/hub.ts';
import { openShared, type Shared, startNode, type TestNode } from '../commands/node.ts';

/** What a test may want otherwise. */
export type HubOptions = Readonly<{
  clock?: Clock;
  logger?: Logger;
  events?: EventStore;
  memberships?: LoadMemberships;
}>;

/** One log with its real read models, and as many hubs over it as wanted. */
export type World = Readonly<{
  shared: Shared;
  node: TestNode;
  memberships: LoadMemberships;
  /** Another node that follows the same log. */
  hub(options?: HubOptions): Promise<Hub>;
  close(): Promise<void>;
}>;

export async function startWorld(): Promise<World> {
  const shared = await openShared();
  const node = await startNode(shared);
  const clock = createSystemClock();
  const { log: events, documents } = shared;
  const projections = createProjections({
    events,
    documents,
    clock,
    logger: silentLogger,
    projections: catalogue,
    owner: 'test',
    run: true,
  });
  projections.start();
  const rooms = createRoomsView(projections.readModels);
  const memberships: LoadMemberships = (userId, position) => rooms.ofUser(userId, position);
  const hubs: Hub[] = [];
  return {
    shared,
    node,
    memberships,
    async hub(options = {}) {
      const hub = new Hub({ events, memberships, clock, logger: silentLogger, ...options });
      hubs.push(hub);
      await hub.start();
      return hub;
    },
    async close() {
      await Promise.all(hubs.map((hub) => hub.close()));
      await projections.close();
      await node.commands.close();
      await shared.close();
    },
  };
}

/** Has some other aggregate do something in the name of a user. */
async function perform<State, C extends Command<string, unknown>, E extends Event>(
  node: TestNode,
  aggregate: Aggregate<State, C, E>,
  userId: string,
  asked: Pick<C, 'type' | 'data'>,
): Promise<void> {
  const commandId = uuidv7(Date.now());
  const at = new Date().toISOString();
  const metadata = { commandId, actor: userId, at, correlationId: commandId, causationId: null };
  await node.commands.handle(aggregate, userId, { ...asked, metadata } as C);
}

/** The user reads a conversation up to a message. */
export function read(node: TestNode, userId: string, conversationId: string, seq: number, memberCount = 2) {
  const data = { userId, conversationId, seq, memberCount };
  return perform(node, marks, userId, { type: 'OpenConversation', data });
}

/** A session that is over again. */
export async function endedSession(node: TestNode, userId: string, sessionId = randomUUID()): Promise<string> {
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  await perform(node, sessions, userId, {
    type: 'StartSession',
    data: { userId, sessionId, userAgent: null, expiresAt },
  });
  await perform(node, sessions, userId, { type: 'EndSession', data: { userId, sessionId } });
  return sessionId;
}

/** The same store, read through another subscription. */
export function through(store: EventStore, subscribe: EventStore['subscribe']): EventStore {
  return {
    append: (stream, events, options) => store.append(stream, events, options),
    readStream: (stream, options) => store.readStream(stream, options),
    readAll: (options) => store.readAll(options),
    subscribe,
    setRetention: (stream, retention) => store.setRetention(stream, retention),
    head: () => store.head(),
    epoch: () => store.epoch(),
    close: () => store.close(),
  };
}

/** What a frame says. */
export type Told = Readonly<{
  event: string;
  id: string;
  at: string;
  user: { _id: string } | null;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows which payload it looks at
  payload: any;
}>;

const DEADLINE_MS = 10_000;

/** A client whose reading the test controls. */
export class TestClient implements Client {
  readonly userId: string;
  readonly sessionId: string;
  readonly frames: Frame[] = [];
  ended: EndReason | null = null;
  /** How many frames it still takes. */
  room = Number.POSITIVE_INFINITY;
  readonly #hub: Hub;
  readonly #waiting = new Set<() => void>();
  #drained: (() => void)[] = [];

  constructor(hub: Hub, userId: string, sessionId: string = randomUUID()) {
    this.#hub = hub;
    this.userId = userId;
    this.sessionId = sessionId;
  }

  deliver(frames: readonly Frame[]): number {
    const taken = frames.slice(0, this.room);
    this.room -= taken.length;
    this.frames.push(...taken);
    for (const look of this.#waiting) look();
    return taken.length;
  }

  async drained(): Promise<void> {
    if (this.room === 0 && this.ended === null) await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  end(reason: EndReason): void {
    this.ended = reason;
    this.close();
  }

  /** Takes some more frames. */
  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    for (const resume of this.#drained.splice(0)) resume();
  }

  /** The connection is gone. */
  close(): void {
    this.#hub.disconnect(this);
    this.drain(0);
    for (const resume of this.#drained.splice(0)) resume();
    for (const look of this.#waiting) look();
  }

  /** Connects and begins to listen; gives how that began. */
  async listen(after: string | null = null): Promise<Released> {
    await this.#hub.connect(this);
    let begun: Released | undefined;
    await this.#hub.release(this, after, (released) => {
      begun = released;
    });
    if (begun === undefined) throw new Error('delivery did not begin');
    return begun;
  }

  get told(): Told[] {
    return this.frames.map(({ bytes }) => JSON.parse(bytes.toString()) as Told);
  }

  /** What was said, in order of hearing. */
  get heard(): string[] {
    return this.told.filter(({ event }) => event === 'message:sent').map(({ payload }) => payload.message.content);
  }

  /** The id of the last frame. */
  get last(): string {
    return this.told.at(-1)?.id ?? '';
  }

  /** Resolves once it holds, looked at after each delivery. Fails when that does not come about. */
  until(holds: (client: this) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        this.#waiting.delete(look);
        const latest = this.told.slice(-5).map(({ event, payload }) => `${event} ${JSON.stringify(payload)}`);
        reject(new Error(`waited in vain; ${this.frames.length} frames, the last: ${latest.join(', ')}`));
      }, DEADLINE_MS);
      const look = (): void => {
        if (!holds(this)) return;
        clearTimeout(patience);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** A client that is live. */
export async function listening(hub: Hub, userId: string, sessionId?: string): Promise<TestClient> {
  const client = new TestClient(hub, userId, sessionId);
  await client.listen();
  return client;
}
