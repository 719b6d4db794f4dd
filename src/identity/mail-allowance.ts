import type { Change, SharedLimits } from '../ports/limit-store.ts';

const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;

/** How many mails requests of strangers may cause to one address, each at most 1,000. */
export type MailLimits = Readonly<{ perHour: number; perDay: number }>;

/** Limits the mails that strangers can cause to one address. Counts are shared by all nodes. */
export class MailAllowance {
  readonly #limits: SharedLimits;
  readonly #take: Change<boolean> | 'off';

  constructor(limits: SharedLimits, mails: MailLimits | 'off') {
    this.#limits = limits;
    this.#take = mails === 'off' ? 'off' : taking(mails);
  }

  /** Whether one more mail may be sent to this address. If so, it is counted. */
  async take(addressId: string): Promise<boolean> {
    return this.#take === 'off' || (await this.#limits.update({ kind: 'mail', id: addressId }, this.#take));
  }
}

const taking =
  ({ perHour, perDay }: MailLimits): Change<boolean> =>
  (state, now) => {
    // Only this class writes states of this kind. Times far ahead are from before the clock was set back.
    const sent = (state?.sent ?? []) as readonly number[];
    const lastDay = sent.filter((at) => at > now - DAY_MS && at < now + DAY_MS);
    const lastHour = lastDay.filter((at) => at > now - HOUR_MS);
    if (lastHour.length >= perHour || lastDay.length >= perDay) return { result: false };
    return { result: true, next: { state: { sent: [...lastDay, now] }, keepMs: DAY_MS } };
  };
