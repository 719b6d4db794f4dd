import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { Position } from '../../src/kernel/position.ts';
import type { EventStore, ReadAllOptions, SubscribeOptions, SubscriptionBatch } from '../../src/ports/event-store.ts';

/** How long a subscription may take to give what is waited for. */
export const DEADLINE_MS = 15_000;

export type Seen = Readonly<{ batches: SubscriptionBatch[]; events: RecordedEvent[] }>;

/** Follows until `enough` says so, asked after each batch. Fails when that does not come about. */
export async function follow(
  store: EventStore,
  options: SubscribeOptions,
  enough: (seen: Seen) => boolean,
): Promise<Seen> {
  const seen: Seen = { batches: [], events: [] };
  for await (const batch of store.subscribe({ signal: AbortSignal.timeout(DEADLINE_MS), ...options })) {
    seen.batches.push(batch);
    seen.events.push(...batch.events);
    if (enough(seen)) return seen;
  }
  throw new Error(`the subscription gave ${seen.events.length} events, and not what was waited for`);
}

/** Enough: so many events. */
export const until =
  (count: number) =>
  (seen: Seen): boolean =>
    seen.events.length >= count;

/** Enough: the mark of having caught up. */
export const untilCaughtUp = (seen: Seen): boolean => seen.batches.at(-1)?.caughtUp === true;

const MAX_SLICES = 10_000;

/** All slices of the log from `from` on, and where the next would start. */
export async function readToEnd(
  store: EventStore,
  options: ReadAllOptions,
): Promise<{ events: RecordedEvent[]; next: Position | null }> {
  const events: RecordedEvent[] = [];
  let from = options.from;
  for (let slices = 0; slices < MAX_SLICES; slices++) {
    const slice = await store.readAll({ ...options, from });
    events.push(...slice.events);
    from = slice.next;
    if (slice.end) return { events, next: from };
  }
  throw new Error('the log does not end');
}
