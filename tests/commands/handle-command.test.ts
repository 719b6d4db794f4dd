import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { directConversationId, eventId } from '../../src/kernel/ids.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import {
  commandMetadata,
  execute,
  group,
  history,
  message,
  messagesOf,
  newId,
  newUuid,
  startNode,
  type TestNode,
} from './node.ts';

const [ann, bob, cid] = [newId(), newId(), newId()];
let stores: MemoryStores;

beforeEach(async () => {
  stores = await openMemoryStores();
});

afterEach(async () => {
  await stores.close();
});

describe('a command', () => {
  it('returns the revision and the position of its last event', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    const handled = await execute(node, ann, message(id));
    const last = (await history(stores, id)).at(-1);
    expect(handled).toMatchObject({ revision: last?.revision, position: last?.position });
    expect(handled.events.map(({ type }) => type)).toEqual(['MessageSent']);
  });

  it('derives the ids of its events from its own id', async () => {
    const node = await startNode(stores);
    const commandId = newUuid();
    const id = newId();
    await execute(
      node,
      ann,
      { type: 'CreateGroup', data: { conversationId: id, name: 'team', participants: [bob] } },
      { commandId },
    );
    expect((await history(stores, id)).map((event) => event.id)).toEqual([eventId(commandId, 0)]);
  });

  it('returns the position of the last event, and appends nothing, when nothing has to change', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    const { position, revision } = await execute(node, ann, message(id));
    const again = await execute(node, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    expect(again).toEqual({ events: [], revision, position });
  });

  it('appends nothing when it is refused', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const before = await stores.log.head();
    await expect(execute(node, bob, message(id))).rejects.toMatchObject({ code: 'not-found' });
    expect(await stores.log.head()).toBe(before);
  });

  it('is refused when the expected revision is no longer the last one', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    const { revision } = await execute(node, ann, message(id), { expected: [0n] });
    expect(revision).toBe(1n);
    await expect(execute(node, ann, message(id), { expected: [0n] })).rejects.toMatchObject({
      code: 'revision-mismatch',
    });
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('that makes the decider throw is rejected alone, and the others of its batch are handled', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    const broken = {
      ...conversation,
      decide: (command: Parameters<typeof conversation.decide>[0], state: never) => {
        if (command.type === 'LeaveConversation') throw new TypeError('an error of the decider');
        return conversation.decide(command, state);
      },
    } as unknown as typeof conversation;
    const send = (content: string) =>
      node.commands.handle(broken, id, {
        type: 'SendMessage',
        data: { conversationId: id, messageId: newUuid(), content, replyTo: null, mentions: [] },
        metadata: commandMetadata(ann),
      });
    const leave = () =>
      node.commands.handle(broken, id, {
        type: 'LeaveConversation',
        data: { conversationId: id },
        metadata: commandMetadata(ann),
      });
    const outcomes = await Promise.allSettled([send('1'), send('2'), leave(), send('3')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect((await messagesOf(stores, id)).map(({ content }) => content)).toEqual(['1', '2', '3']);
  });

  it('is refused as unavailable after close', async () => {
    const node = await startNode(stores);
    await node.commands.close();
    await expect(group(node, ann)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('commands that wait for the same stream', () => {
  it('are decided one after the other and appended together', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    // From then on the personal keys of both are in memory, so that none has to wait for its own.
    await group(node, bob);
    const before = node.log.counts.appends;
    const sends = Array.from({ length: 200 }, (_, i) => execute(node, i % 2 === 0 ? ann : bob, message(id, `m${i}`)));
    const handled = await Promise.all(sends);
    expect(node.log.counts.appends - before).toBe(1);
    const sent = await messagesOf(stores, id);
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(sent.map(({ content }) => content)).toEqual(Array.from({ length: 200 }, (_, i) => `m${i}`));
    expect(handled.map(({ revision }) => revision)).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i + 1)));
  });

  it('are split over several appends when they do not fit into one', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const before = node.log.counts.appends;
    await Promise.all(Array.from({ length: 100 }, () => execute(node, ann, message(id, 'x'.repeat(16_000)))));
    expect(node.log.counts.appends - before).toBeGreaterThan(6);
    expect(await messagesOf(stores, id)).toHaveLength(100);
  });

  it.each([
    ['control characters, which JSON writes as six bytes', '\u0001'],
    ['characters of three bytes', '漢'],
  ])('are split by their size as it is stored: %s', async (_, character) => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    await group(node, bob);
    const content = character.repeat(16_384);
    const sends = Array.from({ length: 30 }, (_, i) =>
      i % 10 === 0 ? execute(node, bob, message(id)) : execute(node, ann, message(id, content)),
    );
    await Promise.all(sends);
    expect((await messagesOf(stores, id)).filter((sent) => sent.content === content)).toHaveLength(27);
  });

  it('are decided on what the commands before them decided, although that is not durable yet', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const outcomes = await Promise.allSettled([
      execute(node, ann, message(id)),
      execute(node, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } }),
      execute(node, bob, message(id)),
      execute(node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } }),
      execute(node, bob, message(id)),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
    ]);
  });

  it('are refused as unavailable when the queue is full', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const outcomes = await Promise.allSettled(Array.from({ length: 2_500 }, () => execute(node, ann, message(id))));
    const refused = outcomes.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ reason: { code: 'unavailable', retryAfterMs: 1_000 } });
    expect(await messagesOf(stores, id)).toHaveLength(2_500 - refused.length);
  });
});

