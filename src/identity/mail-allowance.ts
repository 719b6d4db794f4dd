import { LRUCache } from 'lru-cache';

const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
const KEYS_MAX = 50_000;

/** Mails that strangers may have sent to one address. */
export type MailLimits = Readonly<{ perHour: number; perDay: number }>;

/** Keeps strangers from flooding a mailbox by asking for mails to it again and again. Counts are this node's own. */
export class MailAllowance {
  private readonly sent = new LRUCache<string, readonly number[]>({ max: KEYS_MAX });
  private readonly limits: MailLimits | 'off';
  private readonly now: () => number;

  /** @param now ms from any start, see `Clock.monotonic` */
  constructor(limits: MailLimits | 'off', now: () => number) {
    this.limits = limits;
    this.now = now;
  }

  /** Whether one more mail may go to this address; if so, it is counted. */
  take(addressId: string): boolean {
    if (this.limits === 'off') return true;
    const now = this.now();
    const lastDay = (this.sent.get(addressId) ?? []).filter((at) => at > now - DAY_MS);
    const lastHour = lastDay.filter((at) => at > now - HOUR_MS);
    if (lastHour.length >= this.limits.perHour || lastDay.length >= this.limits.perDay) return false;
    this.sent.set(addressId, [...lastDay, now]);
    return true;
  }
}
