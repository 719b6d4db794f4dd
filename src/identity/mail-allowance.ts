import { createLru } from '../ports/lru.ts';

const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
const KEYS_MAX = 50_000;

/** How many mails requests of strangers may cause to one address. */
export type MailLimits = Readonly<{ perHour: number; perDay: number }>;

/** Limits the mails that strangers can cause to one address. Counts are per node. */
export class MailAllowance {
  readonly #sent = createLru<readonly number[]>(KEYS_MAX);
  readonly #limits: MailLimits | 'off';
  readonly #now: () => number;

  /** @param now monotonic time in ms, see `Clock.monotonic` */
  constructor(limits: MailLimits | 'off', now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Whether one more mail may be sent to this address. If so, it is counted. */
  take(addressId: string): boolean {
    if (this.#limits === 'off') return true;
    const now = this.#now();
    const lastDay = (this.#sent.get(addressId) ?? []).filter((at) => at > now - DAY_MS);
    const lastHour = lastDay.filter((at) => at > now - HOUR_MS);
    if (lastHour.length >= this.#limits.perHour || lastDay.length >= this.#limits.perDay) return false;
    this.#sent.set(addressId, [...lastDay, now]);
    return true;
  }
}
