/**
 * The place of an event in the whole log: an opaque, non-empty string of printable ASCII without spaces.
 * Positions of one log compare as strings in the order of the log. Only the adapter that created one may interpret it.
 */
export type Position = string;

/** The later of two positions; `null` means before the first event. */
export function laterPosition(a: Position | null, b: Position | null): Position | null {
  if (a === null) return b;
  if (b === null) return a;
  return a < b ? b : a;
}

/** Whether `reached` is at or after `wanted`. */
export function hasReached(reached: Position | null, wanted: Position): boolean {
  return reached !== null && reached >= wanted;
}
