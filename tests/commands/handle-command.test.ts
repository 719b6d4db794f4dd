import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { directConversationId, eventId } from '../../src/kernel/ids.ts';
import {
  ask,
  group,
  history,
  message,
  messagesOf,
  newId,
  newUuid,
  openShared,
  type Shared,
  startNode,
  type TestNode,
} from './node.ts';

const [ann, bob, cid] = [newId(), newId(), newId()];
let shared: Shared;

beforeEach(async () => {
  shared = await openShared();
});

afterEach(async () => {
  await shared.close();
});

describe('a command', () => {
  it('is answered with the revision and the position of its last event', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    const handled = await ask(node, ann, message(id));
    const last = (await history(shared, id)).at(-1);
    expect(handled).toMatchObject({ revision: last?.revision, position: last?.position });
    expect(handled.events.map(({ type }) => type)).toEqual(['MessageSent']);
  });

  it('gives its events ids that derive from its own', async () => {
    const node = await startNode(shared);
    const commandId = newUuid();
    const id = newId();
    await ask(
      node,
      ann,
      { type: 'CreateGroup', data: { conversationId: id, name: 'team', participants: [bob] } },
      { commandId },
    );
    expect((await history(shared, id)).map((event) => event.id)).toEqual([eventId(commandId, 0)]);
  });

  it('that was so already is answered with the position of the last event, and appends nothing', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    const { position, revision } = await ask(node, ann, message(id));
    const again = await ask(node, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    expect(again).toEqual({ events: [], revision, position });
  });

  it('that is refused appends nothing', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const before = await shared.log.head();
    await expect(ask(node, bob, message(id))).rejects.toMatchObject({ code: 'not-found' });
    expect(await shared.log.head()).toBe(before);
  });

  it('with the revision its sender saw is refused once that is no longer the last', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    const { revision } = await ask(node, ann, message(id), { expected: 0n });
    expect(revision).toBe(1n);
    await expect(ask(node, ann, message(id), { expected: 0n })).rejects.toMatchObject({ code: 'revision-mismatch' });
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('that makes the decider fail is answered alone, and those that wait with it go on', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    const broken = {
      ...conversation,
      decide: (command: Parameters<typeof conversation.decide>[0], state: never) => {
        if (command.type === 'LeaveConversation') throw new TypeError('a fault of the decider');
        return conversation.decide(command, state);
      },
    } as unknown as typeof conversation;
    const metadata = () => ({
      commandId: newUuid(),
      actor: ann,
      at: new Date().toISOString(),
      correlationId: 'c',
      causationId: null,
    });
    const send = (content: string) =>
      node.commands.handle(broken, id, {
        type: 'SendMessage',
        data: { conversationId: id, messageId: newUuid(), content, replyTo: null, mentions: [] },
        metadata: metadata(),
      });
    const leave = () =>
      node.commands.handle(broken, id, {
        type: 'LeaveConversation',
        data: { conversationId: id },
        metadata: metadata(),
      });
    const outcomes = await Promise.allSettled([send('1'), send('2'), leave(), send('3')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect((await messagesOf(shared, id)).map(({ content }) => content)).toEqual(['1', '2', '3']);
  });

  it('behind close is refused as unavailable', async () => {
    const node = await startNode(shared);
    await node.commands.close();
    await expect(group(node, ann)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('commands that wait for one stream', () => {
  it('are decided one after the other and appended together', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    const before = node.events.counts.appends;
    const sends = Array.from({ length: 200 }, (_, i) => ask(node, i % 2 === 0 ? ann : bob, message(id, `m${i}`)));
    const handled = await Promise.all(sends);
    expect(node.events.counts.appends - before).toBe(1);
    const sent = await messagesOf(shared, id);
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(sent.map(({ content }) => content)).toEqual(Array.from({ length: 200 }, (_, i) => `m${i}`));
    expect(handled.map(({ revision }) => revision)).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i + 1)));
  });

  it('are split over several appends when they are more or larger than one may hold', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const before = node.events.counts.appends;
    await Promise.all(Array.from({ length: 100 }, () => ask(node, ann, message(id, 'x'.repeat(16_000)))));
    expect(node.events.counts.appends - before).toBeGreaterThan(6);
    expect(await messagesOf(shared, id)).toHaveLength(100);
  });

  it('see what those before them decided, though it is not durable yet', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const outcomes = await Promise.allSettled([
      ask(node, ann, message(id)),
      ask(node, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } }),
      ask(node, bob, message(id)),
      ask(node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } }),
      ask(node, bob, message(id)),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
    ]);
  });

  it('are refused as unavailable beyond the limit of the queue', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const outcomes = await Promise.allSettled(Array.from({ length: 2_500 }, () => ask(node, ann, message(id))));
    const refused = outcomes.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ reason: { code: 'unavailable', retryAfterMs: 1_000 } });
    expect(await messagesOf(shared, id)).toHaveLength(2_500 - refused.length);
  });
});

describe('with another node on the same log', () => {
  it('a refusal from stale state is decided again before it is answered', async () => {
    const [one, two] = [await startNode(shared), await startNode(shared)];
    const id = await group(one, ann);
    await expect(ask(two, bob, message(id))).rejects.toMatchObject({ code: 'not-found' });
    await ask(one, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    await ask(two, bob, message(id));
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('an "already so" from stale state is decided again before it is answered', async () => {
    const [one, two] = [await startNode(shared), await startNode(shared)];
    const id = await group(one, ann, bob);
    await ask(two, ann, message(id));
    await ask(one, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    const added = await ask(two, ann, { type: 'AddMember', data: { conversationId: id, userId: bob } });
    expect(added.events.map(({ type }) => type)).toEqual(['MemberAdded']);
  });

  it('both write to one conversation, and its numbers have no gap and no double', async () => {
    const nodes = [await startNode(shared), await startNode(shared), await startNode(shared)] as const;
    const id = await group(nodes[0], ann, bob, cid);
    const sends = Array.from({ length: 300 }, (_, i) => ask(nodes[i % 3] ?? nodes[0], ann, message(id, `m${i}`)));
    await Promise.all(sends);
    const sent = await messagesOf(shared, id);
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(new Set(sent.map(({ content }) => content)).size).toBe(300);
  });

  it('two who write to each other at the same instant begin one conversation, and both messages are in it', async () => {
    const nodes = [await startNode(shared), await startNode(shared)] as const;
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
        return ask(node, from, { type: 'SendDirectMessage', data });
      };
      await Promise.all([write(nodes[0], one, other), write(nodes[1], other, one)]);
      const types = (await history(shared, conversationId)).map(({ type }) => type);
      expect(types).toEqual(['ConversationCreated', 'MessageSent', 'MessageSent']);
      const sent = await messagesOf(shared, conversationId);
      expect(sent.map(({ seq }) => seq)).toEqual([1, 2]);
      expect(new Set(sent.map(({ content }) => content))).toEqual(new Set([one, other]));
    }
  });

  it('a fresh look sees what the other appended, a cached one need not', async () => {
    const [one, two] = [await startNode(shared), await startNode(shared)];
    const id = await group(one, ann);
    await two.commands.look(conversation, id, 'cached');
    await ask(one, ann, message(id));
    expect((await two.commands.look(conversation, id, 'cached')).revision).toBe(0n);
    expect((await two.commands.look(conversation, id, 'fresh')).revision).toBe(1n);
  });
});
