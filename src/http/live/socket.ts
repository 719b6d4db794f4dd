import type { Socket } from 'node:net';

/** The part of a WebSocket that is used. */
export interface WebSocketLike {
  send(data: string | Buffer, options: { binary: boolean }): void;
  ping(): void;
  pong(data: Buffer): void;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
  readonly isPaused: boolean;
}

/**
 * A WebSocket together with its TCP socket, which combines many messages into one write and reports back-pressure: at its high-water mark, 64 KiB
 * that the client has not received yet, it is full.
 */
export class LiveSocket {
  readonly #ws: WebSocketLike;
  readonly #tcp: Socket;
  /** Why reading from the client is suspended. */
  readonly #suspended = new Set<'queue' | 'limit'>();
  #unlimit: () => void = () => {};

  constructor(ws: WebSocketLike, tcp: Socket) {
    this.#ws = ws;
    this.#tcp = tcp;
  }

  /** Whether reading from the client is suspended. */
  get isPaused(): boolean {
    return this.#ws.isPaused;
  }

  /** Whether the client has to read before more is sent. */
  get isFull(): boolean {
    return this.#tcp.writableNeedDrain;
  }

  send(text: string): void {
    this.#ws.send(text, { binary: false });
  }

  /** Sends messages in one write until the socket is full; returns how many were sent. */
  sendAll(messages: readonly Readonly<{ bytes: Buffer }>[]): number {
    let sent = 0;
    this.#tcp.cork();
    for (const { bytes } of messages) {
      if (this.#tcp.writableNeedDrain) break;
      this.#ws.send(bytes, { binary: false });
      sent++;
    }
    this.#tcp.uncork();
    return sent;
  }

  /** Resolves once the socket is no longer full, is closed, or `signal` is aborted. */
  async drained(signal: AbortSignal): Promise<void> {
    if (!this.#tcp.writableNeedDrain || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#tcp.off('drain', done).off('close', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#tcp.on('drain', done).on('close', done);
      signal.addEventListener('abort', done);
    });
  }

  /** Suspends or continues reading from the client. */
  read(on: boolean): void {
    if (on) this.#continue('queue');
    else this.#suspend('queue');
  }

  /** Suspends reading from the client once it has sent more than `bytes`, until `unlimitReading`. */
  limitReading(bytes: number): void {
    let left = bytes;
    const count = ({ length }: Buffer): void => {
      left -= length;
      if (left < 0) this.#suspend('limit');
    };
    this.#tcp.on('data', count);
    this.#unlimit = () => this.#tcp.off('data', count);
  }

  unlimitReading(): void {
    this.#unlimit();
    this.#continue('limit');
  }

  #suspend(reason: 'queue' | 'limit'): void {
    this.#suspended.add(reason);
    this.#ws.pause();
  }

  #continue(reason: 'queue' | 'limit'): void {
    if (this.#suspended.delete(reason) && this.#suspended.size === 0) this.#ws.resume();
  }

  ping(): void {
    this.#ws.ping();
  }

  /** Answers a ping, unless the client does not read: then the answers would accumulate. */
  pong(data: Buffer): void {
    if (!this.isFull) this.#ws.pong(data);
  }

  /** Sends a close frame, after everything that was sent before. */
  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
    this.#unlimit();
    this.#suspended.clear();
    // The client's close frame has to be read.
    this.#ws.resume();
  }

  /** Cuts the connection. */
  cut(): void {
    this.#ws.terminate();
  }
}
