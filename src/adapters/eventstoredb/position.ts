import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';

/**
 * A place in the server's `$all`: two byte offsets, as decimal digits. They are not counters: nothing may be added to them, and two places may
 * differ in the second part alone (the checkpoint of a page without matching records is the start of the page, with 0 as its second part).
 */
export type Place = Readonly<{ commit: string; prepare: string }>;

/** Digits of the largest 64-bit number. */
const DIGITS = 20;
const PATTERN = /^(\d{20})-(\d{20})$/;
/** The largest signed 64-bit number, which the server's offsets are, padded. */
const LAST = '09223372036854775807';
/** What the server sends for an unknown position. */
const UNKNOWN = '18446744073709551615';

/** A place as a position: both parts padded to the same length, so that strings compare as places do. `null` when the server does not know it. */
export function toPosition(commit: string, prepare: string): Position | null {
  if (commit === UNKNOWN || prepare === UNKNOWN) return null;
  return `${commit.padStart(DIGITS, '0')}-${prepare.padStart(DIGITS, '0')}`;
}

/** Whether a text is spelled like a position of an EventStoreDB: two signed 64-bit numbers, neither of them negative. */
export function isPosition(text: string): boolean {
  const [, ...parts] = PATTERN.exec(text) ?? [];
  return parts.length === 2 && parts.every((part) => part <= LAST);
}

/** The place of a position. Throws `INVALID` for a position that is not from an EventStoreDB. */
export function toPlace(position: Position): Place {
  const [, commit, prepare] = PATTERN.exec(position) ?? [];
  if (commit === undefined || prepare === undefined || !isPosition(position)) {
    throw new StoreError('INVALID', `'${position}' is not a position of this event store`);
  }
  return { commit: String(BigInt(commit)), prepare: String(BigInt(prepare)) };
}
