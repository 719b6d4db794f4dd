import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { directConversationId } from '../../src/kernel/ids.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { EventLog, Subscribe } from '../../src/log/event-log.ts';
import type { LoadMemberships } from '../../src/push/audience.ts';
import type { Hub } from '../../src/push/hub.ts';
import { execute, group, message, newId, newUuid } from '../commands/node.ts';
import { endedSession, listen, read, startWorld, TestClient, type World } from './world.ts';

let world: World;
let hub: Hub;

beforeAll(async () => {
  world = await startWorld();
  hub = await world.hub();
});
afterAll(() => world.close());

const send = (actor: string, conversationId: string, content: string) =>
  execute(world.node, actor, message(conversationId, content));
const add = (actor: string, conversationId: string, userId: string) =>
  execute(world.node, actor, { type: 'AddMember', data: { conversationId, userId } });
const remove = (actor: string, conversationId: string, userId: string) =>
  execute(world.node, actor, { type: 'RemoveMember', data: { conversationId, userId } });

/** Collects what is logged as a warning or an error. */
function collectingLog(): { logger: Logger; logged: string[] } {
  const logged: string[] = [];
  const warn = (_fields: object, text: string): void => void logged.push(`warn: ${text}`);
  const error = (_fields: object, text: string): void => void logged.push(`error: ${text}`);
  return { logged, logger: { ...silentLogger, warn, error } };
}

describe('a message', () => {
  it('is delivered to each connection of each member, as the same buffer', async () => {
    const [ann, bob, eve] = [newId(), newId(), newId()];
    const id = await group(world.node, ann, bob);
    const devices = [await listen(hub, ann), await listen(hub, ann), await listen(hub, bob)];
    const stranger = await listen(hub, eve);
    await send(ann, id, 'hello');
    await Promise.all(devices.map((device) => device.until(({ contents }) => contents.length === 1)));
    const [first] = devices[0]?.frames ?? [];
    expect(devices.map(({ contents }) => contents)).toStrictEqual([['hello'], ['hello'], ['hello']]);
    // It is serialized once.
    for (const { frames } of devices) expect(frames[0]?.bytes).toBe(first?.bytes);
    expect(stranger.frames).toStrictEqual([]);
  });

  it('is delivered to a user who had no conversation with the sender before', async () => {
    const [ann, bob] = [newId(), newId()];
    const bobs = await listen(hub, bob);
    const conversationId = directConversationId(ann, bob);
    const text = { messageId: newUuid(), content: 'hello', replyTo: null, mentions: [] };
    await execute(world.node, ann, { type: 'SendDirectMessage', data: { conversationId, otherUserId: bob, ...text } });
    await bobs.until(({ frames }) => frames.length === 2);
    expect(bobs.received.map(({ event }) => event)).toStrictEqual(['conversation:created', 'message:sent']);
  });
});

describe('members who enter and leave', () => {
  it('a removed member receives the removal, and nothing after it', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const [anns, bobs] = [await listen(hub, ann), await listen(hub, bob)];
    await send(ann, id, 'before');
    await remove(ann, id, bob);
    await send(ann, id, 'after');
    await anns.until(({ contents }) => contents.includes('after'));
    expect(bobs.received.map(({ event }) => event)).toStrictEqual(['message:sent', 'conversation:member:removed']);
    expect(bobs.received[1]?.payload).toStrictEqual({ conversation: { _id: id }, userId: bob });
  });

  it('a new member receives the addition, and everything after it', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann);
    const bobs = await listen(hub, bob);
    await send(ann, id, 'before');
    await add(ann, id, bob);
    await send(ann, id, 'after');
    await bobs.until(({ contents }) => contents.includes('after'));
    expect(bobs.received.map(({ event }) => event)).toStrictEqual(['conversation:member:added', 'message:sent']);
  });

  it('a member who connects after the addition receives the messages of the conversation', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann);
    await add(ann, id, bob);
    const bobs = await listen(hub, bob);
    await send(ann, id, 'hello');
    await bobs.until(({ contents }) => contents.length === 1);
  });

  it('the members of a deleted conversation receive its end', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listen(hub, bob);
    await execute(world.node, ann, { type: 'DeleteConversation', data: { conversationId: id } });
    await bobs.until(({ frames }) => frames.length === 1);
    expect(bobs.received[0]).toMatchObject({ event: 'conversation:deleted', payload: { conversation: { _id: id } } });
  });

  it('how far a member has read is delivered to all members, and in a large conversation to that member only', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const [anns, bobs] = [await listen(hub, ann), await listen(hub, bob)];
    await read(world.node, ann, id, 0, 201);
    await read(world.node, bob, id, 0);
    await Promise.all([
      anns.until(({ frames }) => frames.length === 2),
      bobs.until(({ frames }) => frames.length === 1),
    ]);
    expect(anns.received.map(({ payload }) => payload.userId)).toStrictEqual([ann, bob]);
    expect(bobs.received.map(({ payload }) => payload.userId)).toStrictEqual([bob]);
  });
});

