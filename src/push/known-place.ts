import { isStoreError } from '../kernel/errors.ts';
import { hasReached, type Position } from '../kernel/position.ts';
import type { Anchor } from '../log/anchor.ts';
import type { EventLog } from '../log/event-log.ts';
import { isStart, markOf, type Place } from './frames.ts';
import type { ResumeBuffer } from './resume-buffer.ts';

/** How far a hub has come, and what it holds. */
export type Followed = Readonly<{
  log: Pick<EventLog, 'idAt'>;
  position: Position | null;
  anchor: Anchor | null;
  buffer: ResumeBuffer;
}>;

/**
 * Whether the log has the event of a place that a client sent. One that was restored from an older copy may not have it, or another one instead. A
 * place that cannot be looked up counts as unknown.
 */
export async function isPlaceInLog(place: Place, { log, position, anchor, buffer }: Followed): Promise<boolean> {
  if (isStart(place)) return true;
  if (place.mark === undefined || !hasReached(position, place.position)) return false;
  if (place.position === anchor?.position) return place.mark === markOf(anchor.id);
  const held = buffer.markAt(place.position);
  if (held !== undefined) return place.mark === held;
  try {
    const id = await log.idAt(place.position);
    return id !== null && place.mark === markOf(id);
  } catch (error) {
    if (!isStoreError(error)) throw error;
    return false;
  }
}
