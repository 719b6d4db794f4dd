import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type FrameCounter = Readonly<{
  port: number;
  /** Frames of this type that clients have sent so far (RFC 9113, section 6). */
  sent(type: number): number;
  close(): Promise<void>;
}>;

/** What a client sends before its first frame. */
const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;

/** A relay to a port of this machine that counts the frames of HTTP/2 which clients send. */
export async function startFrameCounter(target: number): Promise<FrameCounter> {
  const counts = new Map<number, number>();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    let rest: Buffer = Buffer.alloc(0);
    let skipped = PREFACE_BYTES;
    client.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= skipped + HEADER_BYTES) {
        const type = rest.readUInt8(skipped + 3);
        counts.set(type, (counts.get(type) ?? 0) + 1);
        rest = rest.subarray(skipped);
        skipped = HEADER_BYTES + rest.readUIntBE(0, 3);
      }
    });
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // An error is followed by `close`.
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sent: (type) => counts.get(type) ?? 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
