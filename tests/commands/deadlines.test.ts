import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { Claim } from '../../src/commands/claims.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { execute, group, history, message, messagesOf, newId, startNode, type TestNode } from './node.ts';

const ann = newId();
let stores: MemoryStores;
let clock: ManualClock;
let node: TestNode;
let id: string;

beforeEach(async () => {
  stores = await openMemoryStores();
  clock = manualClock(system.clock.now());
  node = await startNode(stores, clock);
  id = await group(node, ann);
});
afterEach(() => stores.close());

/** Moves the clock until the work is done, or for so long. Returns how long it took, in ms. */
async function pass(ms: number, isDone: () => boolean = () => false): Promise<number> {
  const startedAt = clock.monotonic();
  while (clock.monotonic() - startedAt < ms && !isDone()) {
    await clock.advance(250);
    for (let turn = 0; turn < 20; turn++) await clock.nextTurn();
  }
  return clock.monotonic() - startedAt;
}

/** Sends messages at the same time, and counts the outcomes: `done`, or the code of the refusal. */
function sendMany(count: number) {
  const outcomes = new Map<string, string[]>();
  const add = (outcome: string, content: string) =>
    void outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), content]);
  let open = count;
  for (let i = 0; i < count; i++) {
    execute(node, ann, message(id, `m${i}`))
      .then(
        () => add('done', `m${i}`),
        (error: { code: string }) => add(error.code, `m${i}`),
      )
      .finally(() => open--);
  }
  return { outcomes, isDone: () => open === 0 };
}

const contents = async () => (await messagesOf(stores, id)).map(({ content }) => content);

describe('with a slow store', () => {
  it('2,000 commands for one stream are all answered after 10 s, each with what became of it', async () => {
    node.log.beforeAppend.hook = () => clock.sleep(2_400);
    const { outcomes, isDone } = sendMany(2_000);
    expect(await pass(60_000, isDone)).toBeLessThanOrEqual(10_500);
    const [done = [], unknown = [], unavailable = []] = ['done', 'outcome-unknown', 'unavailable'].map((code) =>
      outcomes.get(code),
    );
    expect(done.length + unknown.length + unavailable.length).toBe(2_000);
    // Three appends of 256 events; the fourth is on its way.
    expect([done.length, unknown.length]).toEqual([3 * 256, 256]);
    await pass(20_000);
    // Those whose outcome was unknown were written; nothing else was.
    expect(await contents()).toEqual([...done, ...unknown]);
    node.log.beforeAppend.hook = async () => {};
    await execute(node, ann, message(id, 'later'));
    expect((await contents()).at(-1)).toBe('later');
  });

  it('a command whose append does not return has an unknown outcome after 10 s, and those that wait are unavailable', async () => {
    const gate = Promise.withResolvers<void>();
    node.log.beforeAppend.hook = () => gate.promise;
    const first = sendMany(1);
    await pass(1_000);
    const second = sendMany(1);
    expect(await pass(9_500, first.isDone)).toBeGreaterThanOrEqual(9_000);
    expect([...first.outcomes.keys()]).toEqual(['outcome-unknown']);
    expect(second.isDone()).toBe(false);
    await pass(1_500);
    expect([...second.outcomes.keys()]).toEqual(['unavailable']);
    gate.resolve();
    await node.commands.close();
    expect(await contents()).toEqual(['m0']);
  });

  it('a command whose stream cannot be read in time is unavailable, and is not written when it can', async () => {
    const gate = Promise.withResolvers<void>();
    const other = await startNode(stores, clock);
    const read = other.log.readStream.bind(other.log);
    other.log.readStream = async (...args) => {
      await gate.promise;
      return read(...args);
    };
    const outcome = execute(other, ann, message(id, 'lost')).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    await pass(10_500);
    expect(await outcome).toBe('unavailable');
    gate.resolve();
    await other.commands.close();
    expect(await contents()).toEqual([]);
  });

  it('a command whose personal key cannot be read in time is unavailable, and is not written when it can', async () => {
    const gate = Promise.withResolvers<void>();
    const keys: typeof stores.keys = Object.create(stores.keys);
    keys.create = async (name, secret) => {
      await gate.promise;
      return stores.keys.create(name, secret);
    };
    const other = await startNode({ ...stores, keys }, clock);
    const outcome = execute(other, ann, message(id, 'lost')).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    await pass(10_500);
    expect(await outcome).toBe('unavailable');
    gate.resolve();
    await other.commands.close();
    expect(await contents()).toEqual([]);
  });

  it('a command with a key whose claim cannot be appended in time is unavailable, and its repetition is handled once', async () => {
    const claim: Claim = { owner: ann, route: 'POST', key: 'k', bodyHash: 'b', actor: ann, correlationId: 'c' };
    const send = () =>
      node.claims.run(claim, { aggregate: conversation, id: () => id }, ({ ids, earlier, ...options }) =>
        earlier === undefined
          ? execute(node, ann, message(id, 'once', ids.uuid('message', 0)), options)
          : Promise.resolve(earlier),
      );
    node.log.beforeAppend.hook = (stream) => (stream.startsWith('command-') ? clock.sleep(60_000) : Promise.resolve());
    const refused = expect(send()).rejects.toMatchObject({ code: 'unavailable' });
    await pass(10_500);
    await refused;
    await pass(60_000);
    node.log.beforeAppend.hook = async () => {};
    await Promise.all([send(), send()]);
    expect(await contents()).toEqual(['once']);
  });
});