describe('with other nodes on the same log', () => {
  it('a refusal from stale state is decided again on the current state', async () => {
    const [one, two] = [await startNode(stores), await startNode(stores)];
    const id = await group(one, ann);
    await expect(execute(two, bob, message(id))).rejects.toMatchObject({ code: 'not-found' });
    await execute(one, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    await execute(two, bob, message(id));
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('a "nothing to change" from stale state is decided again on the current state', async () => {
    const [one, two] = [await startNode(stores), await startNode(stores)];
    const id = await group(one, ann, bob);
    await execute(two, ann, message(id));
    await execute(one, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    const added = await execute(two, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    expect(added.events.map(({ type }) => type)).toEqual(['MemberAdded']);
  });

  it('all write to one conversation, and its sequence numbers have no gap and no duplicate', async () => {
    const nodes = [await startNode(stores), await startNode(stores), await startNode(stores)] as const;
    const id = await group(nodes[0], ann, bob, cid);
    const sends = Array.from({ length: 300 }, (_, i) => execute(nodes[i % 3] ?? nodes[0], ann, message(id, `m${i}`)));
    await Promise.all(sends);
    const sent = await messagesOf(stores, id);
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(new Set(sent.map(({ content }) => content)).size).toBe(300);
  });

  it('two users who write to each other at the same time create one conversation with both messages', async () => {
    const nodes = [await startNode(stores), await startNode(stores)] as const;
    for (let round = 0; round < 10; round++) {
      const [one, other] = [newId(), newId()];
      const conversationId = directConversationId(one, other);
      const write = (node: TestNode, from: string, to: string) => {
        const data = {
          conversationId,
          otherUserId: to,
          messageId: newUuid(),
          content: from,
          replyTo: null,
          mentions: [],
        };
        return execute(node, from, { type: 'SendDirectMessage', data });
      };
      await Promise.all([write(nodes[0], one, other), write(nodes[1], other, one)]);
      const types = (await history(stores, conversationId)).map(({ type }) => type);
      expect(types).toEqual(['ConversationCreated', 'MessageSent', 'MessageSent']);
      const sent = await messagesOf(stores, conversationId);
      expect(sent.map(({ seq }) => seq)).toEqual([1, 2]);
      expect(new Set(sent.map(({ content }) => content))).toEqual(new Set([one, other]));
    }
  });

  it('a fresh load includes what the other node appended, a cached one may not', async () => {
    const [one, two] = [await startNode(stores), await startNode(stores)];
    const id = await group(one, ann);
    await two.commands.load(conversation, id, 'cached');
    await execute(one, ann, message(id));
    expect((await two.commands.load(conversation, id, 'cached')).revision).toBe(0n);
    expect((await two.commands.load(conversation, id, 'fresh')).revision).toBe(1n);
  });
});
