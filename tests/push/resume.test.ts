import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventLog, Subscribe } from '../../src/log/event-log.ts';
import { endOf, endOfEvent, formatFrameId } from '../../src/push/frames.ts';
import type { Hub } from '../../src/push/hub.ts';
import { execute, group, message, newId } from '../commands/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { listen, startWorld, TestClient, type World } from './world.ts';

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
  Promise.all(contents.map((content) => execute(world.node, ann, message(conversationId, content))));
const numbered = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `${from + n}`);

/** A client of Bob that has disconnected from this hub after it received `content`. */
async function disconnectedAfter(content: string, on = hub): Promise<TestClient> {
  const client = await listen(on, bob);
  await send(content);
  await client.until(({ contents }) => contents.includes(content));
  client.close();
  return client;
}

/** Waits until a hub has delivered everything up to now. */
async function settled(on = hub): Promise<void> {
  const probe = await listen(on, bob);
  await send('probe');
  await probe.until(({ contents }) => contents.includes('probe'));
  probe.close();
}

/** The log as a lagging node sees it: once it has caught up, nothing more comes before `release`. */
function lagging(): { log: EventLog; release: () => void } {
  const gate = Promise.withResolvers<void>();
  let hasStarted = false;
  const { log } = world.stores;
  async function* subscribe(options: Subscribe) {
    for await (const batch of log.subscribe(options)) {
      if (hasStarted) await gate.promise;
      hasStarted ||= batch.caughtUp;
      yield batch;
    }
  }
  return { log: { ...log, subscribe }, release: gate.resolve };
}

describe('a client that resumes', () => {
  it('receives the missed frames once and in order, and then the new ones', async () => {
    const { lastId } = await disconnectedAfter('seen');
    await send(...numbered(5));
    const back = new TestClient(hub, bob);
    const [released] = await Promise.all([back.listen(lastId), send(...numbered(5, 5))]);
    expect(released).toStrictEqual({ outcome: 'resumed', after: lastId });
    await send('end');
    await back.until(({ contents }) => contents.includes('end'));
    expect(back.contents).toStrictEqual([...numbered(10), 'end']);
  });

  it('can use the id of its connection when it received no frame', async () => {
    const first = new TestClient(hub, bob);
    const place = await hub.connect(first);
    first.close();
    await send('missed');
    const back = new TestClient(hub, bob);
    expect(await back.listen(place)).toStrictEqual({ outcome: 'resumed', after: place });
    await back.until(({ contents }) => contents.length === 1);
    expect(back.contents).toStrictEqual(['missed']);
  });

  it('receives the missed frames also from a hub that was started later', async () => {
    const { lastId } = await disconnectedAfter('seen');
    await send(...numbered(3));
    const other = await world.hub();
    const back = new TestClient(other, bob);
    expect(await back.listen(lastId)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ contents }) => contents.length === 3);
    expect(back.contents).toStrictEqual(numbered(3));
  });

  it('receives nothing from before the user became a member, even if it resumes from there', async () => {
    const [eve, start] = [newId(), formatFrameId(await world.stores.log.epoch(), endOf(null))];
    const id = await group(world.node, ann);
    await execute(world.node, ann, message(id, 'before'));
    await execute(world.node, ann, { type: 'AddMember', data: { conversationId: id, userId: eve } });
    await execute(world.node, ann, message(id, 'after'));
    for (const on of [hub, await world.hub()]) {
      const eves = new TestClient(on, eve);
      expect(await eves.listen(start)).toMatchObject({ outcome: 'resumed' });
      await eves.until(({ contents }) => contents.includes('after'));
      expect(eves.received.map(({ event }) => event)).toStrictEqual(['conversation:member:added', 'message:sent']);
    }
  });

  it('receives the removal and nothing else of that conversation: rights are those at delivery', async () => {
    const id = await group(world.node, ann, bob);
    const { lastId } = await disconnectedAfter('seen');
    await execute(world.node, ann, message(id, 'sent while bob was in it'));
    await execute(world.node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } });
    await settled();
    const back = new TestClient(hub, bob);
    await back.listen(lastId);
    await back.until(({ contents }) => contents.includes('probe'));
    expect(back.received.map(({ event }) => event)).toStrictEqual(['conversation:member:removed', 'message:sent']);
  });

  it('receives the end of a deleted conversation and none of its messages, also while another connection of the user is open', async () => {
    const id = await group(world.node, ann, bob);
    const { lastId } = await disconnectedAfter('seen');
    const stayed = await listen(hub, bob);
    await execute(world.node, ann, message(id, 'gone'));
    await execute(world.node, ann, { type: 'DeleteConversation', data: { conversationId: id } });
    await stayed.until(({ received }) => received.at(-1)?.event === 'conversation:deleted');
    for (const on of [hub, await world.hub()]) {
      const back = new TestClient(on, bob);
      await back.listen(lastId);
      await back.until(({ frames }) => frames.length > 0);
      expect(back.received.map(({ event }) => event)).toStrictEqual(['conversation:deleted']);
    }
  });
});