describe('while the rooms of a user are loaded', () => {
  /** Loads memberships when `open` is called, and not before. `called`: the hub waits for them. */
  function gated(): { memberships: LoadMemberships; called: Promise<void>; open: () => void } {
    const called = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const memberships: LoadMemberships = async (userId, position) => {
      called.resolve();
      await gate.promise;
      return world.memberships(userId, position);
    };
    return { memberships, called: called.promise, open: gate.resolve };
  }

  it('nothing that happens meanwhile is lost or delivered twice', async () => {
    const { memberships, called, open } = gated();
    const slow = await world.hub({ memberships });
    const [ann, bob] = [newId(), newId()];
    const [stays, leaves, joins] = [
      await group(world.node, ann, bob),
      await group(world.node, ann, bob),
      await group(world.node, ann),
    ];
    const bobs = new TestClient(slow, bob);
    const released = bobs.listen();
    await called;
    await remove(ann, leaves, bob);
    await add(ann, joins, bob);
    await send(ann, leaves, 'not for bob');
    await send(ann, joins, 'first');
    await send(ann, stays, 'second');
    open();
    await released;
    await send(ann, joins, 'third');
    await bobs.until(({ contents }) => contents.includes('third'));
    expect(bobs.contents).toStrictEqual(['first', 'second', 'third']);
    expect(bobs.received.map(({ event }) => event)).toStrictEqual([
      'conversation:member:removed',
      'conversation:member:added',
      'message:sent',
      'message:sent',
      'message:sent',
    ]);
  });

  it('a client that disconnects meanwhile leaves no state', async () => {
    const { memberships, called, open } = gated();
    const slow = await world.hub({ memberships });
    const bobs = new TestClient(slow, newId());
    const connecting = slow.connect(bobs);
    await called;
    expect(slow.stats()).toMatchObject({ connections: 1, users: 1 });
    bobs.close();
    open();
    await connecting;
    expect(slow.stats()).toMatchObject({ connections: 0, users: 0 });
    await slow.release(bobs, null, () => expect.unreachable('it has disconnected'));
  });

  it('an unavailable read model rejects the connection, and the next connection loads them again', async () => {
    let isAway = true;
    const memberships: LoadMemberships = async (userId, position) => {
      if (isAway) throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      return world.memberships(userId, position);
    };
    const failing = await world.hub({ memberships });
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const both = [new TestClient(failing, bob), new TestClient(failing, bob)];
    for (const outcome of await Promise.allSettled(both.map((client) => failing.connect(client)))) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
    }
    expect(failing.stats()).toMatchObject({ connections: 0, users: 0 });
    isAway = false;
    const bobs = await listen(failing, bob);
    await send(ann, id, 'hello');
    await bobs.until(({ contents }) => contents.length === 1);
  });
});

