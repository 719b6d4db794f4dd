import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { manualClock } from '../support/manual-clock.ts';
import { ask, group, history, message, newId, openShared, type Shared, startNode } from './node.ts';

const ann = newId();
let shared: Shared;

beforeEach(async () => {
  shared = await openShared();
});

afterEach(async () => {
  await shared.close();
});

/** A conversation of 301 events whose snapshot was written at its end. */
async function longConversation(): Promise<string> {
  const clock = manualClock();
  const node = await startNode(shared, clock);
  const id = await group(node, ann);
  for (let i = 0; i < 299; i++) await ask(node, ann, message(id));
  await clock.advance(31_000);
  await ask(node, ann, message(id));
  await node.commands.close();
  return id;
}

describe('a snapshot', () => {
  it('spares a node the stream before it', async () => {
    const id = await longConversation();
    const node = await startNode(shared);
    const looked = await node.commands.look(conversation, id, 'cached');
    expect(looked).toMatchObject({ revision: 300n, state: { lastSeq: 300 } });
    expect(node.events.counts.read).toBe(1);
  });

  it('gives the same state as the whole stream', async () => {
    const id = await longConversation();
    const { state } = await (await startNode(shared)).commands.look(conversation, id, 'cached');
    const events = await history(shared, id);
    const folded = events.reduce((now, event) => conversation.evolve(now, event), conversation.initialState);
    expect(conversation.freeze(state)).toEqual(conversation.freeze(folded));
  });

  it('of another version of the state is not used', async () => {
    const id = await longConversation();
    const node = await startNode(shared);
    const newer = { ...conversation, snapshotVersion: conversation.snapshotVersion + 1 };
    const looked = await node.commands.look(newer, id, 'cached');
    expect(looked.revision).toBe(300n);
    expect(node.events.counts.read).toBe(301);
  });

  it('whose event is not in the log is not used', async () => {
    const id = await longConversation();
    const stored = (await shared.documents.getMany('snapshots', [`conversation-${id}`])).get(`conversation-${id}`);
    const write = {
      collection: 'snapshots',
      id: `conversation-${id}`,
      position: stored?.position ?? '',
      guard: stored?.position ?? null,
      body: { ...stored?.body, eventId: '00000000-0000-5000-8000-000000000000' },
    };
    expect(await shared.documents.apply({ writes: [write] })).toEqual({ rejected: [] });
    const node = await startNode(shared);
    expect((await node.commands.look(conversation, id, 'cached')).revision).toBe(300n);
    expect(node.events.counts.read).toBe(302);
  });

  it('that the documents do not give within a second is done without, and none is asked for in the five seconds after', async () => {
    const [one, other] = [await longConversation(), await longConversation()];
    const clock = manualClock();
    const node = await startNode(shared, clock);
    const asked: string[] = [];
    const getMany = shared.documents.getMany.bind(shared.documents);
    shared.documents.getMany = (_collection, ids) => {
      asked.push(...ids);
      return new Promise(() => {});
    };
    const looking = node.commands.look(conversation, one, 'cached');
    await clock.advance(1_000);
    expect((await looking).revision).toBe(300n);
    expect((await node.commands.look(conversation, other, 'cached')).revision).toBe(300n);
    expect(asked).toEqual([`conversation-${one}`]);
    shared.documents.getMany = getMany;
    await clock.advance(5_000);
    const before = node.events.counts.read;
    const third = await longConversation();
    await node.commands.look(conversation, third, 'cached');
    expect(node.events.counts.read - before).toBe(1);
  });
});
