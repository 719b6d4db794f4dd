import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { Claim, Claimed } from '../../src/commands/claims.ts';
import {
  ask,
  group,
  message,
  messagesOf,
  newId,
  newUuid,
  openShared,
  type Shared,
  startNode,
  type TestNode,
} from './node.ts';

const ann = newId();
let shared: Shared;

beforeEach(async () => {
  shared = await openShared();
});

afterEach(async () => {
  await shared.close();
});

const claimOf = (key: string, bodyHash = 'body'): Claim => ({
  owner: ann,
  route: 'POST message',
  key,
  bodyHash,
  actor: ann,
  correlationId: 'c',
});

/** A send as a route does it: with the ids and the command id that the claim gives. */
function sendOnce(node: TestNode, id: string, claim: Claim, onRun: () => void = () => {}) {
  return node.claims.run(claim, { aggregate: conversation, id: () => id }, async (claimed: Claimed) => {
    onRun();
    const { commandId, ids, handledSince } = claimed;
    const options = handledSince === undefined ? { commandId } : { commandId, handledSince };
    const messageId = ids.uuid('message', 0);
    const { position } = await ask(node, ann, message(id, 'hello', messageId), options);
    return { _id: messageId, position };
  });
}

describe('a command with an idempotency key', () => {
  it('repeated later gets the same answer and no second event', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    await ask(node, ann, message(id, 'in between'));
    expect(await sendOnce(node, id, claimOf('k1'))).toEqual(first);
    expect(await messagesOf(shared, id)).toHaveLength(2);
  });

  it('repeated after a restart, or on another node, gets the same answer', async () => {
    const id = await group(await startNode(shared), ann);
    const first = await sendOnce(await startNode(shared), id, claimOf('k1'));
    expect(await sendOnce(await startNode(shared), id, claimOf('k1'))).toEqual(first);
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('repeated while the first is under way waits for it and shares its answer', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    let runs = 0;
    const both = [1, 2].map(() => sendOnce(node, id, claimOf('k1'), () => void runs++));
    const [first, second] = await Promise.all(both);
    expect(second).toEqual(first);
    expect(runs).toBe(1);
  });

  it('sent to two nodes at the same instant happens once', async () => {
    const nodes = [await startNode(shared), await startNode(shared)];
    const id = await group(await startNode(shared), ann);
    for (let round = 0; round < 20; round++) {
      const [first, second] = await Promise.all(nodes.map((node) => sendOnce(node, id, claimOf(`k${round}`))));
      expect(second).toEqual(first);
    }
    expect(await messagesOf(shared, id)).toHaveLength(20);
  });

  it('with another body is refused with key-reused, also while the first is under way', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const first = sendOnce(node, id, claimOf('k1', 'one'));
    await expect(sendOnce(node, id, claimOf('k1', 'two'))).rejects.toMatchObject({ code: 'key-reused' });
    await first;
    await expect(sendOnce(node, id, claimOf('k1', 'two'))).rejects.toMatchObject({ code: 'key-reused' });
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('that was refused is decided anew', async () => {
    const node = await startNode(shared);
    const bob = newId();
    const id = await group(node, bob);
    await expect(sendOnce(node, id, claimOf('k1'))).rejects.toMatchObject({ code: 'not-found' });
    await ask(node, bob, { type: 'AddMember', data: { conversationId: id, userId: ann } });
    await sendOnce(node, id, claimOf('k1'));
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('that was claimed and then lost with its node is run by the retry', async () => {
    const [dying, other] = [await startNode(shared), await startNode(shared)];
    const id = await group(other, ann);
    dying.events.faults.push();
    dying.events.beforeAppend.hook = async (stream) => {
      if (stream.startsWith('conversation-')) dying.events.faults.push('away');
    };
    await expect(sendOnce(dying, id, claimOf('k1'))).rejects.toMatchObject({ code: 'unavailable' });
    await sendOnce(other, id, claimOf('k1'));
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('whose answer was lost behind the write is answered by the retry with the event that is there', async () => {
    const [dying, other] = [await startNode(shared), await startNode(shared)];
    const id = await group(other, ann);
    const lost = dying.claims.run(
      claimOf('k1'),
      { aggregate: conversation, id: () => id },
      async ({ commandId, ids }) => {
        await ask(dying, ann, message(id, 'hello', ids.uuid('message', 0)), { commandId });
        throw new Error('killed before it could answer');
      },
    );
    await expect(lost).rejects.toThrow('killed');
    const answer = await sendOnce(other, id, claimOf('k1'));
    const [sent] = await messagesOf(shared, id);
    expect(answer._id).toBe(sent?.messageId);
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('of another user, or on another route, is another command', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    const elsewhere = await sendOnce(node, id, { ...claimOf('k1'), route: 'POST elsewhere' });
    expect(elsewhere._id).not.toBe(first._id);
  });

  it('that was forgotten after its time is a new one', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    let commandId = '';
    await node.claims.run(claimOf('k1'), { aggregate: conversation, id: () => id }, async (claimed) => {
      commandId = claimed.commandId;
    });
    await shared.log.setRetention(`command-${commandId}`, { truncateBefore: 1n });
    const seen = await node.claims.run(
      claimOf('k1', 'another'),
      { aggregate: conversation, id: () => id },
      async (claimed) => claimed,
    );
    expect(seen.handledSince).toBeUndefined();
    expect(newUuid()).not.toBe(commandId);
  });
});
