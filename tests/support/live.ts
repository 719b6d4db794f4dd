import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Person, Server } from './http.ts';

// biome-ignore lint/suspicious/noExplicitAny: each test knows what it waits for, and checks it
export type Received = any;

/** A WebSocket to the server, with everything that came over it. */
export type Live = Readonly<{
  /** In the order in which it came. */
  frames: readonly Received[];
  /** The same as text, byte for byte. */
  texts: readonly string[];
  /** How the connection ended. */
  closed: Promise<Readonly<{ code: number; reason: string }>>;
  /** The subprotocol that the server chose. */
  protocol: string;
  /** Sends an object as JSON, and anything else as it is. */
  send(frame: object | string | Buffer): void;
  /** Writes bytes below the WebSocket, as only a broken client would. */
  sendRaw(bytes: Buffer): void;
  /** Sends a frame under an id of its own, and gives its ack. */
  request(frame: object): Promise<Received>;
  /** The first frame that fits, whether it has come or is still to come. */
  frame(fits: (frame: Received) => boolean): Promise<Received>;
  /** The first message with this content. */
  message(content: string): Promise<Received>;
  /** Resolves once this holds, looked at whenever something came. */
  until(holds: () => boolean): Promise<void>;
  /** Resolves once everything has come that the server had sent by now. */
  settled(): Promise<void>;
  /** Resolves once the server has asked so many times whether this end lives. */
  pinged(times: number): Promise<void>;
  /** Bytes that were sent and that this end still holds. */
  unsent(): number;
  /** What was said, in order. */
  heard(): string[];
  close(): Promise<void>;
}>;

export type Opening = Readonly<{ origin?: string; protocols?: readonly string[]; path?: string }>;

const DEADLINE_MS = 10_000;

/** Where the server listens; it begins to when it is first asked. */
export async function addressOf({ app }: Server): Promise<AddressInfo> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  return app.server.address() as AddressInfo;
}

/** Opens a WebSocket, without saying anything on it. Rejects with the status of a refusal. */
export async function open(server: Server, options: Opening = {}): Promise<Live> {
  const { port } = await addressOf(server);
  const { origin, protocols = [], path = '/api/v1/live' } = options;
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, [...protocols], origin === undefined ? {} : { origin });
  const live = follow(socket);
  const below = Promise.withResolvers<Socket>();
  socket.once('upgrade', (response) => below.resolve(response.socket));
  socket.once('unexpected-response', (_request, response) => {
    socket.emit(
      'error',
      Object.assign(new Error(`refused with ${response.statusCode}`), { status: response.statusCode }),
    );
  });
  await once(socket, 'open');
  const tcp = await below.promise;
  return { ...live, protocol: socket.protocol, sendRaw: (bytes) => void tcp.write(bytes) };
}

/** Ends all connections of a server that are still open. Resolves once it has noticed. */
export async function closeAll({ app }: Server): Promise<void> {
  await Promise.all(
    [...app.websocketServer.clients].map(async (socket) => {
      const closed = once(socket, 'close');
      socket.terminate();
      await closed;
    }),
  );
}

function follow(socket: WebSocket): Omit<Live, 'protocol' | 'sendRaw'> {
  const frames: Received[] = [];
  const texts: string[] = [];
  const waiting = new Set<() => void>();
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  socket.on('message', (data) => {
    texts.push(data.toString());
    frames.push(JSON.parse(data.toString()));
    for (const look of waiting) look();
  });
  let count = 0;
  let pings = 0;
  socket.on('ping', () => {
    pings++;
    for (const look of waiting) look();
  });

  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        waiting.delete(look);
        reject(new Error(`waited in vain; the last that came: ${texts.slice(-3).join(' ').slice(0, 500)}`));
      }, DEADLINE_MS);
      const look = (): void => {
        if (!holds()) return;
        clearTimeout(patience);
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  const frame = async (fits: (frame: Received) => boolean): Promise<Received> => {
    await until(() => frames.some(fits));
    return frames.find(fits);
  };
  const send = (sent: object | string | Buffer): void => {
    socket.send(typeof sent === 'string' || Buffer.isBuffer(sent) ? sent : JSON.stringify(sent));
  };
  const said = ({ event, payload }: Received): string | undefined =>
    event === 'message:sent' ? payload.message.content : undefined;

  return {
    frames,
    texts,
    closed,
    send,
    frame,
    until,
    request(asked) {
      const id = `c${++count}`;
      send({ ...asked, id });
      return frame(({ type, id: acked }) => type === 'ack' && acked === id);
    },
    async settled() {
      socket.ping();
      await once(socket, 'pong');
    },
    pinged: (times) => until(() => pings >= times),
    unsent: () => socket.bufferedAmount,
    message: (content) => frame((one) => said(one) === content),
    heard: () => frames.map(said).filter((content) => content !== undefined),
    async close() {
      socket.close();
      await closed;
    },
  };
}

/** Opens a WebSocket, proves who speaks, and begins to listen: behind `after`, or from now on. */
export async function goLive(server: Server, person: Person, after?: string): Promise<Live> {
  const live = await open(server);
  const ack = await live.request({
    type: 'auth',
    token: person.accessToken,
    ...(after === undefined ? {} : { after }),
  });
  if (ack.ok !== true) throw new Error(`not let in: ${ack.problem.detail}`);
  // The next frame says that nothing is to be resumed.
  await live.request({ type: 'ping' });
  return live;
}