describe('a client that is held', () => {
  it('receives nothing before its release, and then everything since it connected', async () => {
    const held = new TestClient(hub, bob);
    const place = await hub.connect(held);
    const other = await listen(hub, bob);
    await send('meanwhile');
    await other.until(({ contents }) => contents.includes('meanwhile'));
    expect(held.frames).toStrictEqual([]);
    const outcomes: string[] = [];
    await hub.release(held, null, ({ outcome, after }) => {
      // The answer comes before the first frame.
      expect(held.frames).toStrictEqual([]);
      expect(after).toBe(place);
      outcomes.push(outcome);
    });
    await hub.release(held, null, ({ outcome }) => outcomes.push(outcome));
    await held.until(({ contents }) => contents.includes('meanwhile'));
    expect(held.contents).toStrictEqual(['meanwhile']);
    expect(outcomes).toStrictEqual(['live']);
  });
});

describe('a client that cannot resume receives one resync frame, and the new frames after it,', () => {
  const resynced = async (on: Hub, after: string): Promise<void> => {
    const client = new TestClient(on, bob);
    const { outcome, after: place } = await client.listen(after);
    expect(outcome).toBe('resync');
    expect(client.received).toMatchObject([{ event: 'resync', id: place, user: null }]);
    await send('next');
    await client.until(({ contents }) => contents.includes('next'));
    expect(client.received.map(({ event }) => event)).toStrictEqual(['resync', 'message:sent']);
    client.close();
    // Its id is valid for resuming.
    const back = new TestClient(on, bob);
    expect(await back.listen(place)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ contents }) => contents.includes('next'));
    back.close();
  };

  it('with an id of another log', async () => {
    const { lastId } = await disconnectedAfter('seen');
    await resynced(hub, lastId.replace(/^[^.]+/, 'another-log'));
  });

  it.each(['', 'nonsense', '..', '1.2.3.4'])('with the invalid id %j', async (after) => {
    await resynced(hub, after);
  });

  it('when it missed more than 1,000 frames; exactly 1,000 are delivered', async () => {
    const { lastId } = await disconnectedAfter('seen');
    await send(...numbered(1_000));
    await settledWithout(1_000, lastId);
    await send('one more');
    await settledWithout(1_001, lastId);
    await resynced(hub, lastId);
  }, 30_000);

  /** Checks that so many frames after the id are resumed up to 1,000, and not above, once the hub has handled them. */
  async function settledWithout(count: number, after: string): Promise<void> {
    const head = await world.stores.log.recordBefore(null);
    const probe = new TestClient(hub, bob);
    // The release waits until the hub has reached the id.
    expect(await probe.listen(formatFrameId(await world.stores.log.epoch(), endOfEvent(head)))).toMatchObject({
      outcome: 'resumed',
    });
    probe.close();
    const back = new TestClient(hub, bob);
    const { outcome } = await back.listen(after);
    expect(outcome).toBe(count > 1_000 ? 'resync' : 'resumed');
    if (outcome === 'resumed') await back.until(({ contents }) => contents.length === count);
    back.close();
  }
});

