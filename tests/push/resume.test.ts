import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { endOf, formatFrameId } from '../../src/push/frames.ts';
import type { Hub } from '../../src/push/hub.ts';
import { ask, group, message, newId } from '../commands/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { listening, startWorld, TestClient, through, type World } from './world.ts';

let world: World;
let hub: Hub;
let ann: string;
let bob: string;
let conversationId: string;

beforeAll(async () => {
  world = await startWorld();
  hub = await world.hub();
  [ann, bob] = [newId(), newId()];
  conversationId = await group(world.node, ann, bob);
});
afterAll(() => world.close());

const send = (...contents: readonly string[]) =>
  Promise.all(contents.map((content) => ask(world.node, ann, message(conversationId, content))));
const numbered = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `${from + n}`);

/** Bob's client on this hub, which has heard `content` as the last and is gone again. */
async function leftBehind(content: string, on = hub): Promise<TestClient> {
  const client = await listening(on, bob);
  await send(content);
  await client.until(({ heard }) => heard.includes(content));
  client.close();
  return client;
}

/** Waits until a hub has told everything up to now. */
async function settled(on = hub): Promise<void> {
  const probe = await listening(on, bob);
  await send('probe');
  await probe.until(({ heard }) => heard.includes('probe'));
  probe.close();
}

/** A node that has started, and to which nothing more comes before it is let. */
function lagging(): { events: EventStore; letGo: () => void } {
  const gate = Promise.withResolvers<void>();
  let hasStarted = false;
  const { log } = world.shared;
  const events = through(log, async function* (options) {
    for await (const batch of log.subscribe(options)) {
      if (hasStarted) await gate.promise;
      hasStarted ||= batch.caughtUp;
      yield batch;
    }
  });
  return { events, letGo: gate.resolve };
}

describe('who comes back', () => {
  it('hears what was missed once and in order, and then what comes', async () => {
    const { last } = await leftBehind('seen');
    await send(...numbered(5));
    const back = new TestClient(hub, bob);
    const [released] = await Promise.all([back.listen(last), send(...numbered(5, 5))]);
    expect(released).toStrictEqual({ outcome: 'resumed', after: last });
    await send('end');
    await back.until(({ heard }) => heard.includes('end'));
    expect(back.heard).toStrictEqual([...numbered(10), 'end']);
  });

  it('with the id that connecting gave, though nothing was heard since', async () => {
    const first = new TestClient(hub, bob);
    const place = await hub.connect(first);
    first.close();
    await send('missed');
    const back = new TestClient(hub, bob);
    expect(await back.listen(place)).toStrictEqual({ outcome: 'resumed', after: place });
    await back.until(({ heard }) => heard.length === 1);
    expect(back.heard).toStrictEqual(['missed']);
  });

  it('hears it also from a hub that has started since', async () => {
    const { last } = await leftBehind('seen');
    await send(...numbered(3));
    const other = await world.hub();
    const back = new TestClient(other, bob);
    expect(await back.listen(last)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ heard }) => heard.length === 3);
    expect(back.heard).toStrictEqual(numbered(3));
  });

  it('hears nothing from before having joined, though it asks for it', async () => {
    const [eve, start] = [newId(), formatFrameId(await world.shared.log.epoch(), endOf(null))];
    const id = await group(world.node, ann);
    await ask(world.node, ann, message(id, 'before'));
    await ask(world.node, ann, { type: 'AddMember', data: { conversationId: id, userId: eve } });
    await ask(world.node, ann, message(id, 'behind'));
    for (const on of [hub, await world.hub()]) {
      const eves = new TestClient(on, eve);
      expect(await eves.listen(start)).toMatchObject({ outcome: 'resumed' });
      await eves.until(({ heard }) => heard.includes('behind'));
      expect(eves.told.map(({ event }) => event)).toStrictEqual(['conversation:member:added', 'message:sent']);
    }
  });

  it('hears of having been removed, and nothing of that conversation, for rights are those at delivery', async () => {
    const id = await group(world.node, ann, bob);
    const { last } = await leftBehind('seen');
    await ask(world.node, ann, message(id, 'sent while bob was in it'));
    await ask(world.node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    await settled();
    const back = new TestClient(hub, bob);
    await back.listen(last);
    await back.until(({ heard }) => heard.includes('probe'));
    expect(back.told.map(({ event }) => event)).toStrictEqual(['conversation:member:removed', 'message:sent']);
  });

  it('hears of the end of a conversation, and no more of what was said in it, also beside a device that stayed', async () => {
    const id = await group(world.node, ann, bob);
    const { last } = await leftBehind('seen');
    const stayed = await listening(hub, bob);
    await ask(world.node, ann, message(id, 'gone'));
    await ask(world.node, ann, { type: 'DeleteConversation', data: { conversationId: id } });
    await stayed.until(({ told }) => told.at(-1)?.event === 'conversation:deleted');
    for (const on of [hub, await world.hub()]) {
      const back = new TestClient(on, bob);
      await back.listen(last);
      await back.until(({ frames }) => frames.length > 0);
      expect(back.told.map(({ event }) => event)).toStrictEqual(['conversation:deleted']);
    }
  });
});