describe('a session that ends', () => {
  it('ends its own connections only, and is known as ended', async () => {
    const [ann, sessionId] = [newId(), newUuid()];
    const [own, other] = [await listen(hub, ann, sessionId), await listen(hub, ann)];
    await endedSession(world.node, ann, sessionId);
    await own.until(({ ended }) => ended !== null);
    expect([own.ended, other.ended]).toStrictEqual(['session-ended', null]);
    expect([hub.hasEnded(sessionId), hub.hasEnded(other.sessionId)]).toStrictEqual([true, false]);
    expect(hub.connectionsOf(ann)).toBe(1);
  });

  it('is known to a node that starts later', async () => {
    const sessionId = await endedSession(world.node, newId());
    expect((await world.hub()).hasEnded(sessionId)).toBe(true);
  });
});

describe('the log', () => {
  it('may have an event that cannot be handled: it is skipped, and the others are delivered', async () => {
    const { logger, logged } = collectingLog();
    const log = withBroken(
      world.stores.log,
      (event) => event.type === 'MessageSent' && event.data.content === 'poison',
    );
    const tolerant = await world.hub({ log, logger });
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listen(tolerant, bob);
    await Promise.all(['one', 'poison', 'two'].map((content) => send(ann, id, content)));
    await bobs.until(({ contents }) => contents.includes('two'));
    expect(bobs.contents).toStrictEqual(['one', 'two']);
    expect(logged).toStrictEqual(['error: push skipped an event']);
  });

  it('may be interrupted: push goes on after the last event that it handled', async () => {
    const { logger, logged } = collectingLog();
    const interrupted = interruptible(world.stores.log);
    const tolerant = await world.hub({ log: interrupted.log, logger });
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listen(tolerant, bob);
    for (let n = 0; n < 3; n++) {
      await send(ann, id, `${n}`);
      await bobs.until(({ contents }) => contents.includes(`${n}`));
      interrupted.interrupt(n === 1);
    }
    await send(ann, id, 'last');
    await bobs.until(({ contents }) => contents.includes('last'));
    expect(bobs.contents).toStrictEqual(['0', '1', '2', 'last']);
    expect(logged).toStrictEqual(Array(3).fill('warn: a follower was interrupted and will try again'));
  });
});

it('a hub that cannot read the log when it starts reports that, and does not retry', async () => {
  const damaged = new StoreError('UNAVAILABLE', 'the event store is damaged at position 1');
  const log: EventLog = {
    ...world.stores.log,
    subscribe: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(damaged) }) }),
  };
  await expect(world.hub({ log })).rejects.toBe(damaged);
});

it('a hub that was closed has ended its clients and takes no new ones', async () => {
  const closing = await world.hub();
  const bobs = await listen(closing, newId());
  await closing.close();
  expect(bobs.ended).toBe('stopped');
  expect(closing.stats()).toMatchObject({ connections: 0, users: 0 });
  await expect(closing.connect(new TestClient(closing, newId()))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await closing.close();
});

/** The same log, with invalid data in some events. */
function withBroken(log: EventLog, isBroken: (event: RecordedEvent) => boolean): EventLog {
  async function* subscribe(options: Subscribe) {
    for await (const batch of log.subscribe(options)) {
      // A newer node may have written an event that this one does not understand.
      const events = batch.events.map((event) => (isBroken(event) ? ({ ...event, data: null } as never) : event));
      yield { ...batch, events };
    }
  }
  return { ...log, subscribe };
}

/** The same log, whose subscription can be interrupted: by an error, or by an end without one. */
function interruptible(of: EventLog): { log: EventLog; interrupt: (quietly: boolean) => void } {
  let current = new AbortController();
  let isQuiet = false;
  async function* subscribe(options: Subscribe) {
    current = new AbortController();
    const signal = AbortSignal.any([current.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    yield* of.subscribe({ ...options, signal });
    if (current.signal.aborted && !isQuiet) throw new StoreError('UNAVAILABLE', 'interrupted, as the test wants it');
  }
  const interrupt = (quietly: boolean): void => {
    isQuiet = quietly;
    current.abort();
  };
  return { log: { ...of, subscribe }, interrupt };
}
