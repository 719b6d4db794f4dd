import type { Position } from '../../src/kernel/position.ts';
import type {
  EventStore,
  LogSlice,
  ReadAllOptions,
  ReadStreamOptions,
  StoredRecord,
  StreamSlice,
  SubscribeOptions,
  SubscriptionBatch,
} from '../../src/ports/event-store.ts';

/** How long a subscription may take to deliver what a test waits for. */
export const DEADLINE_MS = 30_000;

const DEFAULT_LIMIT = 512;

/** `EventStore.readStream`, by default forwards from the first record, 512 records at most. */
export const readStream = (
  store: EventStore,
  stream: string,
  options: Partial<ReadStreamOptions> = {},
): Promise<StreamSlice> =>
  store.readStream(stream, { from: null, direction: 'forwards', limit: DEFAULT_LIMIT, ...options });

/** `EventStore.readAll`, by default forwards from the start of the log, 512 records at most. */
export const readAll = (store: EventStore, options: Partial<ReadAllOptions> = {}): Promise<LogSlice> =>
  store.readAll({ direction: 'forwards', from: null, limit: DEFAULT_LIMIT, ...options });

/** `EventStore.subscribe`, by default from the start of the log, in batches of 512 at most. */
export const subscribe = (
  store: EventStore,
  options: Partial<SubscribeOptions> = {},
): AsyncIterable<SubscriptionBatch> => store.subscribe({ after: null, batchSize: DEFAULT_LIMIT, ...options });

export type Seen = Readonly<{ batches: SubscriptionBatch[]; records: StoredRecord[] }>;

/** Follows the log until `isEnough`, which is called after each batch, returns true. Throws when that takes longer than `DEADLINE_MS`. */
export async function follow(
  store: EventStore,
  options: Partial<SubscribeOptions>,
  isEnough: (seen: Seen) => boolean,
): Promise<Seen> {
  const seen: Seen = { batches: [], records: [] };
  for await (const batch of subscribe(store, { signal: AbortSignal.timeout(DEADLINE_MS), ...options })) {
    seen.batches.push(batch);
    seen.records.push(...batch.records);
    if (isEnough(seen)) return seen;
  }
  throw new Error(
    `the subscription ended after ${seen.records.length} records, before the condition of the test was met`,
  );
}

/** For `follow`: at least `count` records were delivered. */
export const until =
  (count: number) =>
  (seen: Seen): boolean =>
    seen.records.length >= count;

/** For `follow`: the last batch is marked as caught up. */
export const untilCaughtUp = (seen: Seen): boolean => seen.batches.at(-1)?.caughtUp === true;

const MAX_SLICES = 10_000;

/** The first `count` records from a position in a direction, fewer only at the end. A slice may be empty before the end, where others have written. */
export async function readSome(
  store: EventStore,
  count: number,
  options: Partial<ReadAllOptions> = {},
): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  let from = options.from ?? null;
  for (let slices = 0; slices < MAX_SLICES; slices++) {
    const slice = await readAll(store, { ...options, from, limit: count - records.length });
    records.push(...slice.records);
    if (slice.end || records.length === count) return records;
    from = slice.next;
  }
  throw new Error(`no ${count} records in ${MAX_SLICES} slices`);
}

/** All records of the log after `from`, and the position that the next read would start at. */
export async function readToEnd(
  store: EventStore,
  options: Partial<ReadAllOptions> = {},
): Promise<{ records: StoredRecord[]; next: Position | null }> {
  const records: StoredRecord[] = [];
  let from = options.from ?? null;
  for (let slices = 0; slices < MAX_SLICES; slices++) {
    const slice = await readAll(store, { ...options, from });
    records.push(...slice.records);
    from = slice.next;
    if (slice.end) return { records, next: from };
  }
  throw new Error(`the log did not end after ${MAX_SLICES} slices`);
}