describe('an id that this node has not reached yet', () => {
  it('is waited for, and then resumed from', async () => {
    const { log, release } = lagging();
    const late = await world.hub({ log });
    const { lastId } = await disconnectedAfter('ahead');
    await send('missed');
    const back = new TestClient(late, bob);
    const listening = back.listen(lastId);
    release();
    expect(await listening).toStrictEqual({ outcome: 'resumed', after: lastId });
    await back.until(({ contents }) => contents.includes('missed'));
    expect(back.contents).toStrictEqual(['missed']);
  });

  it('is waited for 2 s at most: then the client receives a resync', async () => {
    const clock = manualClock();
    const { log, release } = lagging();
    const late = await world.hub({ log, clock });
    const { lastId } = await disconnectedAfter('ahead');
    const back = new TestClient(late, bob);
    await late.connect(back);
    const outcomes: string[] = [];
    const released = late.release(back, lastId, ({ outcome }) => outcomes.push(outcome));
    await clock.advance(1_999);
    expect(outcomes).toStrictEqual([]);
    await clock.advance(1);
    await released;
    expect(outcomes).toStrictEqual(['resync']);
    release();
    await back.until(({ contents }) => contents.includes('ahead'));
  });
});

describe('a client that reads slowly', () => {
  it('receives the missed and the new frames at its own pace, without gap or duplicate', async () => {
    const { lastId } = await disconnectedAfter('seen');
    await send(...numbered(600));
    const slow = new TestClient(hub, bob);
    slow.room = 10;
    expect(await slow.listen(lastId)).toMatchObject({ outcome: 'resumed' });
    await slow.until(({ contents }) => contents.length === 10);
    await send(...numbered(100, 600));
    for (let count = 10; count < 700; count += 30) {
      slow.drain(30);
      const wanted = Math.min(700, count + 30);
      await slow.until(({ contents }) => contents.length === wanted);
    }
    slow.drain();
    await send('end');
    await slow.until(({ contents }) => contents.includes('end'));
    expect(slow.contents).toStrictEqual([...numbered(700), 'end']);
  }, 30_000);

  it('is ended when it lags by more than 640 frames, and can resume', async () => {
    const [slow, other] = [await listen(hub, bob), await listen(hub, bob)];
    slow.room = 1;
    const sendAndReceive = async (...sent: readonly string[]): Promise<void> => {
      await send(...sent);
      await other.until(({ contents }) => contents.includes(sent.at(-1) ?? ''));
    };
    await sendAndReceive('0');
    await sendAndReceive(...numbered(640, 1));
    expect(slow.ended).toBeNull();
    await sendAndReceive('641');
    expect([slow.contents, slow.ended]).toStrictEqual([['0'], 'too-slow']);
    const back = new TestClient(hub, bob);
    expect(await back.listen(slow.lastId)).toMatchObject({ outcome: 'resumed' });
    await back.until(({ contents }) => contents.length === 641);
    expect([...slow.contents, ...back.contents]).toStrictEqual(numbered(642));
  });

  it('is not ended because many frames come at once', async () => {
    const { log, release } = lagging();
    const late = await world.hub({ log });
    const slow = await listen(late, bob);
    slow.room = 2;
    // The others wait for the first one, so that they come together.
    await send('0');
    await send(...numbered(400, 1));
    release();
    await slow.until(({ contents }) => contents.length === 2);
    slow.drain();
    await slow.until(({ contents, ended }) => contents.length === 401 || ended !== null);
    expect([slow.ended, slow.contents]).toStrictEqual([null, numbered(401)]);
  });
});
