import type { ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { Faults } from './faults.ts';

/** Writes to a call with backpressure, until the call is closed. */
export class Outlet {
  readonly #call: Pick<ServerWritableStream<unknown, ReadResp>, 'write' | 'on' | 'cancelled' | 'destroy'>;
  readonly #faults: Faults;
  readonly #onEvent: () => void;
  #wake: () => void = () => {};
  #closed = false;

  /** `onEvent` is called after each event. */
  constructor(call: ServerWritableStream<unknown, ReadResp>, faults: Faults, onEvent: () => void) {
    this.#call = call;
    this.#faults = faults;
    this.#onEvent = onEvent;
    const close = () => {
      this.#closed = true;
      this.#wake();
    };
    // One listener of each kind for the whole call, not one per message.
    call.on('drain', () => this.#wake());
    call.on('cancelled', close);
    call.on('close', close);
    call.on('error', close);
  }

  get closed(): boolean {
    return this.#closed || this.#call.cancelled;
  }

  /** Resolves when there is room for the next message, or the call is closed. */
  async write(response: ReadResp): Promise<void> {
    if (this.#faults.isFrozen) await this.#faults.thawed();
    if (this.closed) return;
    if (!this.#call.write(response)) await this.#wait();
    if (response.hasEvent()) this.#onEvent();
  }

  /** Resolves when `start` calls back, or the call is closed. What `start` returns is called at the end. */
  async until(start: (wake: () => void) => () => void): Promise<void> {
    if (this.closed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = start(resolve);
    this.#wake = resolve;
    await promise;
    stop();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
