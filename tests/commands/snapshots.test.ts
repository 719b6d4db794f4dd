import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { execute, group, history, message, newId, startNode } from './node.ts';

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
});
