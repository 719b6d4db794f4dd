import { isStoreError } from '../kernel/errors.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import { hasReached, type Position } from '../kernel/position.ts';
import type { EventLog } from './event-log.ts';

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

/** Former anchors are at least so far apart, in ms. */
const STEP_MS = 10_000;
/**
 * How the gaps between former anchors grow with their age, and how many are kept at most: `few` are enough to recognise a log, with `many` the last
 * event that two logs share is found to within a third of its age.
 */
const KEPT = { few: { ratio: 7 / 8, max: 16 }, many: { ratio: 1 / 4, max: 128 } } as const;
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
  const newest = former.at(-1);
  if (anchor === null) return former;
  if (newest !== undefined && msBetween(newest, anchor) < STEP_MS) return former;
  const { ratio, max } = KEPT[kept];
  const [first, ...rest] = former;
  if (first === undefined) return [anchor];
  const thinned = [anchor];
  let last = anchor;
  for (const each of rest.toReversed()) {
    if (thinned.length >= max - 1 || msBetween(each, last) < ratio * msBetween(each, anchor)) continue;
    thinned.push(each);
    last = each;
  }
  return [first, ...thinned.toReversed()];
}

/**
 * Compares the log with anchors of what was handled before. An event of them that the log does not have was removed by retention, or the log was
 * restored from an older copy; docs/decisions/0023 has the reasoning. Throws what reading the log throws. `nowMs`: the time, as of the clock.
 */
export async function compareWithLog(
  log: Pick<EventLog, 'idAt' | 'recordBefore'>,
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

async function idAt(log: Pick<EventLog, 'idAt'>, position: Position): Promise<string | null> {
  try {
    return await log.idAt(position);
  } catch (error) {
    // A store may reject a position at which it has never had a record.
    if (!isStoreError(error, 'INVALID')) throw error;
    return null;
  }
}

/** Whether a record that is not in the log may have been removed by retention. */
async function mayBeRemoved(log: Pick<EventLog, 'recordBefore'>, anchor: Anchor, nowMs: number): Promise<boolean> {
  if (nowMs - Date.parse(anchor.at) < REMOVED_AFTER_MS) return false;
  const last = await log.recordBefore(null);
  if (!hasReached(last?.position ?? null, anchor.position)) return false;
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

const msBetween = (earlier: Anchor, later: Anchor): number => Date.parse(later.at) - Date.parse(earlier.at);
