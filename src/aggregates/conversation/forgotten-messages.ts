import { fromBase64, type IdKey, type MessageBlock, toBase64 } from './message-block.ts';

/** Spans that keep the filter of their ids: the newest ones. */
const FILTERS_MAX = 64;
/** Spans at most; then the smallest neighbours are joined. */
const SPANS_MAX = 2_048;
/** How far the time in an id may be from the time at which the message was sent, in ms, without being odd. */
const ODD_MS = 10 * 60_000;
/** Bytes that all odd ids together take at most; then the oldest are dropped. */
const ODD_BYTES_MAX = 1_048_576;
/** Odd ids of one block that are listed, 8 bytes each; of more there is a filter. */
const LISTED_MAX = 127;
/** Bits and probes of a filter. Of 512 ids it has, it reports one in 1,700 others as contained. */
const FILTER_BITS = 8_192;
const PROBES = 8;
/** What a span takes beside its arrays, in bytes: measured. */
const SPAN_BYTES = 250;

/** Times in ids, ms since the epoch, inclusive. Without an id, `maxMs` is below `minMs`. */
type Times = Readonly<{ minMs: number; maxMs: number }>;

/** The ids whose times are far from those of their messages. `ids`: the last two words of each, or a filter; `null` when they were dropped. */
type OddIds = Times & Readonly<{ ids: Int32Array | null; isFilter: boolean }>;

/**
 * What is remembered of consecutive messages once they are no longer known one by one: enough to exclude nearly every id that none of them has. It
 * rests on the ids that were used, and on no clock. Ids without a time (not UUIDv7) are left out: the server makes them, and claims protect them.
 */
export type ForgottenSpan = Times &
  Readonly<{
    /** Sequence number of the first message. */
    first: number;
    count: number;
    /** Bloom filter of the ids that are not odd: one that it does not contain belongs to none of the messages. `null` once it was dropped. */
    filter: Int32Array | null;
    /** Apart from the others: a single one would make the range of times useless. */
    odd: OddIds;
  }>;

/** Messages before the known ones. */
export type ForgottenMessages = Readonly<{
  /** In the order of their messages, without a gap. */
  spans: readonly ForgottenSpan[];
  /** The times of all ids that are not odd, and of all that are. */
  times: Times;
  oddTimes: Times;
  bytes: number;
}>;

const NO_TIMES: Times = { minMs: 0, maxMs: -1 };
const NONE_ODD: OddIds = { ...NO_TIMES, ids: new Int32Array(0), isFilter: false };

export const noneForgotten: ForgottenMessages = { spans: [], times: NO_TIMES, oddTimes: NO_TIMES, bytes: 0 };

/** Sequence numbers, inclusive. */
export type SeqRange = Readonly<{ first: number; last: number }>;

/** Adds the messages that follow those forgotten so far. */
export function forget({ spans }: ForgottenMessages, span: ForgottenSpan): ForgottenMessages {
  const next = [...spans, span];
  const aging = next.length - 1 - FILTERS_MAX;
  const aged = next[aging];
  if (aged !== undefined) next[aging] = { ...aged, filter: null };
  if (oddBytesOf(next) > ODD_BYTES_MAX) {
    const oldest = next.findIndex(({ odd }) => (odd.ids?.length ?? 0) > 0);
    const { odd } = next[oldest] ?? span;
    next[oldest] = { ...(next[oldest] ?? span), odd: { ...odd, ids: null, isFilter: false } };
  }
  return of(next.length > SPANS_MAX ? joined(next) : next);
}

/** What is left of a full block. */
export function spanOf(block: MessageBlock): ForgottenSpan {
  const filter = new Int32Array(FILTER_BITS / 32);
  const oddKeys: IdKey[] = [];
  let [times, oddTimes] = [NO_TIMES, NO_TIMES];
  for (let index = 0; index < block.count; index++) {
    const key = block.keyAt(index);
    const madeMs = timeOf(key);
    if (madeMs === null) continue;
    const at = { minMs: madeMs, maxMs: madeMs };
    if (Math.abs(madeMs - block.sentMs(index)) > ODD_MS) {
      oddTimes = union(oddTimes, at);
      oddKeys.push(key);
    } else {
      times = union(times, at);
      enter(filter, key);
    }
  }
  return { first: block.first, count: block.count, ...times, filter, odd: { ...oddTimes, ...oddIds(oddKeys) } };
}

/** Messages of which nothing is remembered but that there are some. */
export function unknownSpan(first: number, count: number): ForgottenSpan {
  return { first, count, minMs: 0, maxMs: Number.MAX_SAFE_INTEGER, filter: null, odd: NONE_ODD };
}

/** Where a message with this id may be, among those with a sequence number above `after`; nearly always nowhere. */
export function whereForgotten(
  { spans, times, oddTimes }: ForgottenMessages,
  key: IdKey,
  madeMs: number,
  after: number,
): readonly SeqRange[] {
  if (!includes(times, madeMs) && !includes(oddTimes, madeMs)) return [];
  const ranges: SeqRange[] = [];
  for (const span of spans) {
    const last = span.first + span.count - 1;
    if (last > after && mayHave(span, key, madeMs)) ranges.push({ first: Math.max(span.first, after + 1), last });
  }
  return ranges;
}

