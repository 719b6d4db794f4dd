import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AUTH_MS } from '../../src/http/live/connection.ts';
import { HEARTBEAT_MS } from '../../src/http/live/heartbeat.ts';
import { defaultRates } from '../../src/http/request/rate-limits.ts';
import { type Person, type Server, type ServerOptions, signUp, startServer } from '../support/http.ts';
import { addressOf, closeAll, goLive, type Live } from '../support/live.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { frameBytes, OPCODE, type RawClient, rawClient, rawLive, textFrame } from '../support/raw-live.ts';

const ANONYMOUS_MAX = 20;
const KIB = 1024;

let clock: ManualClock;
let server: Server;
let ann: Person;
let bob: Person;
let mallory: Person;
/** The header that gives the attacker a network of its own. */
let attacker: string;
let bobs: Live;

/** The server's side of connections, by the port of the client. */
const connections = new Map<number, { bytesRead: number }>();

/** Limits that are not tested here do not stop the others. */
const many = { burst: 10_000, perMinute: 1 };
const rateLimits = { address: many, registration: many, user: many, message: many };
const defaults = { trustProxy: ['127.0.0.1'], anonymousSockets: ANONYMOUS_MAX, socketsPerUser: 20 };

/** A server for all tests of a suite, and another attacker for each of them. */
function useServer(config: ServerOptions['config']): void {
  let attackers = 0;
  beforeAll(async () => {
    clock = manualClock(Date.now());
    server = await startServer({ clock, config: { ...defaults, ...config } });
    [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    connections.clear();
    server.app.server.on('connection', (socket) => connections.set(socket.remotePort ?? 0, socket));
  });
  beforeEach(async () => {
    attackers++;
    attacker = `X-Forwarded-For: 203.0.113.${attackers}`;
    mallory = await signUp(server, `mallory${attackers}`);
    bobs = await goLive(server, bob);
  });
  afterEach(() => closeAll(server));
  afterAll(() => server.close());
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Resolves once this holds, checked in every turn of the event loop. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await nextTurn();
}

/** Sockets that the server holds, that of bob not counted. */
const held = (): number => server.app.websocketServer.clients.size - 1;

/** While an attack runs, health checks are answered and messages of others are delivered. */
async function undisturbed(attack: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = attack.finally(() => {
    isOver = true;
  });
  const { port } = await addressOf(server);
  const origin = `http://127.0.0.1:${port}`;
  const headers = { authorization: `Bearer ${ann.accessToken}`, 'content-type': 'application/json' };
  const url = `${origin}/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`;
  for (let rounds = 0; rounds === 0 || (rounds < 5 && !isOver); rounds++) {
    const content = `message ${rounds}`;
    const sent = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ content }) });
    expect(sent.status).toBe(202);
    await bobs.message(content);
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  }
  await over;
}

/** The turns of the event loop that pass during `work`: each of them lets all other connections go on. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const counting = (async () => {
    for (; !isOver; turns++) await nextTurn();
  })();
  await work();
  isOver = true;
  await counting;
  return turns;
}

/** The server's side of the only socket besides that of bob. */
function serverSide() {
  const [, socket] = server.app.websocketServer.clients;
  if (socket === undefined) throw new Error('there is no such socket');
  return socket;
}

/** Bytes that the server has read from a client. */
function bytesReadFrom({ tcp }: RawClient): number {
  return connections.get(tcp.localPort ?? 0)?.bytesRead ?? 0;
}
describe('upgrades', () => {
  useServer({ rateLimits });

  it('are charged to their network before the handshake, and the sockets of a network without authentication are few', async () => {
    const clients: RawClient[] = [];
    const attack = async () => {
      for (let n = 0; n < 1_500; n++) {
        const client = await rawClient(server, [attacker]);
        clients.push(client);
        if (n % 100 === 99) await client.until(() => client.head !== '');
      }
      await Promise.all(clients.map((client) => client.until(() => client.head !== '')));
    };
    await undisturbed(attack());
    const upgraded = clients.filter(({ status }) => status === 101);
    const refused = clients.filter(({ status }) => status === 429);
    expect(upgraded.length).toBe(ANONYMOUS_MAX);
    expect(refused.length).toBe(1_500 - ANONYMOUS_MAX);
    expect(held()).toBe(ANONYMOUS_MAX);
    for (const { head } of refused) expect(head).toMatch(/\r\nretry-after: [1-9]/i);
    // Another network, even a signed-in user, is not affected.
    const other = await rawClient(server, ['X-Forwarded-For: 198.51.100.1']);
    await other.until(() => other.head !== '');
    expect(other.status).toBe(101);
    for (const { tcp } of [...clients, other]) tcp.destroy();
  }, 60_000);

  it('beyond the rate are answered with 429 and the time to wait, whether they hold their sockets or not', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < defaultRates.upgrade.burst + 1; n++) {
      const client = await rawClient(server, [attacker]);
      await client.until(() => client.head !== '');
      statuses.push(client.status);
      client.tcp.destroy();
      await until(() => held() === 0);
    }
    expect([statuses.indexOf(429), statuses.at(-1)]).toEqual([defaultRates.upgrade.burst, 429]);
  });

  it('that fail do not count as sockets', async () => {
    for (let n = 0; n < 2 * ANONYMOUS_MAX; n++) {
      const client = await rawClient(server, [attacker, 'Sec-WebSocket-Protocol: ,']);
      await client.ended();
      expect(client.status).toBe(400);
    }
    const client = await rawClient(server, [attacker]);
    await client.until(() => client.status === 101);
    client.tcp.destroy();
  });
});

