import type { Clock } from '../../ports/clock.ts';

/** Pause between two pings of one connection, in ms. A connection that has not answered the previous one is cut. */
export const HEARTBEAT_MS = 25_000;
/** How often the connections that are due are pinged, in ms: often, so that they are not all pinged at once. */
const ROUND_MS = 1_000;

/** A connection that can be pinged. */
export interface Pingable {
  /** Nothing is read from it at the moment, so that no answer can be seen. */
  readonly isPaused: boolean;
  ping(): void;
  cut(): void;
}

/** Detects connections that broke without being closed, and cuts them. */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #connections = new Map<Pingable, { dueMs: number; answered: boolean }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(connection: Pingable): void {
    this.#connections.set(connection, { dueMs: this.#clock.monotonic() + HEARTBEAT_MS, answered: true });
  }

  answered(connection: Pingable): void {
    const state = this.#connections.get(connection);
    if (state !== undefined) state.answered = true;
  }

  remove(connection: Pingable): void {
    this.#connections.delete(connection);
  }

  /** Pings until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#pingDue(this.#clock.monotonic());
      await this.#clock.sleep(ROUND_MS, signal);
    }
  }

  #pingDue(nowMs: number): void {
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