function mayHave(span: ForgottenSpan, key: IdKey, madeMs: number): boolean {
  if (includes(span, madeMs) && (span.filter === null || contains(span.filter, key))) return true;
  const { odd } = span;
  if (!includes(odd, madeMs)) return false;
  if (odd.ids === null) return true;
  return odd.isFilter ? contains(odd.ids, key) : lists(odd.ids, key);
}

/** The time in an id of version 7 (RFC 9562, section 5.7), ms since the epoch; `null` for other versions. */
export function timeOf({ a, b }: IdKey): number | null {
  return ((b >>> 12) & 0xf) === 7 ? (a >>> 0) * 0x1_0000 + (b >>> 16) : null;
}

type FrozenOdd = readonly [minMs: number, maxMs: number, ids: string | null, isFilter: boolean];
export type FrozenSpan = readonly [
  first: number,
  count: number,
  minMs: number,
  maxMs: number,
  filter: string | null,
  odd: FrozenOdd | null,
];

export function freezeForgotten({ spans }: ForgottenMessages): readonly FrozenSpan[] {
  return spans.map(({ first, count, minMs, maxMs, filter, odd }): FrozenSpan => {
    const frozen: FrozenOdd | null =
      odd.maxMs < odd.minMs ? null : [odd.minMs, odd.maxMs, freezeWords(odd.ids), odd.isFilter];
    return [first, count, minMs, maxMs, freezeWords(filter), frozen];
  });
}

export function thawForgotten(frozen: readonly FrozenSpan[]): ForgottenMessages {
  return of(
    frozen.map(([first, count, minMs, maxMs, filter, odd]): ForgottenSpan => {
      const thawed =
        odd === null ? NONE_ODD : { minMs: odd[0], maxMs: odd[1], ids: thawWords(odd[2]), isFilter: odd[3] };
      return { first, count, minMs, maxMs, filter: thawWords(filter), odd: thawed };
    }),
  );
}

const freezeWords = (words: Int32Array | null): string | null => (words === null ? null : toBase64(words));
const thawWords = (text: string | null): Int32Array | null => (text === null ? null : fromBase64(text));

function of(spans: readonly ForgottenSpan[]): ForgottenMessages {
  let [times, oddTimes, bytes] = [NO_TIMES, NO_TIMES, 0];
  for (const span of spans) {
    times = union(times, span);
    oddTimes = union(oddTimes, span.odd);
    bytes += SPAN_BYTES + (span.filter?.byteLength ?? 0) + (span.odd.ids?.byteLength ?? 0);
  }
  return { spans, times, oddTimes, bytes };
}

const includes = ({ minMs, maxMs }: Times, ms: number): boolean => minMs <= ms && ms <= maxMs;

function union(a: Times, b: Times): Times {
  if (b.maxMs < b.minMs) return { minMs: a.minMs, maxMs: a.maxMs };
  if (a.maxMs < a.minMs) return { minMs: b.minMs, maxMs: b.maxMs };
  return { minMs: Math.min(a.minMs, b.minMs), maxMs: Math.max(a.maxMs, b.maxMs) };
}

const oddBytesOf = (spans: readonly ForgottenSpan[]): number =>
  spans.reduce((sum, { odd }) => sum + (odd.ids?.byteLength ?? 0), 0);

function oddIds(keys: readonly IdKey[]): Pick<OddIds, 'ids' | 'isFilter'> {
  if (keys.length === 0) return { ids: NONE_ODD.ids, isFilter: false };
  if (keys.length <= LISTED_MAX) return { ids: Int32Array.from(keys.flatMap(({ c, d }) => [c, d])), isFilter: false };
  const ids = new Int32Array(FILTER_BITS / 32);
  for (const key of keys) enter(ids, key);
  return { ids, isFilter: true };
}

function lists(ids: Int32Array, { c, d }: IdKey): boolean {
  for (let i = 0; i < ids.length; i += 2) if (ids[i] === c && ids[i + 1] === d) return true;
  return false;
}

/** The smallest two neighbours without filters made one span, so that all stay about equally large. */
function joined(spans: readonly ForgottenSpan[]): readonly ForgottenSpan[] {
  let [at, least] = [-1, Number.POSITIVE_INFINITY];
  for (const [i, span] of spans.entries()) {
    const next = spans[i + 1];
    if (next === undefined || !isJoinable(span) || !isJoinable(next) || span.count + next.count >= least) continue;
    [at, least] = [i, span.count + next.count];
  }
  const [span, next] = [spans[at], spans[at + 1]];
  return span === undefined || next === undefined ? spans : spans.toSpliced(at, 2, join(span, next));
}

const isJoinable = ({ filter, odd }: ForgottenSpan): boolean => filter === null && !odd.isFilter;

function join(a: ForgottenSpan, b: ForgottenSpan): ForgottenSpan {
  const ids = a.odd.ids === null || b.odd.ids === null ? null : Int32Array.from([...a.odd.ids, ...b.odd.ids]);
  const odd = { ...union(a.odd, b.odd), ids, isFilter: false };
  return { first: a.first, count: a.count + b.count, ...union(a, b), filter: null, odd };
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

/** Odd, so that all probes differ. From other bits of the id than its hash mostly depends on: two ids rarely share both. */
const stepOf = ({ a, b, c, d }: IdKey): number =>
  ((Math.imul(d ^ (c << 7), 0x9e3779b1) ^ a ^ Math.imul(b, 5)) >>> 13) | 1;
