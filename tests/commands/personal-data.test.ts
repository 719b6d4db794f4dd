import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { user } from '../../src/aggregates/user/decider.ts';
import type { UserCommand } from '../../src/commands/user.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import {
  commandMetadata,
  erase,
  execute,
  group,
  message,
  messagesOf,
  newId,
  newUuid,
  startNode,
  type TestNode,
} from './node.ts';

let stores: MemoryStores;

beforeEach(async () => {
  stores = await openMemoryStores();
});

afterEach(async () => {
  await stores.close();
});

/** A node that reaches the keys by these methods where they are given, and otherwise as they are. */
const startNodeWith = (keys: Partial<KeyStore>): Promise<TestNode> => {
  const { keys: own } = stores;
  const replaced: KeyStore = {
    get: (name) => own.get(name),
    getMany: (names) => own.getMany(names),
    create: (name, secret) => own.create(name, secret),
    destroy: (name) => own.destroy(name),
    list: (prefix) => own.list(prefix),
    close: () => own.close(),
    ...keys,
  };
  return startNode({ ...stores, keys: replaced });
};

describe('the cached state of an account', () => {
  async function registered(node: TestNode): Promise<string> {
    const userId = newId();
    const data = {
      userId,
      email: 'ann@example.org',
      username: 'ann',
      firstname: null,
      lastname: null,
      usernameHolder: userId,
      linkId: newUuid(),
      language: 'en' as const,
      linkExpiresAt: '2030-01-01T00:00:00.000Z',
    };
    const command: UserCommand = { type: 'RegisterUser', data, metadata: commandMetadata(userId) };
    await node.commands.handle(user, userId, command);
    return userId;
  }

  /** Reads the whole log with a subscription that does not ask for `UserErased`. */
  async function readLog(node: TestNode): Promise<void> {
    const batches = node.log.subscribe({ after: null, filter: { types: ['MessageSent'] } });
    for await (const { events, caughtUp } of batches) {
      expect(events).toEqual([]);
      if (caughtUp) return;
    }
  }

  it('is dropped when the node reads that the person was erased, by any subscription', async () => {
    const node = await startNode(stores);
    const userId = await registered(node);
    const other = await registered(node);
    await erase(stores, userId);
    expect((await node.commands.load(user, userId, 'cached')).state).toMatchObject({ email: 'ann@example.org' });
    await readLog(node);

    const read = node.log.counts.read;
    const { state } = await node.commands.load(user, userId, 'cached');
    expect(state).toMatchObject({ status: 'erased', userId });
    expect(JSON.stringify(state)).not.toContain('ann');
    expect(node.log.counts.read - read).toBe(3);
    // The states of others stay in memory.
    expect((await node.commands.load(user, other, 'cached')).state).toMatchObject({ email: 'ann@example.org' });
    expect(node.log.counts.read - read).toBe(3);
  });

  it('is not cached when the erasure was read while it was loaded', async () => {
    const userId = await registered(await startNode(stores));
    const node = await startNode(stores);
    const readStream = node.log.readStream.bind(node.log);
    const [hasRead, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    node.log.readStream = async (...args) => {
      const slice = await readStream(...args);
      hasRead.resolve();
      await gate.promise;
      return slice;
    };
    const loading = node.commands.load(user, userId, 'cached');
    await hasRead.promise;
    await erase(stores, userId);
    await readLog(node);
    gate.resolve();
    await loading;
    expect((await node.commands.load(user, userId, 'cached')).state).toMatchObject({ status: 'erased', userId });
  });
});

describe('a command with personal data', () => {
  it('is refused as unauthenticated once its person was erased, and the others of its batch are handled', async () => {
    const node = await startNode(stores);
    const [ann, bob] = [newId(), newId()];
    const id = await group(node, ann, bob);
    await execute(node, bob, message(id, 'before'));
    await erase(stores, bob);
    const restarted = await startNode(stores);
    const outcomes = await Promise.allSettled([
      execute(restarted, ann, message(id, 'one')),
      execute(restarted, bob, message(id, 'after the erasure')),
      execute(restarted, ann, message(id, 'two')),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'unauthenticated' } },
      { status: 'fulfilled' },
    ]);
    expect((await messagesOf({ log: restarted.log }, id)).map(({ content }) => content)).toEqual([null, 'one', 'two']);
  });

  it('is refused as unavailable when its key cannot be read, nothing of it is written, and others are handled', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(await startNode(stores), ann, bob);
    let isAway = true;
    const node = await startNodeWith({
      create: (name, secret) =>
        isAway && name.endsWith(bob)
          ? Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'))
          : stores.keys.create(name, secret),
    });
    const outcomes = await Promise.allSettled([
      execute(node, bob, message(id, 'lost')),
      execute(node, ann, message(id, 'kept')),
    ]);
    expect(outcomes).toMatchObject([{ reason: { code: 'unavailable' } }, { status: 'fulfilled' }]);
    isAway = false;
    await execute(node, bob, message(id, 'later'));
    expect((await messagesOf(stores, id)).map(({ content, seq }) => [seq, content])).toEqual([
      [1, 'kept'],
      [2, 'later'],
    ]);
  });

  it('is handled while the keys of others, who wrote to the same stream on another node, cannot be read', async () => {
    const other = await startNode(stores);
    const [ann, bob] = [newId(), newId()];
    const id = await group(other, ann, bob);
    await execute(other, bob, message(id, 'from bob'));
    let isAway = false;
    const unavailable = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
    const node = await startNodeWith({
      create: (name, secret) => (isAway ? unavailable() : stores.keys.create(name, secret)),
      getMany: (names) => (isAway ? unavailable() : stores.keys.getMany(names)),
    });
    await execute(node, ann, message(id, 'her key is in memory now'));
    isAway = true;
    await execute(other, bob, message(id, 'from bob again'));
    await execute(node, ann, message(id, 'from ann'));
    expect((await messagesOf(stores, id)).map(({ content }) => content)).toEqual([
      'from bob',
      'her key is in memory now',
      'from bob again',
      'from ann',
    ]);
  });

  it('waits for its key without holding up the commands of others, keeps its order, and is handled before close', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(await startNode(stores), ann, bob);
    const gate = Promise.withResolvers<void>();
    const node = await startNodeWith({
      create: async (name, secret) => {
        if (name.endsWith(bob)) await gate.promise;
        return stores.keys.create(name, secret);
      },
    });
    const waiting = ['first', 'second'].map((content) => execute(node, bob, message(id, content)));
    for (const content of ['one', 'two']) await execute(node, ann, message(id, content));
    let hasClosed = false;
    const closing = node.commands.close().then(() => {
      hasClosed = true;
    });
    // Time for everything that does not wait for the key.
    for (let turn = 0; turn < 50; turn++) await system.clock.nextTurn();
    expect(hasClosed).toBe(false);
    gate.resolve();
    await Promise.all(waiting);
    await closing;
    expect((await messagesOf(stores, id)).map(({ content, seq }) => [seq, content])).toEqual([
      [1, 'one'],
      [2, 'two'],
      [3, 'first'],
      [4, 'second'],
    ]);
  });
});
