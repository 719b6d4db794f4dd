import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Person, Server } from './http.ts';

// biome-ignore lint/suspicious/noExplicitAny: each test checks the shape that it expects
export type Received = any;

/** A WebSocket to the server, with everything that it received. */
export type Live = Readonly<{
  /** In the order of arrival. */
  frames: readonly Received[];
  /** The same as text. */
  texts: readonly string[];
  /** How the connection ended. */
  closed: Promise<Readonly<{ code: number; reason: string }>>;
  /** The subprotocol that the server chose. */
  protocol: string;
  /** Sends an object as JSON, anything else as it is. */
  send(frame: object | string | Buffer): void;
  /** Writes bytes below the WebSocket, as only a broken client would. */
  sendRaw(bytes: Buffer): void;
  /** Sends a frame with a new id, and resolves with its ack. */
  request(frame: object): Promise<Received>;
  /** The first matching frame, received before or later. */
  frame(matches: (frame: Received) => boolean): Promise<Received>;
  /** The first message with this content. */
  message(content: string): Promise<Received>;
  /** Resolves once this holds, checked whenever something arrives. */
  until(holds: () => boolean): Promise<void>;
  /** Resolves once everything has arrived that the server has sent so far. */
  settled(): Promise<void>;
  /** Resolves once the server has sent this many pings. */
  pinged(times: number): Promise<void>;
  /** Bytes that wait on this side to be sent. */
  unsent(): number;
  /** The contents of all messages received so far, in order. */
  contents(): string[];
  close(): Promise<void>;
}>;

export type Opening = Readonly<{ origin?: string; protocols?: readonly string[]; path?: string }>;

const DEADLINE_MS = 30_000;

/** The address of the server, which starts to listen on the first call. */
export async function addressOf({ app }: Server): Promise<AddressInfo> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  return app.server.address() as AddressInfo;
}

/** Opens a WebSocket without sending anything. Rejects with the status of the response when the upgrade is refused. */
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

/** Cuts all open connections of a server. Resolves once the server has noticed. */
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
    for (const check of waiting) check();
  });
  let count = 0;
  let pings = 0;
  socket.on('ping', () => {
    pings++;
    for (const check of waiting) check();
  });

  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        waiting.delete(check);
        reject(new Error(`timed out; last received: ${texts.slice(-3).join(' ').slice(0, 500)}`));
      }, DEADLINE_MS);
      const check = (): void => {
        if (!holds()) return;
        clearTimeout(timeout);
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  const frame = async (matches: (frame: Received) => boolean): Promise<Received> => {
    await until(() => frames.some(matches));
    return frames.find(matches);
  };
  const send = (data: object | string | Buffer): void => {
    socket.send(typeof data === 'string' || Buffer.isBuffer(data) ? data : JSON.stringify(data));
  };
  const contentOf = ({ event, payload }: Received): string | undefined =>
    event === 'message:sent' ? payload.message.content : undefined;

  return {
    frames,
    texts,
    closed,
    send,
    frame,
    until,
    request(body) {
      const id = `c${++count}`;
      send({ ...body, id });
      return frame(({ type, id: acked }) => type === 'ack' && acked === id);
    },
    async settled() {
      socket.ping();
      await once(socket, 'pong');
    },
    pinged: (times) => until(() => pings >= times),
    unsent: () => socket.bufferedAmount,
    message: (content) => frame((one) => contentOf(one) === content),
    contents: () => frames.map(contentOf).filter((content) => content !== undefined),
    async close() {
      socket.close();
      await closed;
    },
  };
}

/** Opens a WebSocket, authenticates, and starts delivery: after the frame `after`, or from now on. */
export async function goLive(server: Server, person: Person, after?: string): Promise<Live> {
  const live = await open(server);
  const ack = await live.request({
    type: 'auth',
    token: person.accessToken,
    ...(after === undefined ? {} : { after }),
  });
  if (ack.ok !== true) throw new Error(`not authenticated: ${ack.problem.detail}`);
  // Any frame other than `resume` starts delivery.
  await live.request({ type: 'ping' });
  return live;
}
