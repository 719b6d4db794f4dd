import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DRAIN_MS } from '../../src/http/live/connection.ts';
import { HEARTBEAT_MS } from '../../src/http/live/heartbeat.ts';
import { group, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { closeAll, goLive, type Live, type Received } from '../support/live.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { rawLive } from '../support/raw-live.ts';

let clock: ManualClock;
let server: Server;
let ann: Person;
let bob: Person;

beforeEach(async () => {
  clock = manualClock(Date.now());
  server = await startServer({ clock });
  [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
});
afterEach(async () => {
  await closeAll(server);
  await server.close();
});

const isMessage = ({ event }: Received): boolean => event === 'message:sent';
const contentOf = ({ payload }: Received): string => payload.message.content.split(' ', 1)[0];

/** The high-water mark of the socket, one large frame, and the headers of frames. */
const BUFFERED_MAX = (64 + 48 + 4) * 1024;

/** The largest number of bytes that wait to be sent to one client. */
function buffered(): number {
  return Math.max(...[...server.app.websocketServer.clients].map(({ bufferedAmount }) => bufferedAmount));
}

describe('a client that does not read', () => {
  it('uses a bounded buffer only, is closed with 4408, and can resume', async () => {
    const conversationId = await group(server, ann, bob);
    const stuck = await rawLive(server, bob);
    stuck.tcp.pause();
    const [anns, bobs] = [await goLive(server, ann), await goLive(server, bob)];
    const sent: string[] = [];
    for (let round = 0; server.hub.connectionsOf(bob.userId) === 2; round++) {
      // Large ones until the kernel holds no more, then many small ones.
      const padding = round < 4 ? '€'.repeat(16_000) : '';
      const some = Array.from({ length: 50 }, (_, n) => `${round}.${n} ${padding}`);
      await Promise.all(some.map((content) => anns.request({ type: 'send', conversationId, content })));
      sent.push(...some.map((content) => content.split(' ', 1)[0] ?? ''));
      await bobs.until(() => bobs.contents().length === sent.length);
      expect(buffered()).toBeLessThan(BUFFERED_MAX);
      expect(round).toBeLessThan(40);
    }
    expect(bobs.frames.filter(isMessage).map(contentOf)).toStrictEqual(sent);

    stuck.tcp.resume();
    await stuck.until(() => stuck.received.at(-1).closed !== undefined);
    expect(stuck.received.at(-1)).toStrictEqual({ closed: 4408 });
    stuck.tcp.destroy();
    const received = stuck.received.filter(isMessage);
    const back = await goLive(server, bob, received.at(-1).id);
    await back.until(() => back.contents().length === sent.length - received.length);
    const all = [...received, ...back.frames.filter(isMessage)];
    expect(all.map(contentOf)).toStrictEqual(sent);
  });

  it('but sends frames gets no more answers, so that these use a bounded buffer too', async () => {
    const stuck = await rawLive(server, bob);
    stuck.tcp.pause();
    // The answer, a problem, is several times as long as the frame.
    for (let n = 0; n < 60_000; n++) stuck.send({ type: 'shout', id: 'x'.repeat(64) });
    const other = await goLive(server, bob);
    for (let n = 0; n < 200; n++) {
      await other.request({ type: 'ping' });
      expect(buffered()).toBeLessThan(BUFFERED_MAX);
    }
    stuck.tcp.destroy();
  });

  it('and sends frames is closed when it still has not read anything half a minute later', async () => {
    const stuck = await rawLive(server, bob);
    stuck.tcp.pause();
    for (let n = 0; n < 60_000; n++) stuck.send({ type: 'shout', id: 'x'.repeat(64) });
    // The kernel takes no more when nothing has left the server's buffer for a while.
    for (let turns = 0, last = 0; turns < 200; turns = last >= 64 * 1024 && last === buffered() ? turns + 1 : 0) {
      last = buffered();
      await new Promise(setImmediate);
    }
    await clock.advance(DRAIN_MS - 1);
    expect(server.hub.connectionsOf(bob.userId)).toBe(1);
    await clock.advance(1);
    expect(server.hub.connectionsOf(bob.userId)).toBe(0);
    stuck.tcp.resume();
    await stuck.until(() => stuck.closed !== undefined);
    expect(stuck.closed).toBe(4408);
  });
});

it('a client that sends faster than frames are handled is not read meanwhile, and then every frame is answered', async () => {
  const conversationId = await group(server, ann, bob);
  const [greedy, other] = [await goLive(server, ann), await goLive(server, bob)];
  const gate = Promise.withResolvers<void>();
  server.events.beforeAppend.hook = () => gate.promise;
  greedy.send({ type: 'send', conversationId, content: 'slow' });
  const [count, size] = [200, 100_000];
  for (let n = 0; n < count; n++) greedy.send({ type: 'shout', id: `n${n}`, padding: 'x'.repeat(size) });
  for (let n = 0; n < 300; n++) await other.request({ type: 'ping' });
  // The unread rest is in the buffers of the client and of the kernel.
  expect(greedy.unsent()).toBeGreaterThan((count * size) / 5);
  gate.resolve();
  await greedy.frame(({ id }) => id === `n${count - 1}`);
  expect(greedy.frames.filter(({ ok }) => ok === false)).toHaveLength(count);
});

describe('heartbeats', () => {
  it('are sent to each connection every 25 s, and keep one that answers', async () => {
    const live = await goLive(server, ann);
    for (let beat = 1; beat <= 3; beat++) {
      await clock.advance(HEARTBEAT_MS);
      await live.pinged(beat);
      await live.settled();
    }
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
  });

  it('detect a dead connection, and cut it', async () => {
    const dead = await rawLive(server, ann);
    await clock.advance(HEARTBEAT_MS);
    expect(server.hub.connectionsOf(ann.userId)).toBe(1);
    await clock.advance(HEARTBEAT_MS);
    await once(dead.tcp, 'close');
    await gone(ann);
  });
});

/** Resolves once the person has no connection. Another person connects and disconnects meanwhile, so that the server runs. */
async function gone(person: Person): Promise<void> {
  for (let tries = 0; server.hub.connectionsOf(person.userId) > 0; tries++) {
    expect(tries).toBeLessThan(100);
    await (await goLive(server, bob)).close();
  }
}

describe('a server that stops', () => {
  it('finishes the frames in progress, closes with 1001, and accepts no connection', async () => {
    const live: Live = await goLive(server, ann);
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    server.events.beforeAppend.hook = async () => {
      asked.resolve();
      await gate.promise;
    };
    const sent = live.request({ type: 'send', otherUserId: bob.userId, content: 'to be finished' });
    await asked.promise;
    const stopped = server.app.close();
    await expect(goLive(server, bob)).rejects.toThrow();
    gate.resolve();
    expect(await sent).toMatchObject({ ok: true });
    expect(await live.closed).toStrictEqual({ code: 1001, reason: 'the server is stopping' });
    await stopped;
    expect(server.hub.stats()).toMatchObject({ connections: 0, users: 0 });
  });

  it('waits no longer than two seconds', async () => {
    const live = await goLive(server, ann);
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    server.events.beforeAppend.hook = async () => {
      asked.resolve();
      await gate.promise;
    };
    live.send({ type: 'send', otherUserId: bob.userId, content: 'takes too long' });
    await asked.promise;
    const sleeping = clock.sleeping();
    const stopped = server.app.close();
    while (clock.sleeping() === sleeping) await live.settled();
    await clock.advance(2_000);
    expect(await live.closed).toMatchObject({ code: 1001 });
    gate.resolve();
    await stopped;
  });
});
