import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { Hub } from '../../src/push/hub.ts';
import { execute, group, message, newId } from '../commands/node.ts';
import { type ReceivedFrame, startWorld, TestClient, type World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const CONVERSATIONS = 3;
const conversation = fc.nat(CONVERSATIONS - 1);
const room = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(Number.POSITIVE_INFINITY));

/** What happens to Bob's connection and conversations; no step waits for another. */
type Step =
  | Readonly<{ type: 'send'; conversation: number; count: number }>
  | Readonly<{ type: 'connect' | 'drain'; room: number }>
  | Readonly<{ type: 'disconnect' | 'restart' }>
  | Readonly<{ type: 'add' | 'remove'; conversation: number }>;

const send = fc.record({
  type: fc.constant('send' as const),
  conversation,
  count: fc.integer({ min: 1, max: 12 }),
});
const connection = [
  fc.record({ type: fc.constant('connect' as const), room }),
  fc.record({ type: fc.constant('drain' as const), room }),
  fc.record({ type: fc.constant('disconnect' as const) }),
  fc.record({ type: fc.constant('restart' as const) }),
];
const membership = fc.record({ type: fc.constantFrom('add' as const, 'remove' as const), conversation });

/** Bob, whose connections always resume where the last one ended. */
class Bob {
  readonly id = newId();
  readonly received: ReceivedFrame[] = [];
  client: TestClient;
  #after: string | null = null;
  #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
    this.client = new TestClient(hub, this.id);
    this.client.ended = 'stopped';
  }

  async connect(room: number): Promise<void> {
    if (this.client.ended === null) return;
    this.client = new TestClient(this.#hub, this.id);
    this.client.room = room;
    const { outcome, after } = await this.client.listen(this.#after);
    expect(outcome).not.toBe('resync');
    this.#after = after;
  }

  /** Keeps the received frames, also when the hub has ended the connection. */
  disconnect(): void {
    this.received.push(...this.client.received);
    this.#after = this.received.at(-1)?.id ?? this.#after;
    this.client.end('stopped');
    this.client.frames.splice(0);
  }

  async restart(): Promise<void> {
    this.disconnect();
    await this.#hub.close();
    this.#hub = await world.hub();
  }
}

async function perform(step: Step, bob: Bob, ann: string, ids: readonly string[]): Promise<void> {
  switch (step.type) {
    case 'connect':
      if (bob.client.ended !== null) bob.disconnect();
      return bob.connect(step.room);
    case 'drain':
      if (bob.client.ended === null) bob.client.drain(step.room);
      return;
    case 'disconnect':
      return bob.disconnect();
    case 'restart':
      return bob.restart();
    case 'send': {
      const id = ids[step.conversation] ?? '';
      for (let n = 0; n < step.count; n++) await execute(world.node, ann, message(id));
      return;
    }
    default: {
      const data = { conversationId: ids[step.conversation] ?? '', userId: bob.id };
      await execute(world.node, ann, { type: step.type === 'add' ? 'AddMember' : 'RemoveMember', data });
    }
  }
}

/** Performs the steps, receives the rest, and returns Bob with his frames, and the events of the conversations. */
async function run(
  steps: readonly Step[],
): Promise<{ bob: Bob; ids: readonly string[]; log: readonly RecordedEvent[] }> {
  const ann = newId();
  const bob = new Bob(await world.hub());
  await bob.connect(Number.POSITIVE_INFINITY);
  const ids: string[] = [];
  for (let n = 0; n < CONVERSATIONS; n++) ids.push(await group(world.node, ann, bob.id));
  const sending: Promise<void>[] = [];
  for (const step of steps) {
    const performed = perform(step, bob, ann, ids);
    if (step.type === 'send') sending.push(performed);
    else await performed;
  }
  await Promise.all(sending);
  bob.disconnect();
  await bob.connect(Number.POSITIVE_INFINITY);
  const last = await group(world.node, ann, bob.id);
  await bob.client.until(({ received }) => received.at(-1)?.payload.conversation?._id === last);
  bob.client.frames.pop();
  await bob.restart();
  const streams = ids.map((id) => world.stores.log.readStream(`conversation-${id}`, { limit: 4_096 }));
  const log = (await Promise.all(streams)).flatMap(({ events }) => events);
  return { bob, ids, log: log.sort((a, b) => (a.position < b.position ? -1 : 1)) };
}

const positionOf = ({ id }: ReceivedFrame): string => id.split('.')[1] ?? '';

it('a client that disconnects at any time, while nodes restart, receives everything once and in order', async () => {
  const steps = fc.array(fc.oneof({ weight: 4, arbitrary: send }, ...connection), { minLength: 8, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(steps, async (of) => {
      const { bob, log } = await run(of);
      expect(bob.received.map(positionOf)).toStrictEqual(log.map(({ position }) => position));
    }),
    { numRuns: 10, endOnFailure: true },
  );
});

it('a user who is added and removed meanwhile receives only what they may read, and all of it while they are a member', async () => {
  const step = fc.oneof({ weight: 4, arbitrary: send }, { weight: 2, arbitrary: membership }, ...connection);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 25 }), async (steps) => {
      const { bob, ids, log } = await run(steps);
      const received = bob.received.map(positionOf);
      expect(received).toStrictEqual([...new Set(received)].sort());

      const [may, must] = rights(log, bob.id, ids);
      expect(received.filter((position) => !may.has(position))).toStrictEqual([]);
      expect([...must].filter((position) => !received.includes(position))).toStrictEqual([]);
    }),
    { numRuns: 10, endOnFailure: true },
  );
});

/**
 * The positions that a user may receive: those of their time as a member; and those that they must receive: of a membership that lasts, and of its
 * beginnings and ends.
 */
function rights(
  log: readonly RecordedEvent[],
  userId: string,
  ids: readonly string[],
): readonly [may: ReadonlySet<string>, must: ReadonlySet<string>] {
  const may = new Set<string>();
  const must = new Set<string>();
  for (const id of ids) {
    let stay: string[] | null = null;
    for (const { type, data, position, stream } of log) {
      if (stream !== `conversation-${id}`) continue;
      const isAbout = data.userId === userId;
      if (type === 'ConversationCreated' || (type === 'MemberAdded' && isAbout)) stay = [];
      if (stay === null) continue;
      may.add(position);
      stay.push(position);
      if (isAbout) must.add(position);
      if (type === 'MemberRemoved' && isAbout) stay = null;
    }
    for (const position of stay ?? []) must.add(position);
  }
  return [may, must];
}