describe('nothing is delivered before it is asked for', () => {
  it('and then everything since the connection was made', async () => {
    const held = new TestClient(hub, bob);
    const place = await hub.connect(held);
    const other = await listening(hub, bob);
    await send('meanwhile');
    await other.until(({ heard }) => heard.includes('meanwhile'));
    expect(held.frames).toStrictEqual([]);
    const outcomes: string[] = [];
    await hub.release(held, null, ({ outcome, after }) => {
      // The answer comes before the first frame.
      expect(held.frames).toStrictEqual([]);
      expect(after).toBe(place);
      outcomes.push(outcome);
    });
    await hub.release(held, null, ({ outcome }) => outcomes.push(outcome));
    await held.until(({ heard }) => heard.includes('meanwhile'));
    expect(held.heard).toStrictEqual(['meanwhile']);
    expect(outcomes).toStrictEqual(['live']);
  });
});

describe('what cannot be resumed is one resync, behind which delivery goes on', () => {
  const resynced = async (on: Hub, after: string): Promise<void> => {
    const client = new TestClient(on, bob);
    const { outcome, after: place } = await client.listen(after);
    expect(outcome).toBe('resync');
    expect(client.told).toMatchObject([{ event: 'resync', id: place, user: null }]);
    await send('next');
    await client.until(({ heard }) => heard.includes('next'));
    expect(client.told.map(({ event }) => event)).toStrictEqual(['resync', 'message:sent']);
    client.close();
    // The id that it gave is good to resume from.
    const back = new TestClient(on, bob);
    expect(await back.listen(place)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ heard }) => heard.includes('next'));
    back.close();
  };

  it('an id of another log', async () => {
    const { last } = await leftBehind('seen');
    await resynced(hub, last.replace(/^[^.]+/, 'another-log'));
  });

  it.each(['', 'nonsense', '..', '1.2.3.4'])('the id %j, which is none', async (after) => {
    await resynced(hub, after);
  });

  it('more than 1,000 frames; just as many are told', async () => {
    const { last } = await leftBehind('seen');
    await send(...numbered(1_000));
    await settledWithout(1_000, last);
    await send('one more');
    await settledWithout(1_001, last);
    await resynced(hub, last);
  }, 30_000);

  /** Waits until the hub has taken so many messages behind the id, none of which counts as more than one frame. */
  async function settledWithout(count: number, after: string): Promise<void> {
    const head = (await world.shared.log.head()) ?? '';
    const probe = new TestClient(hub, bob);
    // An id from ahead waits for the hub.
    expect(await probe.listen(formatFrameId(await world.shared.log.epoch(), endOf(head)))).toMatchObject({
      outcome: 'resumed',
    });
    probe.close();
    const back = new TestClient(hub, bob);
    const { outcome } = await back.listen(after);
    expect(outcome).toBe(count > 1_000 ? 'resync' : 'resumed');
    if (outcome === 'resumed') await back.until(({ heard }) => heard.length === count);
    back.close();
  }
});

