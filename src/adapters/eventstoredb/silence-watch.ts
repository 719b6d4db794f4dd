import type { Clock } from '../../ports/clock.ts';

/** A call without a response for this long is reported, in ms. */
const SILENT_MS = 2_000;
/** Pause before the next report while it still has none, in ms. */
const REPEAT_MS = 500;

/** A call that waits for its response. */
export type WaitingCall = Readonly<{ since: number }>;

/** Watches the calls to one node, and reports when one of them waits for a response for too long. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #onSilent: () => Promise<void>;
  /** In the order of their start. */
  readonly #waiting = new Set<WaitingCall>();
  readonly #ending = new AbortController();
  #isWatching = false;

  /** `onSilent` is called again while the call has no response, and must not reject. */
  constructor(clock: Clock, onSilent: () => Promise<void>) {
    this.#clock = clock;
    this.#onSilent = onSilent;
  }

  begin(): WaitingCall {
    const call = { since: this.#clock.monotonic() };
    this.#waiting.add(call);
    if (!this.#isWatching) void this.#watch();
    return call;
  }

  /** The call has its response, or ended without one. May be called twice. */
  end(call: WaitingCall): void {
    this.#waiting.delete(call);
  }

  stop(): void {
    this.#ending.abort();
  }

  /** One loop is enough: the oldest call is always the next to be silent for too long. It runs on between calls, so that they need no timers. */
  async #watch(): Promise<void> {
    const { signal } = this.#ending;
    this.#isWatching = true;
    for (let [oldest] = this.#waiting; oldest !== undefined && !signal.aborted; [oldest] = this.#waiting) {
      const left = oldest.since + SILENT_MS - this.#clock.monotonic();
      if (left <= 0) await this.#onSilent();
      await this.#clock.sleep(left > 0 ? left : REPEAT_MS, signal);
    }
    this.#isWatching = false;
  }
}