describe('a command whose client has left', () => {
  it('before it was decided is dropped, and those of others are handled', async () => {
    const gate = Promise.withResolvers<void>();
    node.log.beforeAppend.hook = () => gate.promise;
    const first = execute(node, ann, message(id, 'first'));
    // From then on the first one is on its way to the store.
    await clock.nextTurn();
    const left = new AbortController();
    const dropped = expect(execute(node, ann, message(id, 'dropped'), { signal: left.signal })).rejects.toMatchObject({
      code: 'unavailable',
    });
    const last = execute(node, ann, message(id, 'last'), { signal: new AbortController().signal });
    left.abort();
    await pass(500);
    await dropped;
    gate.resolve();
    await first;
    await pass(500);
    await last;
    expect(await contents()).toEqual(['first', 'last']);
  });

  it('is not decided although it was not dropped yet when its turn came', async () => {
    const left = new AbortController();
    const sends = [
      execute(node, ann, message(id, 'kept')),
      execute(node, ann, message(id, 'dropped'), { signal: left.signal }),
    ];
    left.abort();
    expect(await Promise.allSettled(sends)).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected' }]);
    expect(await contents()).toEqual(['kept']);
  });

  it('after it was decided has its outcome', async () => {
    const gate = Promise.withResolvers<void>();
    const isAppending = Promise.withResolvers<void>();
    node.log.beforeAppend.hook = () => {
      isAppending.resolve();
      return gate.promise;
    };
    const left = new AbortController();
    const sent = execute(node, ann, message(id, 'kept'), { signal: left.signal });
    await isAppending.promise;
    left.abort();
    await pass(1_000);
    gate.resolve();
    expect(await sent).toMatchObject({ revision: 1n });
  });

  it('is handled as long as another client waits for the same key', async () => {
    const leaving = new AbortController();
    const send = (signal: AbortSignal) => {
      const claim = { owner: ann, route: 'POST', key: 'k', bodyHash: 'b', actor: ann, correlationId: 'c', signal };
      return node.claims.run(claim, { aggregate: conversation, id: () => id }, ({ ids, earlier: _, ...options }) =>
        execute(node, ann, message(id, 'once', ids.uuid('message', 0)), options),
      );
    };
    const gate = Promise.withResolvers<void>();
    node.log.beforeAppend.hook = () => gate.promise;
    const [first, second] = [send(leaving.signal), send(new AbortController().signal)];
    leaving.abort();
    await pass(1_000);
    gate.resolve();
    expect(await second).toEqual(await first);
    expect(await contents()).toEqual(['once']);
  });
});

