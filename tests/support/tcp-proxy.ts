import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Stands between a client and a server, and is at fault on request. */
export type TcpProxy = Readonly<{
  port: number;
  /** Ends every connection, and takes new ones no more. */
  refuse(): void;
  /** Ends every connection, with what was held of it. New ones are taken. */
  cut(): void;
  /** What the server (`answers`), or either side (`all`), says from now on stays here: the network has gone silent. */
  hold(what: 'answers' | 'all'): void;
  /** Everything that comes takes so long, in ms, in each direction. */
  delay(ms: number): void;
  /** Ends every connection as soon as so many further bytes of the server's have gone through, then is as before. Resolves when that is done. */
  cutAfter(bytes: number): Promise<void>;
  /** Is at fault no more. What is held goes through. */
  pass(): Promise<void>;
  close(): Promise<void>;
}>;

type Held = 'nothing' | 'answers' | 'all';
type Connection = Readonly<{ end(): void; flush(): void }>;

/** @param target where the server listens on this machine */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const connections = new Set<Connection>();
  let held: Held = 'nothing';
  let delayMs = 0;
  let cutting: { left: number; done: () => void } | null = null;

  const endAll = (): void => {
    for (const connection of connections) connection.end();
  };

  /** What of an answer goes through before the cut. */
  const shorten = (chunk: Buffer): Buffer => {
    if (cutting === null) return chunk;
    const { done, left } = cutting;
    cutting.left -= chunk.length;
    if (cutting.left > 0) return chunk;
    cutting = null;
    // Once what goes through has been written.
    setImmediate(() => {
      endAll();
      done();
    });
    return chunk.subarray(0, left);
  };

  /** Hands on in order, each chunk not before its time. */
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
    const flushAsks = pipe(
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
        flushAsks();
        flushAnswers();
      },
    };
    connections.add(connection);
    for (const socket of [client, upstream]) {
      // An error is followed by its end.
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
