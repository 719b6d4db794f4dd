import { isStoreError } from '../kernel/errors.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import { hasReached, type Position } from '../kernel/position.ts';

/** An event by which a log is recognised: a log that was restored from an older copy has another event at the position, or none. */
export type Anchor = Readonly<{
  position: Position;
  id: string;
  /** When it was recorded, ISO 8601 UTC. */
  at: string;
}>;

/** The anchor of the last event that was handled, and earlier ones, the oldest first. */
export type Anchors = Readonly<{ anchor: Anchor | null; former: readonly Anchor[] }>;

/**
 * Whether a log is the one that the anchors are of. `shared`: the latest event of them that it has, `null` when it has none, or there are no anchors.
 */
export type Comparison = Readonly<{ isSame: boolean; shared: Anchor | null }>;

/** What comparing a log needs of it: `EventLog`. */
export type ComparedLog = Readonly<{
  head(): Promise<Position | null>;
  idAt(position: Position): Promise<string | null>;
  recordBefore(position: Position | null): Promise<Anchor | null>;
}>;

/** Former anchors are at least so far apart, in ms. */
const STEP_MS = 10_000;
/** How many of them are kept: `few` are enough to recognise a log, with `many` the last event that two logs share is found to within half of its age. */
const KEPT = { few: 8, many: 48 } as const;
/** Nothing that Parley writes may be removed before it is 48 h old; an hour less, because clocks differ. */
const REMOVED_AFTER_MS = 47 * 60 * 60_000;

export type FormerAnchors = keyof typeof KEPT;

export const anchorOf = ({
  position,
  id,
  recordedAt,
}: Pick<RecordedEvent, 'position' | 'id' | 'recordedAt'>): Anchor => ({
  position,
  id,
  at: recordedAt,
});

export function laterAnchor(a: Anchor | null, b: Anchor | null): Anchor | null {
  if (a === null || b === null) return a ?? b;
  return a.position < b.position ? b : a;
}

/** The former anchors once the last one was replaced by a later one: the first is always kept, and of the others fewer the older they are. */
export function withFormer({ anchor, former }: Anchors, kept: FormerAnchors): readonly Anchor[] {
  if (anchor === null) return former;
  const now = Date.parse(anchor.at);
  const newest = former.at(-1);
  if (newest !== undefined && now - Date.parse(newest.at) < STEP_MS) return former;
  const all = [...former, anchor];
  if (all.length <= KEPT[kept]) return all;
  return all.toSpliced(leastNeeded(all.map(({ at }) => now - Date.parse(at))), 1);
}

/** The place whose gap, without it, is the smallest in proportion to its age; not the first or the last. */
function leastNeeded(ages: readonly number[]): number {
  let [least, smallest] = [1, Number.POSITIVE_INFINITY];
  for (let i = 1; i < ages.length - 1; i++) {
    const [older = 0, newer = 0] = [ages[i - 1], ages[i + 1]];
    const gap = (older - newer) / Math.max(1, older);
    if (gap < smallest) [least, smallest] = [i, gap];
  }
  return least;
}

/**
 * Compares the log with anchors of what was handled before. An event of them that the log does not have was removed by retention, or the log was
 * restored from an older copy; docs/decisions/0023 has the reasoning. Throws what reading the log throws. `nowMs`: the time, as of the clock.
 */
export async function compareWithLog(
  log: ComparedLog,
  { anchor, former }: Anchors,
  nowMs: number,
): Promise<Comparison> {
  if (anchor === null) return { isSame: true, shared: null };
  const id = await idAt(log, anchor.position);
  if (id === anchor.id) return { isSame: true, shared: anchor };
  let isSame = id === null && (await mayBeRemoved(log, anchor, nowMs));
  for (const each of former.toReversed()) {
    const found = await idAt(log, each.position);
    if (found === each.id) return { isSame, shared: each };
    if (found !== null) isSame = false;
  }
  return { isSame, shared: null };
}

async function idAt(log: ComparedLog, position: Position): Promise<string | null> {
  try {
    return await log.idAt(position);
  } catch (error) {
    // A store may reject a position at which it has never had a record.
    if (!isStoreError(error, 'INVALID')) throw error;
    return null;
  }
}

/** Whether a record that is not in the log may have been removed by retention. */
async function mayBeRemoved(log: ComparedLog, anchor: Anchor, nowMs: number): Promise<boolean> {
  if (nowMs - Date.parse(anchor.at) < REMOVED_AFTER_MS) return false;
  if (!hasReached(await log.head(), anchor.position)) return false;
  try {
    // A record before the position that is younger than what was there was written after a restore.
    const before = await log.recordBefore(anchor.position);
    return before === null || before.at <= anchor.at;
  } catch (error) {
    // The log cannot have had a record there.
    if (!isStoreError(error, 'INVALID')) throw error;
    return false;
  }
}