describe('a repetition', () => {
  it('is searched for outside of the turn: the commands of others are handled meanwhile', async () => {
    const gate = Promise.withResolvers<void>();
    const hasRead = Promise.withResolvers<void>();
    await execute(node, ann, message(id, 'first'));
    const read = node.log.readStream.bind(node.log);
    node.log.readStream = async (...args) => {
      hasRead.resolve();
      await gate.promise;
      return read(...args);
    };
    const repeated = execute(node, ann, message(id, 'repeated'), { handledSince: -1n });
    await hasRead.promise;
    await execute(node, ann, message(id, 'meanwhile'));
    gate.resolve();
    await repeated;
    expect(await contents()).toEqual(['first', 'meanwhile', 'repeated']);
  });

  it('finds an outcome that came between its search and its turn, from this node and from another', async () => {
    const other = await startNode(stores, clock);
    for (const faster of [node, other]) {
      const { commandId } = (await history(stores, id)).at(-1)!.metadata;
      const bob = newId();
      const body = { type: 'AddMember' as const, data: { conversationId: id, userId: bob } };
      const own = { commandId: system.random.uuid(clock.now()) };
      expect(own.commandId).not.toBe(commandId);
      const read = node.log.readStream.bind(node.log);
      node.log.readStream = async (...args) => {
        const slice = await read(...args);
        node.log.readStream = read;
        await execute(faster, ann, body, own);
        await execute(faster, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
        await node.commands.load(conversation, id, 'fresh');
        return slice;
      };
      const { events } = await execute(node, ann, body, { ...own, handledSince: -1n });
      expect(events).toHaveLength(1);
      const added = (await history(stores, id)).filter(({ metadata }) => metadata.commandId === own.commandId);
      expect(added).toHaveLength(1);
    }
  });

  it('costs the turn no read when nothing was written since its search', async () => {
    await execute(node, ann, message(id, 'first'));
    const other = await startNode(stores, clock);
    await other.commands.load(conversation, id, 'cached');
    let reads = 0;
    const read = other.log.readStream.bind(other.log);
    other.log.readStream = (...args) => {
      reads++;
      return read(...args);
    };
    await execute(other, ann, message(id, 'second'), { handledSince: 0n });
    expect(reads).toBe(1);
  });
});

it('a store that is unavailable while the own position of a repeated command is read leaves the outcome unknown', async () => {
  const claim = { owner: ann, route: 'POST', key: 'k', bodyHash: 'b', actor: ann, correlationId: 'c' };
  const read = node.log.readStream.bind(node.log);
  const send = () =>
    node.claims.run(claim, { aggregate: conversation, id: () => id }, ({ ids, earlier, ...options }) =>
      earlier === undefined
        ? execute(node, ann, message(id, 'once', ids.uuid('message', 0)), options)
        : Promise.resolve(earlier),
    );
  const isAppending = Promise.withResolvers<void>();
  // Both wait while an append before them is on its way.
  const gate = Promise.withResolvers<void>();
  node.log.beforeAppend.hook = async (stream) => {
    if (stream.startsWith('command-')) return;
    isAppending.resolve();
    await gate.promise;
  };
  const before = execute(node, ann, message(id, 'before'));
  await isAppending.promise;
  const sent = expect(send()).rejects.toMatchObject({ code: 'outcome-unknown' });
  await pass(1_000);
  // Waits together with it, and is appended after it.
  const other = execute(node, ann, message(id, 'other'));
  // Its own position, and nothing else, has to be read after the append.
  node.log.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
  gate.resolve();
  await pass(500);
  await sent;
  await Promise.all([before, other]);
  node.log.readStream = read;
  const { position } = await send();
  const own = (await history(stores, id)).find(({ data }) => 'content' in data && data.content === 'once');
  expect(position).toBe(own?.position);
  expect(await contents()).toEqual(['before', 'once', 'other']);
});
