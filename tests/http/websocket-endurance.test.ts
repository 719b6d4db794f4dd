import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HEARTBEAT_MS } from '../../src/http/live/heartbeat.ts';
import { group, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { addressOf, closeAll, goLive, type Live, type Received } from '../support/live.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

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

/** A client that speaks WebSocket over a bare TCP connection, because no library allows it to stop reading. */
class RawClient {
  readonly tcp: Socket;
  /** Received frames: texts as JSON, and the code of a close frame. */
  readonly received: Received[] = [];
  #rest: Buffer | null = null;

  constructor(tcp: Socket) {
    this.tcp = tcp;
    tcp.on('data', (chunk) => {
      // Frames follow the response to the upgrade, which arrives in one piece.
      this.#rest =
        this.#rest === null ? chunk.subarray(chunk.indexOf('\r\n\r\n') + 4) : Buffer.concat([this.#rest, chunk]);
      while (this.#takeFrame());
    });
    tcp.on('error', () => {});
  }

  /** A text frame, masked with zeros (RFC 6455, section 5.2). */
  send(frame: object): void {
    const payload = Buffer.from(JSON.stringify(frame));
    const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]);
    this.tcp.write(Buffer.concat([head, payload]));
  }

  /** Resolves once this holds, checked whenever data arrives. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await once(this.tcp, 'data');
  }

  #takeFrame(): boolean {
    const bytes = this.#rest ?? Buffer.alloc(0);
    const short = (bytes[1] ?? 0) & 0x7f;
    const from = short === 126 ? 4 : 2;
    if (bytes.length < from) return false;
    const length = short === 126 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < from + length) return false;
    const payload = bytes.subarray(from, from + length);
    const opcode = (bytes[0] ?? 0) & 0x0f;
    if (opcode === 1) this.received.push(JSON.parse(payload.toString()));
    if (opcode === 8) this.received.push({ closed: payload.readUInt16BE(0) });
    this.#rest = bytes.subarray(from + length);
    return true;
  }
}

async function rawClient(person: Person): Promise<RawClient> {
  const { port } = await addressOf(server);
  const tcp = connect(port, '127.0.0.1');
  const client = new RawClient(tcp);
  const lines = ['GET /api/v1/live HTTP/1.1', 'Host: parley.test', 'Connection: Upgrade', 'Upgrade: websocket'];
  const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='];
  tcp.write(`${[...lines, ...key].join('\r\n')}\r\n\r\n`);
  client.send({ type: 'auth', id: 'a', token: person.accessToken });
  client.send({ type: 'ping', id: 'p' });
  await client.until(() => client.received.length === 2);
  return client;
}

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
    const stuck = await rawClient(bob);
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
    const stuck = await rawClient(bob);
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
    const dead = await rawClient(ann);
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
