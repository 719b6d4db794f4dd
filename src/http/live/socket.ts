import type { Socket } from 'node:net';

/** The part of a WebSocket that is used. */
export interface WebSocketLike {
  send(data: string | Buffer, options: { binary: boolean }): void;
  ping(): void;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
  readonly isPaused: boolean;
}

/**
 * A WebSocket together with the TCP socket below it, which puts many messages into one write, and tells when it has enough: that is at its
 * high-water mark, 64 KiB that the other end has not taken yet.
 */
export class LiveSocket {
  readonly #ws: WebSocketLike;
  readonly #tcp: Socket;

  constructor(ws: WebSocketLike, tcp: Socket) {
    this.#ws = ws;
    this.#tcp = tcp;
  }

  /** Whether nothing is read from the client at the moment. */
  get isPaused(): boolean {
    return this.#ws.isPaused;
  }

  send(text: string): void {
    this.#ws.send(text, { binary: false });
  }

  /** Sends messages in one write, until there is no room for more; gives how many. */
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

  /** Resolves once there is room, the TCP socket is closed, or `signal` is aborted. */
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

  /** Stops or goes on to read what the client sends. */
  read(on: boolean): void {
    if (on) this.#ws.resume();
    else this.#ws.pause();
  }

  ping(): void {
    this.#ws.ping();
  }

  /** Says goodbye; what waits to go out goes before it. */
  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
    // The answer must be read.
    this.#ws.resume();
  }

  /** Cuts the connection. */
  cut(): void {
    this.#ws.terminate();
  }
}
