import { fromBase64, type IdKey, type MessageBlock, toBase64 } from './message-block.ts';

/** Spans that keep their filter: the newest ones, and of the others those with a wide range of times in their ids. */
const FILTERS_MAX = { newest: 64, wide: 512 };
/** Spans at most; then the smallest neighbours are joined. */
const SPANS_MAX = 2_048;
/** How far the time in an id may be from the time at which the message was sent, in ms, for the range of the span not to be called wide. */
const NARROW_MS = 10 * 60_000;
/** Bits and probes of a filter. Of 512 ids it has, it reports one in 1,700 others as contained. */
const FILTER_BITS = 8_192;
const PROBES = 8;
/** What a span takes beside its filter, in bytes: measured. */
const SPAN_BYTES = 130;

/**
 * What is remembered of consecutive messages once they are no longer known one by one: enough to exclude nearly every id that none of them has. It
 * rests on the ids that were used, and on no clock. Ids without a time (not UUIDv7) are left out: the server makes them, and claims protect them.
 */
export type ForgottenSpan = Readonly<{
  /** Sequence number of the first message. */
  first: number;
  count: number;
  /** The lowest and the highest time in their ids, ms since the epoch. The highest is below the lowest when no id has a time. */
  minMs: number;
  maxMs: number;
  /** Whether some ids have a time far from that of their message. Such a span cannot exclude many ids by its range. */
  isWide: boolean;
  /** Bloom filter of the ids: one that it does not contain belongs to none of the messages. `null` once it was dropped. */
  filter: Int32Array | null;
}>;

/** Messages before the known ones. */
export type ForgottenMessages = Readonly<{
  /** In the order of their messages, without a gap. */
  spans: readonly ForgottenSpan[];
  /** The highest time in any id, ms since the epoch; -1 when there is none. */
  latestMs: number;
  /** How many spans have a filter. */
  filters: number;
}>;

export const noneForgotten: ForgottenMessages = { spans: [], latestMs: -1, filters: 0 };

/** Sequence numbers, inclusive. */
export type SeqRange = Readonly<{ first: number; last: number }>;

/** Adds the messages that follow those forgotten so far. */
export function forget({ spans }: ForgottenMessages, span: ForgottenSpan): ForgottenMessages {
  const next = [...spans, span];
  const aging = next.length - 1 - FILTERS_MAX.newest;
  const aged = next[aging];
  if (aged !== undefined && !aged.isWide) next[aging] = withoutFilter(aged);
  const older = next.slice(0, Math.max(0, aging + 1));
  if (filtersOf(older) > FILTERS_MAX.wide) {
    const oldest = older.findIndex(({ filter }) => filter !== null);
    next[oldest] = withoutFilter(next[oldest] ?? span);
  }
  return of(next.length > SPANS_MAX ? joined(next) : next);
}

/** What is left of a full block. */
export function spanOf(block: MessageBlock): ForgottenSpan {
  const filter = new Int32Array(FILTER_BITS / 32);
  let [minMs, maxMs, isWide] = [0, -1, false];
  for (let index = 0; index < block.count; index++) {
    const key = block.keyAt(index);
    const madeMs = timeOf(key);
    if (madeMs === null) continue;
    minMs = maxMs === -1 ? madeMs : Math.min(minMs, madeMs);
    maxMs = Math.max(maxMs, madeMs);
    if (Math.abs(madeMs - block.sentMs(index)) > NARROW_MS) isWide = true;
    enter(filter, key);
  }
  return { first: block.first, count: block.count, minMs, maxMs, isWide, filter };
}

/** Messages of which nothing is remembered but that there are some. */
export function unknownSpan(first: number, count: number): ForgottenSpan {
  return { first, count, minMs: 0, maxMs: Number.MAX_SAFE_INTEGER, isWide: true, filter: null };
}

/** Where a message with this id may be, among those with a sequence number above `after`; nearly always nowhere. */
export function whereForgotten(
  { spans, latestMs }: ForgottenMessages,
  key: IdKey,
  madeMs: number,
  after: number,
): readonly SeqRange[] {
  if (madeMs > latestMs) return [];
  const ranges: SeqRange[] = [];
  for (const { first, count, minMs, maxMs, filter } of spans) {
    const last = first + count - 1;
    if (madeMs < minMs || madeMs > maxMs || last <= after) continue;
    if (filter === null || contains(filter, key)) ranges.push({ first: Math.max(first, after + 1), last });
  }
  return ranges;
}

