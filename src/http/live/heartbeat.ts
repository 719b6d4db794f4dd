import type { Clock } from '../../ports/clock.ts';

/** Pause between two beats of one connection, in ms. A connection that has not answered the last one is cut. */
export const HEARTBEAT_MS = 25_000;
/** How often it is looked which connections are due, in ms: so that not all of them are at once. */
const LOOK_MS = 1_000;

/** A connection that can be asked whether it lives. */
export interface Beating {
  /** Nothing is read from it at the moment, so that no answer can be seen. */
  readonly isPaused: boolean;
  ping(): void;
  cut(): void;
}

/** Finds out which connections have died without a word, and cuts them. */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #connections = new Map<Beating, { dueMs: number; answered: boolean }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(connection: Beating): void {
    this.#connections.set(connection, { dueMs: this.#clock.monotonic() + HEARTBEAT_MS, answered: true });
  }

  answered(connection: Beating): void {
    const state = this.#connections.get(connection);
    if (state !== undefined) state.answered = true;
  }

  remove(connection: Beating): void {
    this.#connections.delete(connection);
  }

  /** Beats until the signal. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#beat(this.#clock.monotonic());
      await this.#clock.sleep(LOOK_MS, signal);
    }
  }

  #beat(nowMs: number): void {
    for (const [connection, state] of this.#connections) {
      if (nowMs < state.dueMs) continue;
      if (!state.answered && !connection.isPaused) {
        connection.cut();
        continue;
      }
      state.dueMs = nowMs + HEARTBEAT_MS;
      state.answered = false;
      connection.ping();
    }
  }
}