describe('a socket without authentication', () => {
  useServer({ rateLimits });

  it('makes room for others of its network when it is authenticated or closed', async () => {
    const clients = await Promise.all(Array.from({ length: ANONYMOUS_MAX }, () => rawClient(server, [attacker])));
    await Promise.all(clients.map((client) => client.until(() => client.status === 101)));
    const next = async (): Promise<RawClient> => {
      const client = await rawClient(server, [attacker]);
      await client.until(() => client.head !== '');
      return client;
    };
    const refused = await next();
    expect(refused.head).toMatch(/ 429 .*\r\nretry-after: 5\r\n/is);
    const [first, second] = clients;
    first?.send({ type: 'auth', id: 'a', token: mallory.accessToken });
    await first?.until(() => first.received.length === 1);
    expect((await next()).status).toBe(101);
    expect((await next()).status).toBe(429);
    second?.tcp.destroy();
    await until(() => held() === ANONYMOUS_MAX);
    expect((await next()).status).toBe(101);
    expect((await next()).status).toBe(429);
  });

  it('is closed at its first malformed frame, and the rest of a burst is not even answered', async () => {
    const client = await rawClient(server, [attacker]);
    await undisturbed(
      (async () => {
        for (let n = 0; n < 500; n++) client.send('garbage');
        await client.until(() => client.closed !== undefined);
      })(),
    );
    expect(client.received).toMatchObject([{ type: 'error', problem: { code: 'malformed' } }, { closed: 4400 }]);
    client.tcp.destroy();
  });

  it('is read no further than a token needs', async () => {
    const client = await rawClient(server, [attacker]);
    client.tcp.write(frameBytes(OPCODE.text, 'x'.repeat(4_096), { claimed: BigInt(256 * KIB) }));
    await client.until(() => client.status === 101);
    const { tcp } = client;
    const refill = (): void => {
      while (tcp.writable && !tcp.writableNeedDrain) tcp.write(Buffer.alloc(16 * KIB, 'x'));
    };
    tcp.on('drain', refill);
    refill();
    await until(() => serverSide().isPaused);
    await undisturbed(nextTurn());
    // One chunk passes the limit, and the stream reads ahead.
    expect(server.app.websocketServer.clients.size).toBe(2);
    expect(bytesReadFrom(client)).toBeLessThan(224 * KIB);
    tcp.off('drain', refill);
    // In steps, so that the node can renew its leases meanwhile.
    for (let left = AUTH_MS; left > 0; left -= 1_000) await clock.advance(1_000);
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toBe(4401);
    tcp.destroy();
  });

  it('may not send a large frame', async () => {
    const client = await rawClient(server, [attacker]);
    client.send({ type: 'auth', id: 'x'.repeat(16 * KIB), token: 'x' });
    await client.until(() => client.closed !== undefined);
    expect(client.received).toEqual([{ closed: 1009 }]);
    client.tcp.destroy();
  });

  it('may send few control frames', async () => {
    const client = await rawClient(server, [attacker]);
    for (let n = 0; n < 1_000; n++) client.tcp.write(frameBytes(OPCODE.ping, 'x'));
    await client.until(() => client.closed !== undefined);
    expect([client.closed, client.pongs]).toEqual([4429, 16]);
    client.tcp.destroy();
  });

  it('that is closed and goes on sending is cut', async () => {
    const client = await rawClient(server, [attacker]);
    client.send('garbage');
    await client.until(() => client.closed !== undefined);
    const socket = serverSide();
    let late = 0;
    let lateAtCut = 0;
    socket.on('message', () => late++);
    const cut = socket.terminate.bind(socket);
    socket.terminate = () => {
      lateAtCut ||= late;
      cut();
    };
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => textFrame('')));
    const { tcp } = client;
    const refill = (): void => {
      while (tcp.writable && !tcp.writableNeedDrain) tcp.write(flood);
    };
    tcp.on('drain', refill);
    refill();
    await client.ended();
    // 256 KiB, at 256 bytes a frame besides its content.
    expect(lateAtCut).toBe(1_024);
  });
});

