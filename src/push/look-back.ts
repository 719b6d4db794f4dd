import type { Position } from '../kernel/position.ts';
import { type Anchor, anchorOf } from '../log/anchor.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventFilter } from '../ports/event-store.ts';

/** Events read at once. */
const PAGE = 4_096;

/** How far to look back: to events no older than this, and at most so many. */
export type LookBack = Readonly<{ ageMs: number; events: number }>;

/** The event after which the latest events begin; `null` when that is all of them. */
export async function eventToStartFrom(
  deps: Readonly<{ log: EventLog; clock: Clock }>,
  filter: EventFilter,
  { ageMs, events }: LookBack,
): Promise<Anchor | null> {
  const oldest = deps.clock.now() - ageMs;
  let from: Position | null = null;
  let oldestRead: Anchor | null = null;
  for (let left = events; left > 0; ) {
    const limit = Math.min(PAGE, left);
    const slice = await deps.log.readAll({ direction: 'backwards', from, limit, filter });
    const tooOld = slice.events.find(({ recordedAt }) => Date.parse(recordedAt) < oldest);
    if (tooOld !== undefined) return anchorOf(tooOld);
    if (slice.end) return null;
    const last = slice.events.at(-1);
    if (last !== undefined) oldestRead = anchorOf(last);
    left -= slice.events.length;
    from = slice.next;
  }
  return oldestRead;
}