/** The time in an id of version 7 (RFC 9562, section 5.7), ms since the epoch; `null` for other versions. */
export function timeOf({ a, b }: IdKey): number | null {
  return ((b >>> 12) & 0xf) === 7 ? (a >>> 0) * 0x1_0000 + (b >>> 16) : null;
}

/** The memory that they take, in bytes. */
export function bytesOfForgotten({ spans, filters }: ForgottenMessages): number {
  return spans.length * SPAN_BYTES + filters * (FILTER_BITS / 8);
}

export type FrozenSpan = readonly [
  first: number,
  count: number,
  minMs: number,
  maxMs: number,
  isWide: boolean,
  filter: string | null,
];

export function freezeForgotten({ spans }: ForgottenMessages): readonly FrozenSpan[] {
  return spans.map(({ first, count, minMs, maxMs, isWide, filter }): FrozenSpan => {
    return [first, count, minMs, maxMs, isWide, filter === null ? null : toBase64(filter)];
  });
}

export function thawForgotten(frozen: readonly FrozenSpan[]): ForgottenMessages {
  const spans = frozen.map(([first, count, minMs, maxMs, isWide, filter]): ForgottenSpan => {
    return { first, count, minMs, maxMs, isWide, filter: filter === null ? null : fromBase64(filter) };
  });
  return of(spans);
}

function of(spans: readonly ForgottenSpan[]): ForgottenMessages {
  return { spans, latestMs: Math.max(-1, ...spans.map(({ maxMs }) => maxMs)), filters: filtersOf(spans) };
}

const filtersOf = (spans: readonly ForgottenSpan[]): number =>
  spans.reduce((count, { filter }) => count + (filter === null ? 0 : 1), 0);

const withoutFilter = (span: ForgottenSpan): ForgottenSpan => (span.filter === null ? span : { ...span, filter: null });

/** The smallest two neighbours without filters made one span, so that all stay about equally large. */
function joined(spans: readonly ForgottenSpan[]): readonly ForgottenSpan[] {
  let [at, least] = [-1, Number.POSITIVE_INFINITY];
  for (const [i, { count, filter }] of spans.entries()) {
    const next = spans[i + 1];
    if (filter !== null || next === undefined || next.filter !== null || count + next.count >= least) continue;
    [at, least] = [i, count + next.count];
  }
  const [span, next] = [spans[at], spans[at + 1]];
  return span === undefined || next === undefined ? spans : spans.toSpliced(at, 2, join(span, next));
}

function join(a: ForgottenSpan, b: ForgottenSpan): ForgottenSpan {
  const range =
    a.maxMs === -1 || b.maxMs === -1
      ? { minMs: a.maxMs === -1 ? b.minMs : a.minMs, maxMs: Math.max(a.maxMs, b.maxMs) }
      : { minMs: Math.min(a.minMs, b.minMs), maxMs: Math.max(a.maxMs, b.maxMs) };
  return { first: a.first, count: a.count + b.count, ...range, isWide: a.isWide || b.isWide, filter: null };
}

function enter(filter: Int32Array, key: IdKey): void {
  const step = stepOf(key);
  for (let probe = 0, bit = key.hash; probe < PROBES; probe++, bit += step) {
    const at = (bit & (FILTER_BITS - 1)) >>> 5;
    filter[at] = (filter[at] ?? 0) | (1 << (bit & 31));
  }
}

function contains(filter: Int32Array, key: IdKey): boolean {
  const step = stepOf(key);
  for (let probe = 0, bit = key.hash; probe < PROBES; probe++, bit += step) {
    if (((filter[(bit & (FILTER_BITS - 1)) >>> 5] ?? 0) & (1 << (bit & 31))) === 0) return false;
  }
  return true;
}

/** Odd, so that all probes differ. Of other bits of the id than its hash is mostly made of: two ids rarely share both. */
const stepOf = ({ a, b, c, d }: IdKey): number =>
  ((Math.imul(d ^ (c << 7), 0x9e3779b1) ^ a ^ Math.imul(b, 5)) >>> 13) | 1;
