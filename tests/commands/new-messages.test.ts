import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { whereMayBe } from '../../src/aggregates/conversation/known-messages.ts';
import type { ConversationState } from '../../src/aggregates/conversation/state.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import { eventId, uuidv7 } from '../../src/kernel/ids.ts';
import { live } from '../aggregates/conversation-fixtures.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { execute, group, message, newId, newUuid, startNode, type TestNode } from './node.ts';

const [ann, bob] = [newId(), newId()];
/** More than a conversation knows: of the first 1,536 only what is left of their blocks, and not the next 64, whose block is still there. */
const MESSAGES = 6_600;
const BATCH = 1_000;
let stores: MemoryStores;
/** With right clocks, and after 700 members joined, so that revisions are far from sequence numbers. */
let busy: Busy;
/** A third of the messages by a clock that is an hour ahead, a third by one that is an hour late. */
let skewed: Busy;

beforeAll(async () => {
  stores = await openMemoryStores();
  const node = await startNode(stores);
  busy = await busyGroup(node, { before: 700 });
  skewed = await busyGroup(node, { skewMs: (seq) => [0, 3_600_000, -3_600_000][seq % 3] ?? 0 });
});

afterAll(async () => {
  await stores.close();
});

/** An id that a client made at this time. */
const idAt = (atMs: number): string => uuidv7(atMs, system.random.bytes(10));

type Busy = Readonly<{ id: string; ids: readonly string[]; startMs: number }>;

/**
 * A group of Ann and Bob to which Ann has sent a message each millisecond. `skewMs`: how far her clock is ahead for the message with this number.
 * `before`: events before the messages.
 */
async function busyGroup(
  node: TestNode,
  { skewMs, before = 0 }: { skewMs?: (seq: number) => number; before?: number } = {},
): Promise<Busy> {
  const id = await group(node, ann, bob);
  const startMs = system.clock.now() - MESSAGES;
  const ids = Array.from({ length: MESSAGES }, (_, i) => idAt(startMs + i + (skewMs?.(i + 1) ?? 0)));
  const event = (type: string, data: Readonly<Record<string, unknown>>) => {
    const commandId = newUuid();
    const metadata = { actor: ann, correlationId: 'test', causationId: null, commandId };
    return { id: eventId(commandId, 0), type, data: { conversationId: id, ...data }, metadata };
  };
  const stamp = (i: number): string => new Date(startMs + i).toISOString();
  const added = Array.from({ length: before }, () =>
    event('MemberAdded', { userId: newId(), joinedSeq: 0, addedAt: stamp(0) }),
  );
  const sent = ids.map((messageId, i) => {
    const data = { messageId, seq: i + 1, senderId: ann, content: 'hello', replyTo: null, mentions: [] };
    return event('MessageSent', { ...data, sentAt: stamp(i) });
  });
  const events = [...added, ...sent];
  for (let i = 0; i < events.length; i += BATCH) {
    await stores.log.append(`conversation-${id}`, events.slice(i, i + BATCH), { expect: BigInt(i) });
  }
  return { id, ids, startMs };
}

/** A new id that the state cannot exclude, made at the time of the first message. Of 1,700 ids there is one. */
function findUncertain(state: ConversationState, startMs: number): string {
  const { messages } = live(state);
  for (let i = 0; i < 100_000; i++) {
    const id = idAt(startMs);
    if (whereMayBe(messages, id, 0).length > 0) return id;
  }
  throw new Error('no such id was found');
}

/** The number of the latest message. */
async function lastSeq(node: TestNode, id: string): Promise<number> {
  return live((await node.commands.load(conversation, id, 'fresh')).state).lastSeq;
}

