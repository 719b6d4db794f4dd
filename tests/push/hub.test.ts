import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { directConversationId } from '../../src/kernel/ids.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { LoadMemberships } from '../../src/push/audience.ts';
import type { Hub } from '../../src/push/hub.ts';
import { ask, group, message, newId, newUuid } from '../commands/node.ts';
import { endedSession, listening, read, startWorld, TestClient, through, type World } from './world.ts';

let world: World;
let hub: Hub;

beforeAll(async () => {
  world = await startWorld();
  hub = await world.hub();
});
afterAll(() => world.close());

const send = (actor: string, conversationId: string, content: string) =>
  ask(world.node, actor, message(conversationId, content));
const add = (actor: string, conversationId: string, userId: string) =>
  ask(world.node, actor, { type: 'AddMember', data: { conversationId, userId } });
const remove = (actor: string, conversationId: string, userId: string) =>
  ask(world.node, actor, { type: 'RemoveMember', data: { conversationId, userId } });

/** Collects what is logged as a warning or an error. */
function collectingLog(): { logger: Logger; logged: string[] } {
  const logged: string[] = [];
  const warn = (_fields: object, text: string): void => void logged.push(`warn: ${text}`);
  const error = (_fields: object, text: string): void => void logged.push(`error: ${text}`);
  return { logged, logger: { ...silentLogger, warn, error } };
}

describe('a message', () => {
  it('is told to every device of every member, in the very same bytes', async () => {
    const [ann, bob, eve] = [newId(), newId(), newId()];
    const id = await group(world.node, ann, bob);
    const devices = [await listening(hub, ann), await listening(hub, ann), await listening(hub, bob)];
    const stranger = await listening(hub, eve);
    await send(ann, id, 'hello');
    await Promise.all(devices.map((device) => device.until(({ heard }) => heard.length === 1)));
    const [first] = devices[0]?.frames ?? [];
    expect(devices.map(({ heard }) => heard)).toStrictEqual([['hello'], ['hello'], ['hello']]);
    // Serialised once: not equal bytes, but the same ones.
    for (const { frames } of devices) expect(frames[0]?.bytes).toBe(first?.bytes);
    expect(stranger.frames).toStrictEqual([]);
  });

  it('is heard by two who write to each other for the first time', async () => {
    const [ann, bob] = [newId(), newId()];
    const bobs = await listening(hub, bob);
    const conversationId = directConversationId(ann, bob);
    const text = { messageId: newUuid(), content: 'hello', replyTo: null, mentions: [] };
    await ask(world.node, ann, { type: 'SendDirectMessage', data: { conversationId, otherUserId: bob, ...text } });
    await bobs.until(({ frames }) => frames.length === 2);
    expect(bobs.told.map(({ event }) => event)).toStrictEqual(['conversation:created', 'message:sent']);
  });
});

describe('who comes and goes', () => {
  it('a removed member hears of the removal, and of nothing behind it', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const [anns, bobs] = [await listening(hub, ann), await listening(hub, bob)];
    await send(ann, id, 'before');
    await remove(ann, id, bob);
    await send(ann, id, 'behind');
    await anns.until(({ heard }) => heard.includes('behind'));
    expect(bobs.told.map(({ event }) => event)).toStrictEqual(['message:sent', 'conversation:member:removed']);
    expect(bobs.told[1]?.payload).toStrictEqual({ conversation: { _id: id }, userId: bob });
  });

  it('a new member hears of it, and of all behind it', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann);
    const bobs = await listening(hub, bob);
    await send(ann, id, 'before');
    await add(ann, id, bob);
    await send(ann, id, 'behind');
    await bobs.until(({ heard }) => heard.includes('behind'));
    expect(bobs.told.map(({ event }) => event)).toStrictEqual(['conversation:member:added', 'message:sent']);
  });

  it('who connects after having joined hears of the conversation', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann);
    await add(ann, id, bob);
    const bobs = await listening(hub, bob);
    await send(ann, id, 'hello');
    await bobs.until(({ heard }) => heard.length === 1);
  });

  it('the end of a conversation is told to its members', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listening(hub, bob);
    await ask(world.node, ann, { type: 'DeleteConversation', data: { conversationId: id } });
    await bobs.until(({ frames }) => frames.length === 1);
    expect(bobs.told[0]).toMatchObject({ event: 'conversation:deleted', payload: { conversation: { _id: id } } });
  });

  it('how far a member has read is told to the others, and in a large conversation to oneself only', async () => {
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const [anns, bobs] = [await listening(hub, ann), await listening(hub, bob)];
    await read(world.node, ann, id, 0, 201);
    await read(world.node, bob, id, 0);
    await Promise.all([
      anns.until(({ frames }) => frames.length === 2),
      bobs.until(({ frames }) => frames.length === 1),
    ]);
    expect(anns.told.map(({ payload }) => payload.userId)).toStrictEqual([ann, bob]);
    expect(bobs.told.map(({ payload }) => payload.userId)).toStrictEqual([bob]);
  });
});

