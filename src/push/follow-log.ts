import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventFilter, EventStore, SubscriptionBatch } from '../ports/event-store.ts';

/** Events read at once when looking back. */
const PAGE = 4_096;
/** Pause before the log is tried again, in ms: the first, and the longest after more and more failures. */
const PAUSE_MS = { first: 100, longest: 5_000 };

/** How far to look back: to events no older than this, and not further than so many. */
export type LookBack = Readonly<{ ageMs: number; events: number }>;

/** The position behind which the latest events begin; `null` when that is all of them. */
export async function placeToStartFrom(
  deps: Readonly<{ events: EventStore; clock: Clock }>,
  filter: EventFilter,
  { ageMs, events }: LookBack,
): Promise<Position | null> {
  const oldest = deps.clock.now() - ageMs;
  let from: Position | null = null;
  for (let left = events; left > 0; ) {
    const limit = Math.min(PAGE, left);
    const slice = await deps.events.readAll({ direction: 'backwards', from, limit, filter });
    const tooOld = slice.events.find(({ recordedAt }) => Date.parse(recordedAt) < oldest);
    if (tooOld !== undefined) return tooOld.position;
    if (slice.end) return null;
    left -= slice.events.length;
    from = slice.next;
  }
  return from;
}

/**
 * Hands the log over from `after()` on, batch by batch, until the signal or until the store is closed. Whatever fails, it begins again, with longer
 * and longer pauses, behind what `after()` then says. Never rejects.
 */
export async function followLog(
  deps: Readonly<{ events: EventStore; clock: Clock; logger: Logger }>,
  options: Readonly<{
    after(): Position | null;
    filter: EventFilter;
    signal: AbortSignal;
    take(batch: SubscriptionBatch): Promise<void>;
  }>,
): Promise<void> {
  const { after, filter, signal, take } = options;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const batch of deps.events.subscribe({ after: after(), filter, signal })) {
        await take(batch);
        failures = 0;
      }
      if (!signal.aborted) throw new StoreError('UNAVAILABLE', 'the subscription ended by itself');
    } catch (error) {
      if (isStoreError(error, 'CLOSED')) return;
      deps.logger[isStoreError(error) ? 'warn' : 'error']({ err: error }, 'push lost the log and tries again');
      const longest = Math.min(PAUSE_MS.longest, PAUSE_MS.first * 2 ** Math.min(failures, 10));
      await deps.clock.sleep(longest * (0.5 + Math.random() / 2), signal);
    }
  }
}
