import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { Claim, Claimed } from '../../src/commands/claims.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { execute, group, message, messagesOf, newId, newUuid, startNode, type TestNode } from './node.ts';

const ann = newId();
let stores: MemoryStores;

beforeEach(async () => {
  stores = await openMemoryStores();
});

afterEach(async () => {
  await stores.close();
});

const claimOf = (key: string, bodyHash = 'body'): Claim => ({
  owner: ann,
  route: 'POST message',
  key,
  bodyHash,
  actor: ann,
  correlationId: 'c',
});

/** Sends a message as a route does it: with the ids and the command id that come with the claim. */
function sendOnce(node: TestNode, id: string, claim: Claim, onRun: () => void = () => {}) {
  return node.claims.run(claim, { aggregate: conversation, id: () => id }, async (claimed: Claimed) => {
    onRun();
    const { commandId, ids, handledSince } = claimed;
    const options = handledSince === undefined ? { commandId } : { commandId, handledSince };
    const messageId = ids.uuid('message', 0);
    const { position } = await execute(node, ann, message(id, 'hello', messageId), options);
    return { _id: messageId, position };
  });
}

describe('a command with an idempotency key', () => {
  it('returns the same answer when it is repeated later, without a second event', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    await execute(node, ann, message(id, 'in between'));
    expect(await sendOnce(node, id, claimOf('k1'))).toEqual(first);
    expect(await messagesOf(stores, id)).toHaveLength(2);
  });

  it('returns the same answer when it is repeated after a restart, or on another node', async () => {
    const id = await group(await startNode(stores), ann);
    const first = await sendOnce(await startNode(stores), id, claimOf('k1'));
    expect(await sendOnce(await startNode(stores), id, claimOf('k1'))).toEqual(first);
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('runs once when it is repeated while the first one is in progress, and both get its answer', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    let runs = 0;
    const both = [1, 2].map(() => sendOnce(node, id, claimOf('k1'), () => void runs++));
    const [first, second] = await Promise.all(both);
    expect(second).toEqual(first);
    expect(runs).toBe(1);
  });

  it('is handled once when it is sent to two nodes at the same time', async () => {
    const nodes = [await startNode(stores), await startNode(stores)];
    const id = await group(await startNode(stores), ann);
    for (let round = 0; round < 20; round++) {
      const [first, second] = await Promise.all(nodes.map((node) => sendOnce(node, id, claimOf(`k${round}`))));
      expect(second).toEqual(first);
    }
    expect(await messagesOf(stores, id)).toHaveLength(20);
  });

  it('is refused with key-reused for another body, also while the first one is in progress', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const first = sendOnce(node, id, claimOf('k1', 'one'));
    await expect(sendOnce(node, id, claimOf('k1', 'two'))).rejects.toMatchObject({ code: 'key-reused' });
    await first;
    await expect(sendOnce(node, id, claimOf('k1', 'two'))).rejects.toMatchObject({ code: 'key-reused' });
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('is decided again after it was refused', async () => {
    const node = await startNode(stores);
    const bob = newId();
    const id = await group(node, bob);
    await expect(sendOnce(node, id, claimOf('k1'))).rejects.toMatchObject({ code: 'not-found' });
    await execute(node, bob, { type: 'AddMember', data: { conversationId: id, userId: ann } });
    await sendOnce(node, id, claimOf('k1'));
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('is run by the retry when the node died after the claim', async () => {
    const [dying, other] = [await startNode(stores), await startNode(stores)];
    const id = await group(other, ann);
    dying.log.beforeAppend.hook = async (stream) => {
      if (stream.startsWith('conversation-')) dying.log.faults.push('away');
    };
    await expect(sendOnce(dying, id, claimOf('k1'))).rejects.toMatchObject({ code: 'unavailable' });
    await sendOnce(other, id, claimOf('k1'));
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('is answered by the retry from the stored event when the answer was lost after the append', async () => {
    const [dying, other] = [await startNode(stores), await startNode(stores)];
    const id = await group(other, ann);
    const lost = dying.claims.run(
      claimOf('k1'),
      { aggregate: conversation, id: () => id },
      async ({ commandId, ids }) => {
        await execute(dying, ann, message(id, 'hello', ids.uuid('message', 0)), { commandId });
        throw new Error('killed before it could answer');
      },
    );
    await expect(lost).rejects.toThrow('killed');
    const answer = await sendOnce(other, id, claimOf('k1'));
    const [sent] = await messagesOf(stores, id);
    expect(answer._id).toBe(sent?.messageId);
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('is another command on another route, or for another owner', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    const elsewhere = await sendOnce(node, id, { ...claimOf('k1'), route: 'POST elsewhere' });
    const ofAnother = await sendOnce(node, id, { ...claimOf('k1'), owner: newId() });
    expect(new Set([first._id, elsewhere._id, ofAnother._id]).size).toBe(3);
  });

  it('is a new command once its claim was removed by retention', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    let commandId = '';
    await node.claims.run(claimOf('k1'), { aggregate: conversation, id: () => id }, async (claimed) => {
      commandId = claimed.commandId;
    });
    await stores.log.setRetention(`command-${commandId}`, { truncateBefore: 1n });
    const again = await node.claims.run(
      claimOf('k1', 'another'),
      { aggregate: conversation, id: () => id },
      async (claimed) => claimed,
    );
    expect(again.handledSince).toBeUndefined();
    expect(newUuid()).not.toBe(commandId);
  });

  it('is a new command on one of two nodes that find its claim removed at the same time, and a repeated one on the other', async () => {
    const nodes = [await startNode(stores), await startNode(stores)] as const;
    const id = await group(nodes[0], ann);
    const run = ({ claims }: TestNode, claim: Claim): Promise<Claimed> =>
      claims.run(claim, { aggregate: conversation, id: () => id }, async (claimed) => claimed);
    for (let round = 0; round < 10; round++) {
      const claim = claimOf(`k${round}`);
      const { commandId } = await run(nodes[0], claim);
      await stores.log.setRetention(`command-${commandId}`, { truncateBefore: 1n });
      const again = await Promise.all(nodes.map((node) => run(node, claim)));
      expect(again.filter(({ handledSince }) => handledSince === undefined)).toHaveLength(1);
    }
  });

  it('has a claim whose event id none of its own events has', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    await sendOnce(node, id, claimOf('k1'));
    const { events } = await stores.log.readAll({ direction: 'forwards', from: null });
    expect(events.map(({ type }) => type)).toEqual(['ConversationCreated', 'CommandClaimed', 'MessageSent']);
    expect(new Set(events.map((event) => event.id)).size).toBe(3);
  });
});
