import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { execute, group, message, messagesOf, newId, openLog, startNode, type TestNode } from './node.ts';
import { copyOf, type ReplaceableLog, replaceable } from './replaceable-log.ts';

const [ann, bob] = [newId(), newId()];

let stores: MemoryStores;
let log: ReplaceableLog;
let node: TestNode;
let copy: MemoryStores;
/** Another node on the restored log. */
let other: TestNode;
let id: string;

beforeEach(async () => {
  stores = await openMemoryStores();
  log = replaceable(openLog(stores));
  const commands = await createCommandHandler({ ...system, log, documents: stores.documents, singleWriter: false });
  node = { ...(await startNode(stores)), commands };
  id = await group(node, ann, bob);
  await send(node, 'shared');
  copy = await copyOf(stores);
  other = await startNode(copy);
  await send(node, 'lost', 'lost too');
});

afterEach(async () => {
  await Promise.all([node.commands.close(), other.commands.close()]);
  await Promise.all([stores.close(), copy.close()]);
});

async function send(over: Pick<TestNode, 'commands'>, ...contents: readonly string[]): Promise<void> {
  for (const content of contents) await execute(over as TestNode, ann, message(id, content));
}

const contentsOf = async (restored: MemoryStores) => (await messagesOf(restored, id)).map(({ content }) => content);

describe('a log that was restored from an older copy while a node has states of it in memory', () => {
  it.each([
    ['is shorter than the state', []],
    ['has grown past the state', ['other', 'another', 'yet another']],
  ])('is decided on as it is, when the stream %s', async (_how, contents) => {
    await send(other, ...contents);
    log.replace(copy.log);
    await send(node, 'new', 'newer');
    expect(await contentsOf(copy)).toEqual(['shared', ...contents, 'new', 'newer']);
    const { state } = await node.commands.load(conversation, id, 'cached');
    expect(state).toMatchObject({ lastSeq: contents.length + 3 });
  });

  it('is decided on as it is once a follower has found that, also when the stream has as many events as the state', async () => {
    await execute(other, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    await send(other, 'other');
    log.replace(copy.log);
    log.restored();
    await expect(execute(node, bob, message(id, 'from bob'))).rejects.toMatchObject({ code: 'not-found' });
    await send(node, 'new');
    expect(await contentsOf(copy)).toEqual(['shared', 'other', 'new']);
  });

  it('is read by a load that asks for the latest state', async () => {
    log.replace(copy.log);
    const loaded = await node.commands.load(conversation, id, 'fresh');
    expect(loaded).toMatchObject({ revision: 1n, state: { lastSeq: 1 } });
  });
});

describe('a snapshot of what a restored log does not have', () => {
  it('is replaced by the next one, although that is of an earlier position', async () => {
    const documents = stores.documents;
    const snapshot = async () =>
      (await documents.getMany('snapshots', [`conversation-${id}`])).get(`conversation-${id}`);
    await send(node, ...Array.from({ length: 300 }, (_, n) => `lost ${n}`));
    // A load that reads more than 200 events writes a snapshot.
    const first = await createCommandHandler({ ...system, log, documents, singleWriter: false });
    await first.load(conversation, id, 'cached');
    await first.close();
    const lost = await snapshot();
    expect(lost?.body).toMatchObject({ revision: '303' });

    await send(other, ...Array.from({ length: 250 }, (_, n) => `new ${n}`));
    log.replace(copy.log);
    const second = await createCommandHandler({ ...system, log, documents, singleWriter: false });
    expect(await second.load(conversation, id, 'cached')).toMatchObject({ revision: 251n, state: { lastSeq: 251 } });
    await second.close();
    const replaced = await snapshot();
    expect(replaced?.body).toMatchObject({ revision: '251' });
    expect((replaced?.position ?? '') < (lost?.position ?? '')).toBe(true);
  });
});