describe('while the rooms of a user are loaded', () => {
  /** Loads only when it is told to, and then what is true by then. */
  function gated(): { memberships: LoadMemberships; asked: Promise<void>; open: () => void } {
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const memberships: LoadMemberships = async (userId, position) => {
      asked.resolve();
      await gate.promise;
      return world.memberships(userId, position);
    };
    return { memberships, asked: asked.promise, open: gate.resolve };
  }

  it('nothing of what happens meanwhile is lost or told twice', async () => {
    const { memberships, asked, open } = gated();
    const slow = await world.hub({ memberships });
    const [ann, bob] = [newId(), newId()];
    const [stays, leaves, joins] = [
      await group(world.node, ann, bob),
      await group(world.node, ann, bob),
      await group(world.node, ann),
    ];
    const bobs = new TestClient(slow, bob);
    const released = bobs.listen();
    await asked;
    await remove(ann, leaves, bob);
    await add(ann, joins, bob);
    await send(ann, leaves, 'not for bob');
    await send(ann, joins, 'first');
    await send(ann, stays, 'second');
    open();
    await released;
    await send(ann, joins, 'third');
    await bobs.until(({ heard }) => heard.includes('third'));
    expect(bobs.heard).toStrictEqual(['first', 'second', 'third']);
    expect(bobs.told.map(({ event }) => event)).toStrictEqual([
      'conversation:member:removed',
      'conversation:member:added',
      'message:sent',
      'message:sent',
      'message:sent',
    ]);
  });

  it('who leaves meanwhile leaves nothing behind', async () => {
    const { memberships, asked, open } = gated();
    const slow = await world.hub({ memberships });
    const bobs = new TestClient(slow, newId());
    const connecting = slow.connect(bobs);
    await asked;
    expect(slow.stats()).toMatchObject({ connections: 1, users: 1 });
    bobs.close();
    open();
    await connecting;
    expect(slow.stats()).toMatchObject({ connections: 0, users: 0 });
    await slow.release(bobs, null, () => expect.unreachable('it has gone'));
  });

  it('a read model that does not get there is told, and the next one tries again', async () => {
    let away = true;
    const memberships: LoadMemberships = async (userId, position) => {
      if (away) throw new StoreError('UNAVAILABLE', 'away, as the test wants it');
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
    away = false;
    const bobs = await listening(failing, bob);
    await send(ann, id, 'hello');
    await bobs.until(({ heard }) => heard.length === 1);
  });
});

describe('a session that ends', () => {
  it('ends its connections and no others, and is remembered', async () => {
    const [ann, sessionId] = [newId(), randomUUID()];
    const [of, other] = [await listening(hub, ann, sessionId), await listening(hub, ann)];
    await endedSession(world.node, ann, sessionId);
    await of.until(({ ended }) => ended !== null);
    expect([of.ended, other.ended]).toStrictEqual(['session-ended', null]);
    expect([hub.hasEnded(sessionId), hub.hasEnded(other.sessionId)]).toStrictEqual([true, false]);
    expect(hub.connectionsOf(ann)).toBe(1);
  });

  it('is known to a node that starts later', async () => {
    const sessionId = await endedSession(world.node, newId());
    expect((await world.hub()).hasEnded(sessionId)).toBe(true);
  });
});

describe('the log', () => {
  it('may hold an event that cannot be told: the others are', async () => {
    const { logger, logged } = collectingLog();
    const events = withBroken(
      world.shared.log,
      (event) => event.type === 'MessageSent' && event.data.content === 'poison',
    );
    const tough = await world.hub({ events, logger });
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listening(tough, bob);
    await Promise.all(['one', 'poison', 'two'].map((content) => send(ann, id, content)));
    await bobs.until(({ heard }) => heard.includes('two'));
    expect(bobs.heard).toStrictEqual(['one', 'two']);
    expect(logged).toStrictEqual(['error: push passed over an event']);
  });

  it('may break off: push goes on behind the last event it took', async () => {
    const { logger, logged } = collectingLog();
    const breaking = breakable(world.shared.log);
    const tough = await world.hub({ events: breaking.events, logger });
    const [ann, bob] = [newId(), newId()];
    const id = await group(world.node, ann, bob);
    const bobs = await listening(tough, bob);
    for (let n = 0; n < 3; n++) {
      await send(ann, id, `${n}`);
      await bobs.until(({ heard }) => heard.includes(`${n}`));
      breaking.breakOff(n === 1);
    }
    await send(ann, id, 'last');
    await bobs.until(({ heard }) => heard.includes('last'));
    expect(bobs.heard).toStrictEqual(['0', '1', '2', 'last']);
    expect(logged).toStrictEqual(Array(3).fill('warn: push lost the log and tries again'));
  });
});

it('a hub that closes ends its clients and lets nobody in any more', async () => {
  const closing = await world.hub();
  const bobs = await listening(closing, newId());
  await closing.close();
  expect(bobs.ended).toBe('stopped');
  expect(closing.stats()).toMatchObject({ connections: 0, users: 0 });
  await expect(closing.connect(new TestClient(closing, newId()))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await closing.close();
});

/** The same log, with data that nobody understands in some events. */
function withBroken(store: EventStore, isBroken: (event: RecordedEvent) => boolean): EventStore {
  return through(store, async function* (options) {
    for await (const batch of store.subscribe(options)) {
      // As an event would look that a newer node wrote.
      const events = batch.events.map((event) => (isBroken(event) ? ({ ...event, data: null } as never) : event));
      yield { ...batch, events };
    }
  });
}

/** The same log, whose subscription can be broken off: by an error, or by ending without one. */
function breakable(store: EventStore): { events: EventStore; breakOff: (quietly: boolean) => void } {
  let current = new AbortController();
  let isQuiet = false;
  const events = through(store, async function* (options) {
    current = new AbortController();
    const signal = AbortSignal.any([current.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    yield* store.subscribe({ ...options, signal });
    if (current.signal.aborted && !isQuiet) throw new StoreError('UNAVAILABLE', 'broken off, as the test wants it');
  });
  const breakOff = (quietly: boolean): void => {
    isQuiet = quietly;
    current.abort();
  };
  return { events, breakOff };
}
