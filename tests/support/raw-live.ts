import { connect, type Socket } from 'node:net';
import type { Person, Server } from './http.ts';
import { addressOf, type Received } from './live.ts';

/** Opcodes (RFC 6455, section 5.2). */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A frame of a client, masked with zeros. `claimed`: the length in its header, if it is not that of the payload. */
export function frameBytes(
  opcode: number,
  payload: string | Buffer = '',
  { fin = true, claimed }: { fin?: boolean; claimed?: bigint } = {},
): Buffer {
  const bytes = Buffer.from(payload);
  const length = claimed ?? BigInt(bytes.length);
  const first = (fin ? 0x80 : 0) | opcode;
  if (length < 126n) return Buffer.concat([Buffer.from([first, 0x80 | Number(length), 0, 0, 0, 0]), bytes]);
  const head = Buffer.alloc(14);
  head.set([first, 0x80 | 127]);
  head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, bytes]);
}

export const textFrame = (frame: object | string): Buffer =>
  frameBytes(OPCODE.text, typeof frame === 'string' ? frame : JSON.stringify(frame));

/** A client that speaks WebSocket over a bare TCP connection, because no library allows it to stop reading, or to break the protocol. */
export class RawClient {
  readonly tcp: Socket;
  /** Received frames: texts as JSON, and the code of a close frame. */
  readonly received: Received[] = [];
  pongs = 0;
  /** The head of the response to the upgrade. */
  head = '';
  #rest: Buffer = Buffer.alloc(0);
  #changed = Promise.withResolvers<void>();

  constructor(tcp: Socket) {
    this.tcp = tcp;
    tcp.on('data', (chunk) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      if (this.head === '') this.#takeHead();
      if (this.status === 101) while (this.#takeFrame());
      this.#notify();
    });
    tcp.on('close', () => this.#notify());
    tcp.on('error', () => {});
  }

  /** The status of the response to the upgrade, 0 when there is none yet. */
  get status(): number {
    return Number(this.head.split(' ', 2)[1] ?? 0);
  }

  /** The code of the close frame that was received. */
  get closed(): number | undefined {
    return this.received.find(({ closed }) => closed !== undefined)?.closed;
  }

  send(frame: object | string): void {
    this.tcp.write(textFrame(frame));
  }

  /** Resolves once this holds, checked whenever data arrives. Rejects when the connection has ended before. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.tcp.closed) throw new Error(`the connection has ended; last: ${JSON.stringify(this.received.at(-1))}`);
      await this.#changed.promise;
    }
  }

  /** Resolves once the TCP connection is closed. */
  async ended(): Promise<void> {
    while (!this.tcp.closed) await this.#changed.promise;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #takeHead(): void {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return;
    this.head = this.#rest.subarray(0, end).toString();
    this.#rest = this.#rest.subarray(end + 4);
  }

  #takeFrame(): boolean {
    const bytes = this.#rest;
    const short = (bytes[1] ?? 0) & 0x7f;
    const from = short === 126 ? 4 : 2;
    if (bytes.length < from) return false;
    const length = short === 126 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < from + length) return false;
    const payload = bytes.subarray(from, from + length);
    const opcode = (bytes[0] ?? 0) & 0x0f;
    if (opcode === OPCODE.text) this.received.push(JSON.parse(payload.toString()));
    if (opcode === OPCODE.close) this.received.push({ closed: payload.readUInt16BE(0) });
    if (opcode === OPCODE.pong) this.pongs++;
    this.#rest = bytes.subarray(from + length);
    return true;
  }
}

/** The head of a request to open a WebSocket. */
export function upgradeRequest(headers: readonly string[] = [], path = '/api/v1/live'): string {
  const lines = [`GET ${path} HTTP/1.1`, 'Host: parley.test', 'Connection: Upgrade', 'Upgrade: websocket'];
  const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='];
  return `${[...lines, ...key, ...headers].join('\r\n')}\r\n\r\n`;
}

/** Connects and requests an upgrade, and waits for nothing. */
export async function rawClient(server: Server, headers: readonly string[] = []): Promise<RawClient> {
  const { port } = await addressOf(server);
  const client = new RawClient(connect(port, '127.0.0.1'));
  client.tcp.write(upgradeRequest(headers));
  return client;
}

/** Connects and authenticates. */
export async function rawLive(server: Server, { accessToken: token }: Person): Promise<RawClient> {
  const client = await rawClient(server);
  client.send({ type: 'auth', id: 'a', token });
  client.send({ type: 'ping', id: 'p' });
  await client.until(() => client.received.length === 2);
  return client;
}
