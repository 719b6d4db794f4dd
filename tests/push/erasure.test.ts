import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Hub } from '../../src/push/hub.ts';
import { erase, execute, group, message, newId, newUuid } from '../commands/node.ts';
import { listen, type ReceivedFrame, startWorld, TestClient, type World } from './world.ts';

let world: World;
let hub: Hub;

beforeAll(async () => {
  world = await startWorld();
  hub = await world.hub();
});
afterAll(() => world.close());

const send = (actor: string, conversationId: string, content: string) =>
  execute(world.node, actor, message(conversationId, content));

describe('the erasure of a person', () => {
  it('removes their text from the resume buffer: the frames keep their ids and order, and none is missing', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const [stayed, left, anns] = [await listen(hub, bob), await listen(hub, bob), await listen(hub, ann)];
    await send(ann, id, 'seen');
    await left.until(({ contents }) => contents.includes('seen'));
    left.close();
    await send(bob, id, 'of bob');
    await send(ann, id, 'of ann');
    await group(world.node, ann, bob);
    await group(world.node, bob, ann);
    await erase(world.stores, ann);
    await anns.until(({ ended }) => ended !== null);

    const frames = stayed.received.slice(1);
    const expected = frames.map((frame): ReceivedFrame => {
      const { message, conversation } = frame.payload;
      if (message?.senderId === ann) return { ...frame, payload: { message: { ...message, content: null } } };
      if (conversation?.ownerId === ann)
        return { ...frame, payload: { conversation: { ...conversation, name: null } } };
      return frame;
    });
    expect(frames.map(({ event }) => event)).toStrictEqual([
      'message:sent',
      'message:sent',
      'conversation:created',
      'conversation:created',
    ]);
    expect(expected.filter((frame, i) => frame !== frames[i])).toHaveLength(2);
    // One hub has the frames in its buffer, the other reads the events from the log.
    for (const on of [hub, await world.hub()]) {
      const back = new TestClient(on, bob);
      expect(await back.listen(left.lastId)).toMatchObject({ outcome: 'resumed' });
      await back.until((client) => client.frames.length === expected.length);
      expect(back.received).toStrictEqual(expected);
      for (const { bytes } of back.frames) expect(bytes.includes('of ann')).toBe(false);
    }
  });

  it('removes their text from frames that come with the erasure and were not sent yet', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    await send(bob, id, 'of bob');
    const bobs = await listen(hub, bob);
    const { log } = world.stores;
    const [messageId, erasureId] = [newUuid(), newUuid()];
    const metadata = { actor: ann, correlationId: 'test', causationId: null, commandId: messageId };
    const sentAt = new Date().toISOString();
    const text = { conversationId: id, messageId, seq: 2, senderId: ann, content: 'of ann', replyTo: null };
    const sent = await log.encode([
      { id: messageId, type: 'MessageSent', data: { ...text, mentions: [], sentAt }, metadata },
    ]);
    const erased = await log.encode([
      { id: erasureId, type: 'UserErased', data: { userId: ann, erasedAt: sentAt }, metadata },
    ]);
    // Appended in one turn of the event loop, they come in one batch.
    await Promise.all([
      log.append(`conversation-${id}`, sent, { expect: 1n }),
      log.append(`user-${ann}`, erased, { expect: 'none' }),
    ]);
    await bobs.until(({ frames }) => frames.length === 1);
    expect(bobs.contents).toStrictEqual([null]);
  });

  it('ends their connections, and no others', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, bob, ann);
    const [anns, others] = [[await listen(hub, ann), await listen(hub, ann)], await listen(hub, bob)];
    await erase(world.stores, ann);
    for (const client of anns) await client.until(({ ended }) => ended !== null);
    expect(anns.map(({ ended }) => ended)).toStrictEqual(['session-ended', 'session-ended']);
    expect(hub.connectionsOf(ann)).toBe(0);
    await send(bob, id, 'goes on');
    await others.until(({ contents }) => contents.includes('goes on'));
    expect(others.ended).toBeNull();
  });
});
