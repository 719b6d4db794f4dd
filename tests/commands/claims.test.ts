import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { Claim, Claimed } from '../../src/commands/claims.ts';
import type { EarlierOutcome } from '../../src/commands/request-context.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { type CommandBody, execute, group, message, messagesOf, newId, startNode, type TestNode } from './node.ts';

const HOUR = 60 * 60_000;
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

/** Handles a command of a request with a key, as the workflows do it. */
async function executeClaimed(node: TestNode, { earlier, ids: _, ...options }: Claimed, body: CommandBody) {
  return earlier ?? (await execute(node, ann, body, options));
}

/** Sends a message as a route does it: with the ids and the command id that come with the claim. */
function sendOnce(node: TestNode, id: string, claim: Claim, onRun: () => void = () => {}) {
  return node.claims.run(claim, { aggregate: conversation, id: () => id }, async (claimed: Claimed) => {
    onRun();
    const messageId = claimed.ids.uuid('message', 0);
    const { position } = await executeClaimed(node, claimed, message(id, 'hello', messageId));
    return { _id: messageId, position };
  });
}

/** Removes every claim, as retention does it. */
async function forgetClaims(): Promise<void> {
  const filter = { types: ['CommandClaimed'] };
  const { events } = await stores.log.readAll({ direction: 'forwards', from: null, limit: 4_096, filter });
  for (const { stream, revision } of events) await stores.log.setRetention(stream, { truncateBefore: revision + 1n });
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
      async (claimed): Promise<EarlierOutcome> => {
        await executeClaimed(dying, claimed, message(id, 'hello', claimed.ids.uuid('message', 0)));
        throw new Error('killed before it could answer');
      },
    );
    await expect(lost).rejects.toThrow('killed');
    const answer = await sendOnce(other, id, claimOf('k1'));
    const [sent] = await messagesOf(stores, id);
    expect(answer._id).toBe(sent?.messageId);
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('has one outcome when a repetition on another node overtakes it after its claim', async () => {
    const [slow, fast] = [await startNode(stores), await startNode(stores)];
    const bob = newId();
    const id = await group(fast, bob, ann);
    const leave = (node: TestNode) =>
      node.claims.run(claimOf('k1'), { aggregate: conversation, id: () => id }, (claimed) =>
        executeClaimed(node, claimed, { type: 'LeaveConversation', data: { conversationId: id } }),
      );
    const append = slow.log.append.bind(slow.log);
    let overtaking: EarlierOutcome | null = null;
    slow.log.append = async (stream, ...args) => {
      const appended = await append(stream, ...args);
      if (stream.startsWith('command-') && overtaking === null) {
        overtaking = await leave(fast);
        // By now she is not a member, so that the command would be refused.
        await slow.commands.load(conversation, id, 'fresh');
      }
      return appended;
    };
    const { position } = await leave(slow);
    expect(overtaking).toMatchObject({ position });
    const { events } = await stores.log.readStream(`conversation-${id}`);
    expect(events.map(({ type }) => type)).toEqual(['ConversationCreated', 'MemberRemoved']);
  });

  it('is another command on another route, or for another owner', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    const elsewhere = await sendOnce(node, id, { ...claimOf('k1'), route: 'POST elsewhere' });
    const ofAnother = await sendOnce(node, id, { ...claimOf('k1'), owner: newId() });
    expect(new Set([first._id, elsewhere._id, ofAnother._id]).size).toBe(3);
  });

  it('is a new command with new ids once its claim was removed by retention', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    await forgetClaims();
    const second = await sendOnce(node, id, claimOf('k1', 'another'));
    expect(second._id).not.toBe(first._id);
    expect((await messagesOf(stores, id)).map(({ messageId }) => messageId)).toEqual([first._id, second._id]);
    expect(await sendOnce(node, id, claimOf('k1', 'another'))).toEqual(second);
  });

  it('is a new command with new ids after 48 hours, also when nothing removed its claim', async () => {
    const clock = manualClock(system.clock.now());
    const node = await startNode(stores, clock);
    const id = await group(node, ann);
    const first = await sendOnce(node, id, claimOf('k1'));
    await clock.advance(47 * HOUR);
    expect(await sendOnce(node, id, claimOf('k1'))).toEqual(first);
    await clock.advance(HOUR + 60_000);
    const second = await sendOnce(node, id, claimOf('k1', 'another'));
    expect((await messagesOf(stores, id)).map(({ messageId }) => messageId)).toEqual([first._id, second._id]);
  });

  it('is handled once by two nodes that find its claim removed at the same time', async () => {
    const nodes = [await startNode(stores), await startNode(stores)] as const;
    const id = await group(nodes[0], ann);
    for (let round = 0; round < 10; round++) {
      const claim = claimOf(`k${round}`);
      await sendOnce(nodes[0], id, claim);
      await forgetClaims();
      const [one, other] = await Promise.all(nodes.map((node) => sendOnce(node, id, claim)));
      expect(other).toEqual(one);
    }
    expect(await messagesOf(stores, id)).toHaveLength(20);
  });

  it('has a claim whose event id none of its own events has', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    await sendOnce(node, id, claimOf('k1'));
    const { events } = await stores.log.readAll({ direction: 'forwards', from: null });
    expect(events.map(({ type }) => type)).toEqual(['ConversationCreated', 'CommandClaimed', 'MessageSent']);
    expect(new Set(events.map((event) => event.id)).size).toBe(3);
  });

  it.each([
    [true, 1, 1],
    [false, 0, 1],
  ])(
    'has retention for its claim only where that frees something (forgetsStreams: %s)',
    async (forgetsStreams, claimed, noted) => {
      const clock = manualClock(system.clock.now());
      const node = await startNode(stores, clock, { forgetsStreams });
      const id = await group(node, ann);
      const limited: string[] = [];
      const { setRetention } = node.log;
      node.log.setRetention = (stream, retention) => {
        limited.push(stream);
        return setRetention(stream, retention);
      };
      const first = await sendOnce(node, id, claimOf('k1'));
      await node.claims.close();
      expect(limited).toHaveLength(claimed);
      // It changes nothing, so its answer is noted in the stream of the claim.
      const add = { type: 'AddMember' as const, data: { conversationId: id, userId: ann } };
      const target = { aggregate: conversation, id: () => id };
      await node.claims.run(claimOf('k2'), target, (claimedRequest) => executeClaimed(node, claimedRequest, add));
      await node.claims.close();
      expect(limited).toHaveLength(claimed + noted);
      await clock.advance(48 * HOUR + 60_000);
      expect((await sendOnce(node, id, claimOf('k1')))._id).not.toBe(first._id);
      await node.claims.close();
      expect(limited).toHaveLength(claimed + noted + 1);
      expect(await messagesOf(stores, id)).toHaveLength(2);
    },
  );

  it('has the position of its own event when it shared an append, and all that did are read together', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const reads: unknown[] = [];
    const read = node.log.readStream.bind(node.log);
    const answers = await (async () => {
      node.log.readStream = (stream, options) => {
        if (stream === `conversation-${id}`) reads.push(options);
        return read(stream, options);
      };
      return Promise.all(Array.from({ length: 20 }, (_, i) => sendOnce(node, id, claimOf(`k${i}`))));
    })();
    node.log.readStream = read;
    const { events } = await stores.log.readStream(`conversation-${id}`, { from: 1n });
    const positions = new Map(events.map(({ data, position }) => [data.messageId, position]));
    for (const { _id, position } of answers) expect(position).toBe(positions.get(_id));
    expect(positions.size).toBe(20);
    expect(reads.length).toBeLessThanOrEqual(3);
  });

  it('fails with outcome-unknown when the position of its event cannot be read, and a repetition finds it', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const read = node.log.readStream.bind(node.log);
    node.log.readStream = (stream, options) =>
      stream.startsWith('conversation-')
        ? Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'))
        : read(stream, options);
    const outcomes = await Promise.allSettled([1, 2, 3].map((i) => sendOnce(node, id, claimOf(`k${i}`))));
    node.log.readStream = read;
    const failed = outcomes.filter(({ status }) => status === 'rejected');
    expect(failed.length).toBeGreaterThan(0);
    for (const outcome of failed) expect(outcome).toMatchObject({ reason: { code: 'outcome-unknown' } });
    await Promise.all([1, 2, 3].map((i) => sendOnce(node, id, claimOf(`k${i}`))));
    expect(await messagesOf(stores, id)).toHaveLength(3);
  });
});