describe('a signed-in client', () => {
  useServer({ rateLimits });

  it.each([
    ['that are no JSON objects', () => textFrame('garbage')],
    ['that are binary', () => frameBytes(OPCODE.binary, '{"type":"ping"}')],
    ['that are empty', () => frameBytes(OPCODE.text)],
  ])('is charged for frames %s, and closed when it goes on', async (_name, bytes) => {
    const client = await rawLive(server, mallory);
    client.tcp.write(Buffer.concat(Array.from({ length: 1_200 }, bytes)));
    await undisturbed(client.until(() => client.closed !== undefined));
    expect(client.closed).toBe(4429);
    const codes = client.received.map(({ problem }) => problem?.code);
    const malformed = codes.filter((code) => code === 'malformed').length;
    // One frame was the ping after the authentication.
    expect(malformed).toBe(defaultRates.frame.burst - 1);
    expect(codes.filter((code) => code === 'too-many-requests').length).toBe(1_001);
    client.tcp.destroy();
  });

  it.each(['ping', 'pong'] as const)('is charged for %s frames too, and closed when it goes on', async (kind) => {
    const client = await rawLive(server, mallory);
    client.tcp.write(Buffer.concat(Array.from({ length: 1_200 }, () => frameBytes(OPCODE[kind], 'x'))));
    await undisturbed(client.until(() => client.closed !== undefined));
    expect(client.closed).toBe(4429);
    expect(client.pongs).toBe(kind === 'ping' ? defaultRates.frame.burst - 1 : 0);
    client.tcp.destroy();
  });

  it('that sends large frames beyond its limit is closed after 1 MiB of them', async () => {
    const client = await rawLive(server, mallory);
    const small = Array.from({ length: defaultRates.frame.burst }, () => textFrame({ type: 'ping' }));
    const large = Array.from({ length: 20 }, (_, n) => textFrame({ type: 'ping', id: `${n}`, x: 'x'.repeat(250_000) }));
    client.tcp.write(Buffer.concat([...small, ...large]));
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toBe(4429);
    // Those that were read are answered by their ids.
    expect(client.received.filter(({ id, ok }) => id !== undefined && ok === false).map(({ id }) => id)).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
    ]);
    client.tcp.destroy();
  });

  it.each([
    ['', 16_000],
    ['x', 16_000],
    ['x', 129],
  ])('may not send a message in thousands of fragments (%j × %i)', async (payload, count) => {
    const client = await rawLive(server, mallory);
    const fragments = Array.from({ length: count }, (_, n) =>
      frameBytes(n === 0 ? OPCODE.text : OPCODE.continuation, payload, { fin: false }),
    );
    client.tcp.write(Buffer.concat(fragments));
    await undisturbed(client.until(() => client.closed !== undefined));
    expect(client.closed).toBe(1008);
    client.tcp.destroy();
    await until(() => held() === 0);
  });

  it('may send a message in some fragments', async () => {
    const client = await rawLive(server, mallory);
    const text = JSON.stringify({ type: 'ping', id: 'fragments', padding: 'x' }).replace(
      ',"padding":"x"',
      ' '.repeat(90),
    );
    const fragments = [...text].map((character, n) =>
      frameBytes(n === 0 ? OPCODE.text : OPCODE.continuation, character, { fin: n === text.length - 1 }),
    );
    expect(fragments.length).toBeGreaterThan(100);
    client.tcp.write(Buffer.concat(fragments));
    await client.until(() => client.received.some(({ id, ok }) => id === 'fragments' && ok));
    client.tcp.destroy();
  });

  it('may not send a frame in thousands of pieces', async () => {
    const client = await rawLive(server, mallory);
    client.tcp.setNoDelay();
    client.tcp.write(frameBytes(OPCODE.text, 'x', { claimed: 5_000n }));
    for (let n = 0; n < 1_100 && client.closed === undefined; n++) {
      const read = bytesReadFrom(client);
      client.tcp.write('x');
      await until(() => bytesReadFrom(client) > read || client.closed !== undefined);
    }
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toBe(1008);
    client.tcp.destroy();
  });

  it.each([
    ['257 KiB', 257n * 1024n],
    ['a petabyte', 2n ** 50n],
    ['more than a number can count', 2n ** 63n - 1n],
  ])('may not announce a frame of %s', async (_name, claimed) => {
    const client = await rawLive(server, mallory);
    client.tcp.write(frameBytes(OPCODE.text, 'x', { claimed }));
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toBe(1009);
    client.tcp.destroy();
  });

  it('that stops in the middle of a frame is cut when it answers no ping', async () => {
    const client = await rawLive(server, mallory);
    client.tcp.write(frameBytes(OPCODE.text, 'half', { claimed: 1_000n }));
    await client.until(() => client.received.length === 2);
    await clock.advance(HEARTBEAT_MS);
    await bobs.pinged(1);
    await bobs.settled();
    expect(held()).toBe(1);
    await clock.advance(HEARTBEAT_MS);
    await client.ended();
    await until(() => held() === 0);
  });
});

