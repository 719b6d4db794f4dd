import type { Clock } from '../../ports/clock.ts';

/** A call without a response for this long is reported, in ms. */
const SILENT_MS = 2_000;
/** Pause between two reports, in ms. */
const REPEAT_MS = 500;

/** A call that waits for its response. */
export type WaitingCall = Readonly<{ since: number }>;

/** Watches the calls to one node, and reports when one of them waits for a response for too long, or is not carried out. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #onTrouble: () => Promise<void>;
  /** In the order of their start. */
  readonly #waiting = new Set<WaitingCall>();
  readonly #ending = new AbortController();
  #isWatching = false;
  /** Reports run one after the other, and not more often than this allows. */
  #reporting: Promise<void> | null = null;
  #notBefore = 0;

  /** `onTrouble` is called again while it lasts, and must not reject. */
  constructor(clock: Clock, onTrouble: () => Promise<void>) {
    this.#clock = clock;
    this.#onTrouble = onTrouble;
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

  /** The node responded that it could not carry out a call. */
  notCarriedOut(): void {
    if (this.#clock.monotonic() >= this.#notBefore) void this.#report();
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
      if (left <= 0) await this.#report();
      await this.#clock.sleep(left > 0 ? left : REPEAT_MS, signal);
    }
    this.#isWatching = false;
  }

  #report(): Promise<void> {
    if (this.#ending.signal.aborted) return Promise.resolve();
    this.#reporting ??= this.#onTrouble().finally(() => {
      this.#reporting = null;
      this.#notBefore = this.#clock.monotonic() + REPEAT_MS;
    });
    return this.#reporting;
  }
}
