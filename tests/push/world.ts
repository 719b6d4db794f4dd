import { marks } from '../../src/aggregates/marks/decider.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import type { Command } from '../../src/kernel/command.ts';
import type { Aggregate } from '../../src/kernel/decider.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import type { LoadMemberships } from '../../src/push/audience.ts';
import type { Client, EndReason, Released } from '../../src/push/client.ts';
import type { Frame } from '../../src/push/frames.ts';
import { Hub } from '../../src/push/hub.ts';
import { commandMetadata, newUuid, startNode, type TestNode } from '../commands/node.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';

/** What a test can replace. */
export type HubOptions = Readonly<{
  clock?: Clock;
  logger?: Logger;
  log?: EventLog;
  memberships?: LoadMemberships;
}>;

/** One log with its read models, and any number of hubs over it. */
export type World = Readonly<{
  stores: MemoryStores;
  node: TestNode;
  memberships: LoadMemberships;
  /** Starts another hub that follows the same log. */
  hub(options?: HubOptions): Promise<Hub>;
  close(): Promise<void>;
}>;

export async function startWorld(): Promise<World> {
  const stores = await openMemoryStores();
  const node = await startNode(stores);
  const { log, documents } = stores;
  const projections = createProjections({
    ...system,
    log,
    documents,
    projections: catalogue,
    node: 'test',
    run: true,
  });
  await projections.prepare();
  projections.start();
  const rooms = createRoomsView(projections.readModels);
  const memberships: LoadMemberships = (userId, position) => rooms.ofUser(userId, position);
  const hubs: Hub[] = [];
  return {
    stores,
    node,
    memberships,
    async hub(options = {}) {
      const hub = new Hub({ ...system, log, memberships, ...options });
      hubs.push(hub);
      await hub.start();
      return hub;
    },
    async close() {
      await Promise.all(hubs.map((hub) => hub.close()));
      await projections.close();
      await node.commands.close();
      await stores.close();
    },
  };
}

/** Handles a command to an aggregate of a user in the user's name. */
async function executeOwn<State, C extends Command<string, unknown>, E extends Event>(
  node: TestNode,
  aggregate: Aggregate<State, C, E>,
  userId: string,
  body: Pick<C, 'type' | 'data'>,
): Promise<void> {
  await node.commands.handle(aggregate, userId, { ...body, metadata: commandMetadata(userId) } as C);
}

/** The user reads a conversation up to a message. */
export function read(node: TestNode, userId: string, conversationId: string, seq: number, memberCount = 2) {
  const data = { userId, conversationId, seq, memberCount };
  return executeOwn(node, marks, userId, { type: 'OpenConversation', data });
}

/** Starts a session and ends it. */
export async function endedSession(node: TestNode, userId: string, sessionId = newUuid()): Promise<string> {
  const expiresAt = new Date(system.clock.now() + 60_000).toISOString();
  await executeOwn(node, sessions, userId, {
    type: 'StartSession',
    data: { userId, sessionId, userAgent: null, expiresAt },
  });
  await executeOwn(node, sessions, userId, { type: 'EndSession', data: { userId, sessionId } });
  return sessionId;
}

/** A frame as a client parses it. */
export type ReceivedFrame = Readonly<{
  event: string;
  id: string;
  at: string;
  user: { _id: string } | null;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the payload that it checks
  payload: any;
}>;

const DEADLINE_MS = 30_000;

/** A client that takes as many frames as the test allows. */
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

  constructor(hub: Hub, userId: string, sessionId: string = newUuid()) {
    this.#hub = hub;
    this.userId = userId;
    this.sessionId = sessionId;
  }

  deliver(frames: readonly Frame[]): number {
    const taken = frames.slice(0, this.room);
    this.room -= taken.length;
    this.frames.push(...taken);
    for (const check of this.#waiting) check();
    return taken.length;
  }

  async drained(): Promise<void> {
    if (this.room === 0 && this.ended === null) await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  end(reason: EndReason): void {
    this.ended = reason;
    this.close();
  }

  /** Makes room for more frames. */
  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    for (const resume of this.#drained.splice(0)) resume();
  }

  /** Closes the connection. */
  close(): void {
    this.#hub.disconnect(this);
    this.drain(0);
    for (const resume of this.#drained.splice(0)) resume();
    for (const check of this.#waiting) check();
  }

  /** Connects and begins delivery; returns how it began. */
  async listen(after: string | null = null): Promise<Released> {
    await this.#hub.connect(this);
    let begun: Released | undefined;
    await this.#hub.release(this, after, (released) => {
      begun = released;
    });
    if (begun === undefined) throw new Error('delivery did not begin');
    return begun;
  }

  get received(): ReceivedFrame[] {
    return this.frames.map(({ bytes }) => JSON.parse(bytes.toString()) as ReceivedFrame);
  }

  /** The contents of the messages that were received, in order. */
  get contents(): string[] {
    return this.received.filter(({ event }) => event === 'message:sent').map(({ payload }) => payload.message.content);
  }

  /** The id of the last frame. */
  get lastId(): string {
    return this.received.at(-1)?.id ?? '';
  }

  /** Resolves once the condition holds, which is checked after each delivery. Fails after a deadline. */
  until(condition: (client: this) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        const latest = this.received.slice(-5).map(({ event, payload }) => `${event} ${JSON.stringify(payload)}`);
        reject(new Error(`timed out with ${this.frames.length} frames, the last: ${latest.join(', ')}`));
      }, DEADLINE_MS);
      const check = (): void => {
        if (!condition(this)) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

/** Connects a client and begins delivery. */
export async function listen(hub: Hub, userId: string, sessionId?: string): Promise<TestClient> {
  const client = new TestClient(hub, userId, sessionId);
  await client.listen();
  return client;
}