describe('in a conversation with more messages than it knows', () => {
  it('a message is sent although its id is older than all known ones, without reading the stream', async () => {
    const node = await startNode(stores);
    const { id, startMs } = busy;
    const before = await lastSeq(node, id);
    const { read } = node.log.counts;
    for (const lateMs of [3_000, 6_000, 30_000, 3_600_000]) {
      await execute(node, bob, message(id, 'late', idAt(startMs + MESSAGES - lateMs)));
    }
    // The filters may err once in a while.
    expect(node.log.counts.read - read).toBeLessThanOrEqual(2 * 512);
    expect(await lastSeq(node, id)).toBe(before + 4);
  });

  it('a message is sent in any case when its id was searched for in the stream and not found', async () => {
    const node = await startNode(stores);
    const { id, ids, startMs } = busy;
    const { state } = await node.commands.load(conversation, id, 'fresh');
    const { read } = node.log.counts;
    const unlucky = findUncertain(state, startMs);
    expect(ids).not.toContain(unlucky);
    const { events } = await execute(node, bob, message(id, 'unlucky', unlucky));
    expect(events).toMatchObject([{ data: { seq: live(state).lastSeq + 1, messageId: unlucky } }]);
    expect(node.log.counts.read - read).toBeGreaterThanOrEqual(512);
  });

  it('a repeated message is not sent again, whatever the clock of its client was', async () => {
    const node = await startNode(stores);
    const { id, ids } = skewed;
    for (const seq of [1, 2, 3, 512, 513, 1_024, 1_536, 1_537, 1_600]) {
      const again = message(id, 'again', ids[seq - 1] ?? '');
      await expect(execute(node, ann, again)).rejects.toMatchObject({
        code: 'send-uncertain',
        message: expect.stringContaining('was sent already'),
      });
      await expect(execute(node, bob, again)).rejects.toMatchObject({ code: 'already-exists' });
    }
    const { events } = await execute(node, ann, message(id, 'again', ids.at(-5_000)));
    expect(events).toEqual([]);
    expect(await lastSeq(node, id)).toBe(MESSAGES);
  });

  it('the search for an id does not hold up other commands', async () => {
    const node = await startNode(stores);
    const { id, ids } = busy;
    await lastSeq(node, id);
    const { promise: searched, resolve: goOn } = Promise.withResolvers<void>();
    const { promise: searching, resolve: begun } = Promise.withResolvers<void>();
    const read = node.log.readStream.bind(node.log);
    node.log.readStream = async (stream, options) => {
      if (options?.from === 0n && stream.startsWith('conversation-')) {
        begun();
        await searched;
      }
      return read(stream, options);
    };
    const repeated = execute(node, ann, message(id, 'again', ids[0])).catch((error: unknown) => error);
    await searching;
    await execute(node, bob, message(id, 'meanwhile'));
    goOn();
    expect(await repeated).toMatchObject({ code: 'send-uncertain' });
  });

  it('a search that fails refuses its command as unavailable, and no other', async () => {
    const node = await startNode(stores);
    const { id, ids } = busy;
    await lastSeq(node, id);
    const read = node.log.readStream.bind(node.log);
    node.log.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
    const outcomes = await Promise.allSettled([
      execute(node, ann, message(id, 'again', ids[0])),
      execute(node, bob, message(id, 'meanwhile')),
    ]);
    node.log.readStream = read;
    expect(outcomes).toMatchObject([{ reason: { code: 'unavailable' } }, { status: 'fulfilled' }]);
  });

  it('many repeated messages at once are each searched for, and other commands go on', async () => {
    const nodes = [await startNode(stores), await startNode(stores)] as const;
    const { id, ids } = busy;
    const before = await lastSeq(nodes[0], id);
    const repeated = ids
      .slice(0, 40)
      .map((messageId, i) => execute(nodes[i % 2] ?? nodes[0], ann, message(id, 'again', messageId)));
    const sent = nodes.map((node) => execute(node, bob, message(id, 'new')));
    for (const outcome of await Promise.allSettled(repeated)) {
      expect(outcome).toMatchObject({ reason: { code: 'send-uncertain' } });
    }
    await Promise.all(sent);
    expect(await lastSeq(nodes[0], id)).toBe(before + 2);
  });

  it('a message with a key and an id of its client is sent once, whatever the clock of the client', async () => {
    const nodes = [await startNode(stores), await startNode(stores)] as const;
    const { id, ids, startMs } = busy;
    const before = await lastSeq(nodes[0], id);
    const send = (node: TestNode, key: string, messageId: string) => {
      const claim = { owner: bob, route: 'POST', key, bodyHash: 'b', actor: bob, correlationId: 'c' };
      return node.claims.run(
        claim,
        { aggregate: conversation, id: () => id },
        async ({ earlier, ids: _, ...options }) => {
          return earlier ?? execute(node, bob, message(id, 'late', messageId), options);
        },
      );
    };
    const late = idAt(startMs - 30_000);
    const [first, again] = await Promise.all(nodes.map((node) => send(node, 'k1', late)));
    expect(again).toMatchObject({ position: first?.position });
    const { state } = await nodes[0].commands.load(conversation, id, 'fresh');
    await send(nodes[0], 'k2', findUncertain(state, startMs));
    await expect(send(nodes[1], 'k3', ids[0] ?? '')).rejects.toMatchObject({ code: 'already-exists' });
    expect(await lastSeq(nodes[0], id)).toBe(before + 2);
  });
});