describe('a place ahead of this node', () => {
  it('is waited for', async () => {
    const { events, letGo } = lagging();
    const behind = await world.hub({ events });
    const { last } = await leftBehind('ahead');
    await send('missed');
    const back = new TestClient(behind, bob);
    const listening = back.listen(last);
    letGo();
    expect(await listening).toStrictEqual({ outcome: 'resumed', after: last });
    await back.until(({ heard }) => heard.includes('missed'));
    expect(back.heard).toStrictEqual(['missed']);
  });

  it('is not waited for longer than 2 s: then it is a resync', async () => {
    const clock = manualClock();
    const { events, letGo } = lagging();
    const behind = await world.hub({ events, clock });
    const { last } = await leftBehind('ahead');
    const back = new TestClient(behind, bob);
    await behind.connect(back);
    const outcomes: string[] = [];
    const released = behind.release(back, last, ({ outcome }) => outcomes.push(outcome));
    await clock.advance(1_999);
    expect(outcomes).toStrictEqual([]);
    await clock.advance(1);
    await released;
    expect(outcomes).toStrictEqual(['resync']);
    letGo();
    await back.until(({ heard }) => heard.includes('ahead'));
  });
});

describe('a client that reads slowly', () => {
  it('is given what it missed as it can take it, and what comes behind it, without gap or double', async () => {
    const { last } = await leftBehind('seen');
    await send(...numbered(600));
    const slow = new TestClient(hub, bob);
    slow.room = 10;
    expect(await slow.listen(last)).toMatchObject({ outcome: 'resumed' });
    await slow.until(({ heard }) => heard.length === 10);
    await send(...numbered(100, 600));
    for (let count = 10; count < 700; count += 30) {
      slow.drain(30);
      const wanted = Math.min(700, count + 30);
      await slow.until(({ heard }) => heard.length === wanted);
    }
    slow.drain();
    await send('end');
    await slow.until(({ heard }) => heard.includes('end'));
    expect(slow.heard).toStrictEqual([...numbered(700), 'end']);
  }, 30_000);

  it('is ended when it is more than 640 frames behind, and can resume', async () => {
    const [slow, other] = [await listening(hub, bob), await listening(hub, bob)];
    slow.room = 1;
    const sendAndHear = async (...contents: readonly string[]): Promise<void> => {
      await send(...contents);
      await other.until(({ heard }) => heard.includes(contents.at(-1) ?? ''));
    };
    await sendAndHear('0');
    await sendAndHear(...numbered(640, 1));
    expect(slow.ended).toBeNull();
    await sendAndHear('641');
    expect([slow.heard, slow.ended]).toStrictEqual([['0'], 'too-slow']);
    const back = new TestClient(hub, bob);
    expect(await back.listen(slow.last)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ heard }) => heard.length === 641);
    expect([...slow.heard, ...back.heard]).toStrictEqual(numbered(642));
  });

  it('is not ended for how much comes at once', async () => {
    const { events, letGo } = lagging();
    const behind = await world.hub({ events });
    const slow = await listening(behind, bob);
    slow.room = 2;
    // The first holds the others up, so that those come together.
    await send('0');
    await send(...numbered(400, 1));
    letGo();
    await slow.until(({ heard }) => heard.length === 2);
    slow.drain();
    await slow.until(({ heard, ended }) => heard.length === 401 || ended !== null);
    expect([slow.ended, slow.heard]).toStrictEqual([null, numbered(401)]);
  });
});
