import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { type CommandBody, commandMetadata, execute, group, history, message, newId, startNode } from './node.ts';

const ann = newId();
let stores: MemoryStores;

beforeEach(async () => {
  stores = await openMemoryStores();
});

afterEach(async () => {
  await stores.close();
});

/** Creates a conversation of 301 events whose snapshot was written at its end. */
async function longConversation(): Promise<string> {
  const clock = manualClock();
  const node = await startNode(stores, clock);
  const id = await group(node, ann);
  for (let i = 0; i < 299; i++) await execute(node, ann, message(id));
  await clock.advance(31_000);
  await execute(node, ann, message(id));
  await node.commands.close();
  return id;
}

/** The conversation with states so heavy that no cache keeps them. */
const evicted = { ...conversation, weight: () => 1e15 };

/** Creates a conversation of so many events, without a snapshot. */
async function conversationOf(events: number): Promise<string> {
  const node = await startNode(stores, manualClock());
  const id = await group(node, ann);
  await Promise.all(Array.from({ length: events - 1 }, () => execute(node, ann, message(id))));
  await node.commands.close();
  return id;
}

/** The snapshot of a conversation, if there is one. */
async function snapshotOf(id: string) {
  return [...(await stores.documents.getMany('snapshots', [`conversation-${id}`])).values()];
}

describe('a snapshot', () => {
  it('is read instead of the events before it', async () => {
    const id = await longConversation();
    const node = await startNode(stores);
    const loaded = await node.commands.load(conversation, id, 'cached');
    expect(loaded).toMatchObject({ revision: 300n, state: { lastSeq: 300 } });
    expect(node.log.counts.read).toBe(1);
  });

  it('holds the same state as the fold of the whole stream', async () => {
    const id = await longConversation();
    const { state } = await (await startNode(stores)).commands.load(conversation, id, 'cached');
    const events = await history(stores, id);
    const folded = events.reduce((now, event) => conversation.evolve(now, event), conversation.initialState);
    expect(conversation.freeze(state)).toEqual(conversation.freeze(folded));
  });

  it('of another version of the state is ignored', async () => {
    const id = await longConversation();
    const node = await startNode(stores);
    const newer = { ...conversation, snapshotVersion: conversation.snapshotVersion + 1 };
    const loaded = await node.commands.load(newer, id, 'cached');
    expect(loaded.revision).toBe(300n);
    expect(node.log.counts.read).toBe(301);
  });

  it('whose event is not in the log is ignored', async () => {
    const id = await longConversation();
    const stored = (await stores.documents.getMany('snapshots', [`conversation-${id}`])).get(`conversation-${id}`);
    const write = {
      collection: 'snapshots',
      id: `conversation-${id}`,
      position: stored?.position ?? '',
      guard: stored?.position ?? null,
      body: { ...stored?.body, eventId: '00000000-0000-5000-8000-000000000000' },
    };
    expect(await stores.documents.apply({ writes: [write] })).toEqual({ rejected: [] });
    const node = await startNode(stores);
    expect((await node.commands.load(conversation, id, 'cached')).revision).toBe(300n);
    expect(node.log.counts.read).toBe(302);
  });

  it('that is not read within a second is skipped, and none is read for the next five seconds', async () => {
    const [one, other] = [await longConversation(), await longConversation()];
    const clock = manualClock();
    const node = await startNode(stores, clock);
    const requested: string[] = [];
    const getMany = stores.documents.getMany.bind(stores.documents);
    stores.documents.getMany = (_collection, ids) => {
      requested.push(...ids);
      return new Promise(() => {});
    };
    const loading = node.commands.load(conversation, one, 'cached');
    await clock.advance(1_000);
    expect((await loading).revision).toBe(300n);
    expect((await node.commands.load(conversation, other, 'cached')).revision).toBe(300n);
    expect(requested).toEqual([`conversation-${one}`]);
    stores.documents.getMany = getMany;
    await clock.advance(5_000);
    const before = node.log.counts.read;
    const third = await longConversation();
    await node.commands.load(conversation, third, 'cached');
    expect(node.log.counts.read - before).toBe(1);
  });

  it.each([
    [200, 0],
    [201, 1],
    [1_200, 1],
  ])('of a state that is evicted at once is written by a load that reads %i events: %i', async (count, written) => {
    const id = await conversationOf(count);
    // The clock stands still: nothing is due by time.
    const node = await startNode(stores, manualClock());
    expect((await node.commands.load(evicted, id, 'cached')).revision).toBe(BigInt(count - 1));
    await node.commands.close();
    expect(await snapshotOf(id)).toHaveLength(written);
    const other = await startNode(stores, manualClock());
    await other.commands.load(evicted, id, 'cached');
    await other.commands.load(evicted, id, 'cached');
    expect(other.log.counts.read).toBe(written === 1 ? 2 : 2 * count);
  });

  it('of an evicted state is written again once a load had to read more than 200 events after it', async () => {
    const id = await conversationOf(300);
    const node = await startNode(stores, manualClock());
    await node.commands.load(evicted, id, 'cached');
    await node.commands.close();
    const [first] = await snapshotOf(id);
    const writer = await startNode(stores);
    await Promise.all(Array.from({ length: 201 }, () => execute(writer, ann, message(id))));
    const other = await startNode(stores, manualClock());
    expect((await other.commands.load(evicted, id, 'cached')).revision).toBe(500n);
    await other.commands.close();
    const [second] = await snapshotOf(id);
    expect([first?.body.revision, second?.body.revision]).toEqual(['299', '500']);
  });

  it('of an evicted state leads to the same decisions and the same state as the whole stream', async () => {
    const id = await conversationOf(250);
    const node = await startNode(stores, manualClock());
    const command = (body: CommandBody) =>
      node.commands.handle(evicted, id, { ...body, metadata: commandMetadata(ann) } as ConversationCommand);
    const bob = newId();
    await command({ type: 'AddMember', data: { conversationId: id, userId: bob } });
    const repeated = message(id);
    for (let i = 0; i < 3; i++) {
      const { events } = await command(repeated);
      expect(events).toHaveLength(i === 0 ? 1 : 0);
    }
    await command({ type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    await node.commands.close();
    expect(await snapshotOf(id)).toHaveLength(1);
    const { state } = await (await startNode(stores)).commands.load(conversation, id, 'cached');
    const events = await history(stores, id);
    const folded = events.reduce((now, event) => conversation.evolve(now, event), conversation.initialState);
    expect(conversation.freeze(state)).toEqual(conversation.freeze(folded));
    expect(state).toMatchObject({ lastSeq: 250 });
  });
});