describe('a burst of one client', () => {
  useServer({ rateLimits: 'off' });

  it.each([
    ['valid frames', () => textFrame({ type: 'ping', id: 'x' })],
    ['malformed frames', () => textFrame('garbage')],
  ])('of %s gives way to other work after each frame', async (_name, bytes) => {
    const client = await rawLive(server, mallory);
    const count = 1_000;
    const turns = await turnsDuring(async () => {
      client.tcp.write(Buffer.concat(Array.from({ length: count }, bytes)));
      await client.until(() => client.received.length === 2 + count);
    });
    expect(turns).toBeGreaterThanOrEqual(count);
    client.tcp.destroy();
  });

  it('of pings gives way to other work after each of them', async () => {
    const client = await rawLive(server, mallory);
    const count = 1_000;
    const turns = await turnsDuring(async () => {
      client.tcp.write(Buffer.concat(Array.from({ length: count }, () => frameBytes(OPCODE.ping, 'x'))));
      await client.until(() => client.pongs === count);
    });
    expect(turns).toBeGreaterThanOrEqual(count);
    client.tcp.destroy();
  });

  it('that waits for a slow store is bounded in bytes over all of its connections', async () => {
    const clients: RawClient[] = [];
    for (let n = 0; n < 12; n++) clients.push(await rawLive(server, mallory));
    const gate = Promise.withResolvers<void>();
    server.events.beforeAppend.hook = () => gate.promise;
    for (const client of clients) {
      client.send({ type: 'send', otherUserId: ann.userId, content: 'slow' });
      client.send({ type: 'shout', id: 'large', padding: 'x'.repeat(250 * KIB) });
    }
    // Eight of 250 KiB fit into 2 MiB.
    const closed = (): RawClient[] => clients.filter((client) => client.closed !== undefined);
    await until(() => closed().length === 4);
    expect(closed().map((client) => client.closed)).toEqual(Array(4).fill(4429));
    server.events.beforeAppend.hook = async () => {};
    gate.resolve();
    const rest = clients.filter((client) => client.closed === undefined);
    await Promise.all(rest.map((client) => client.until(() => client.received.some(({ id }) => id === 'large'))));
    for (const { tcp } of clients) tcp.destroy();
  });

  it('of connections that are opened, closed and cut leaves nothing', async () => {
    const attack = async () => {
      for (let n = 0; n < 30; n++) {
        const some = await Promise.all(Array.from({ length: 10 }, () => rawClient(server, [attacker])));
        for (const [i, client] of some.entries()) {
          if (i % 3 === 0) client.tcp.destroy();
          else if (i % 3 === 1) client.tcp.write(frameBytes(OPCODE.close, Buffer.from([0x03, 0xe8])));
          else client.tcp.end('GET /garbage');
        }
        await Promise.all(some.map((client) => client.ended()));
      }
    };
    await undisturbed(attack());
    await until(() => held() === 0);
    const clients = await Promise.all(Array.from({ length: ANONYMOUS_MAX }, () => rawClient(server, [attacker])));
    await Promise.all(clients.map((client) => client.until(() => client.status === 101)));
    for (const { tcp } of clients) tcp.destroy();
  });
});
