import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** A proxy between a client and a server that simulates faults. */
export type TcpProxy = Readonly<{
  port: number;
  /** Ends all connections and refuses new ones. */
  refuse(): void;
  /** Ends all connections, with the bytes that were held. New ones are accepted. */
  cut(): void;
  /** Holds what the server (`answers`) or both sides (`all`) send from now on, as a network that delivers nothing. */
  hold(what: 'answers' | 'all'): void;
  /** Delays everything by this time, in ms, in each direction. */
  delay(ms: number): void;
  /** Ends all connections once so many further bytes of the server were forwarded. Resolves when that is done; new connections work as before. */
  cutAfter(bytes: number): Promise<void>;
  /** Ends all faults and forwards what was held. */
  pass(): Promise<void>;
  close(): Promise<void>;
}>;

type Held = 'nothing' | 'answers' | 'all';
type Connection = Readonly<{ end(): void; flush(): void }>;

/** @param target the port of the server on this machine */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const connections = new Set<Connection>();
  let held: Held = 'nothing';
  let delayMs = 0;
  let cutting: { left: number; done: () => void } | null = null;
  /** The last byte before the cut was forwarded, and the connections are about to end. */
  let isCut = false;

  const endAll = (): void => {
    for (const connection of connections) connection.end();
  };

  /** The part of an answer that is forwarded before the cut. */
  const shorten = (chunk: Buffer): Buffer => {
    if (isCut) return chunk.subarray(0, 0);
    if (cutting === null) return chunk;
    const { done, left } = cutting;
    cutting.left -= chunk.length;
    if (cutting.left > 0) return chunk;
    cutting = null;
    isCut = true;
    // After that part has been written.
    setImmediate(() => {
      endAll();
      isCut = false;
      done();
    });
    return chunk.subarray(0, left);
  };

  /** Forwards in order, each chunk after its delay. */
  const pipe = (from: Socket, to: Socket, isHeld: () => boolean, cut: (chunk: Buffer) => Buffer): (() => void) => {
    const waiting: Buffer[] = [];
    let last = Promise.resolve();
    const flush = (): void => {
      if (isHeld()) return;
      for (const chunk of waiting.splice(0)) to.write(cut(chunk));
    };
    from.on('data', (chunk: Buffer) => {
      const ms = delayMs;
      const due = ms === 0 ? Promise.resolve() : pause(ms);
      last = Promise.all([last, due]).then(() => {
        waiting.push(chunk);
        flush();
      });
    });
    return flush;
  };

  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    const flushRequests = pipe(
      client,
      upstream,
      () => held === 'all',
      (chunk) => chunk,
    );
    const flushAnswers = pipe(upstream, client, () => held !== 'nothing', shorten);
    const connection: Connection = {
      end() {
        connections.delete(connection);
        client.destroy();
        upstream.destroy();
      },
      flush() {
        flushRequests();
        flushAnswers();
      },
    };
    connections.add(connection);
    for (const socket of [client, upstream]) {
      // An error is followed by `close`.
      socket.on('error', () => {});
      socket.on('close', () => connection.end());
    }
  });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);

  return {
    port,
    refuse() {
      server.close();
      endAll();
    },
    cut: endAll,
    hold(what) {
      held = what;
    },
    delay(ms) {
      delayMs = ms;
    },
    cutAfter: (bytes) =>
      new Promise((done) => {
        cutting = { left: bytes, done };
      }),
    async pass() {
      held = 'nothing';
      delayMs = 0;
      for (const connection of connections) connection.flush();
      if (!server.listening) await listen(port);
    },
    async close() {
      endAll();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}
