import { isStoreError, StoreError } from '../../kernel/errors.ts';
import { categoryOf } from '../../kernel/event.ts';
import type { EventFilter, StoredRecord, SubscriptionBatch } from '../../ports/event-store.ts';
import type { LogRange } from './event-store-reader.ts';
import { toPosition } from './event-store-rows.ts';
import type { FreshRecord } from './event-store-writer.ts';

/**
 * Bytes of JSON, and batches, that are buffered for one subscriber; above that it reads them from the log again. So many batches that a projection
 * which collects events for half a second is served from memory also at the highest rate of appends.
 */
const BUFFER_BYTES = 8_388_608;
const BUFFER_BATCHES = 16;

export type SubscriptionSettings = Readonly<{
  after: number;
  filter: EventFilter | undefined;
  batchSize: number;
  signal: AbortSignal | undefined;
  /** The records after a place, see `RecordReader.forwards`. */
  read(after: number, limit: number, filter: EventFilter | undefined): LogRange;
  /** Called once when it has ended. */
  onEnd(subscription: Subscription): void;
}>;

type Waiter = Readonly<{ resolve(result: IteratorResult<SubscriptionBatch>): void; reject(error: StoreError): void }>;

const END = { done: true, value: undefined } as const;

/**
 * One run through the log: reads pages from the disk up to the end of the log, and from that moment on takes committed records from memory. Reading
 * and writing share one thread, so no record can be missed in between. A lagging consumer is served from pages again.
 */
export class Subscription implements AsyncIterator<SubscriptionBatch> {
  readonly #settings: SubscriptionSettings;
  readonly #matches: (record: StoredRecord) => boolean;
  readonly #onAbort = () => this.#end(null);
  /** Everything up to here was delivered or filtered out. */
  #place: number;
  /** Whether committed records go to the buffer. */
  #live = false;
  #buffer: FreshRecord[] = [];
  #bufferBytes = 0;
  /** Everything up to here was delivered, filtered out, or is in the buffer. */
  #bufferedTo = 0;
  /** Scheduled read of a page. */
  #reading: NodeJS.Immediate | null = null;
  #waiter: Waiter | null = null;
  #ended: { error: StoreError | null } | null = null;

  constructor(settings: SubscriptionSettings) {
    this.#settings = settings;
    this.#place = settings.after;
    this.#matches = predicate(settings.filter);
    settings.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Whether it takes committed records. */
  get isLive(): boolean {
    return this.#live;
  }

  next(): Promise<IteratorResult<SubscriptionBatch>> {
    return new Promise((resolve, reject) => {
      if (this.#waiter !== null) {
        return reject(new StoreError('INVALID', 'the previous call of next() is still pending'));
      }
      this.#waiter = { resolve, reject };
      // A signal that was aborted beforehand emits no event.
      if (this.#settings.signal?.aborted) this.#end(null);
      this.#serve();
    });
  }

  return(): Promise<IteratorResult<SubscriptionBatch>> {
    this.#end(null);
    return Promise.resolve(END);
  }

  /** Takes the records that were just committed, in order, up to `place`. */
  publish(records: readonly FreshRecord[], place: number): void {
    if (!this.#live) return;
    const added = records.filter((fresh) => fresh.place > this.#place && this.#matches(fresh.record));
    const bytes = added.reduce((sum, fresh) => sum + fresh.bytes, this.#bufferBytes);
    if (this.#buffer.length + added.length > BUFFER_BATCHES * this.#settings.batchSize || bytes > BUFFER_BYTES) {
      this.#live = false;
    } else {
      this.#buffer.push(...added);
      this.#bufferBytes = bytes;
      this.#bufferedTo = place;
    }
    this.#serve();
  }

  /** Ends it with `CLOSED`. */
  close(): void {
    this.#end(new StoreError('CLOSED', 'the event store was closed'));
  }

  /** Settles the pending call of `next`, if there is a batch or an end. */
  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    if (this.#ended !== null) this.#settleEnd(waiter, this.#ended.error);
    else if (this.#bufferedTo > this.#place) this.#settle(waiter, this.#takeBuffered());
    // In another turn of the event loop, so that a long catch-up does not block other work.
    else if (!this.#live) this.#reading ??= setImmediate(() => this.#readPage());
  }

  #settle(waiter: Waiter, batch: SubscriptionBatch): void {
    this.#waiter = null;
    waiter.resolve({ done: false, value: batch });
  }

  #settleEnd(waiter: Waiter, error: StoreError | null): void {
    this.#waiter = null;
    if (error === null) waiter.resolve(END);
    else waiter.reject(error);
  }

  #takeBuffered(): SubscriptionBatch {
    const { batchSize } = this.#settings;
    const taken = this.#buffer.splice(0, batchSize);
    this.#place = this.#buffer.length > 0 ? (taken.at(-1)?.place ?? this.#place) : this.#bufferedTo;
    this.#bufferBytes -= taken.reduce((sum, fresh) => sum + fresh.bytes, 0);
    return this.#batch(
      taken.map((fresh) => fresh.record),
      this.#live && this.#buffer.length === 0,
    );
  }

  #readPage(): void {
    this.#reading = null;
    const { read, batchSize, filter } = this.#settings;
    try {
      const { records, next, end } = read(this.#place, batchSize, filter);
      this.#place = next;
      this.#live = end;
      if (this.#waiter !== null) this.#settle(this.#waiter, this.#batch(records, end));
    } catch (error) {
      this.#end(
        isStoreError(error)
          ? error
          : new StoreError('UNAVAILABLE', `cannot read the event store: ${String(error)}`, { cause: error }),
      );
    }
  }

  #batch(records: readonly StoredRecord[], caughtUp: boolean): SubscriptionBatch {
    return { records, position: this.#place === 0 ? null : toPosition(this.#place), caughtUp };
  }

  #end(error: StoreError | null): void {
    if (this.#ended !== null) return;
    this.#ended = { error };
    this.#live = false;
    this.#buffer = [];
    if (this.#reading !== null) clearImmediate(this.#reading);
    this.#settings.signal?.removeEventListener('abort', this.#onAbort);
    this.#settings.onEnd(this);
    this.#serve();
  }
}

function predicate(filter: EventFilter | undefined): (record: StoredRecord) => boolean {
  if (filter === undefined) return () => true;
  if ('types' in filter) {
    const types = new Set(filter.types);
    return (record) => types.has(record.type);
  }
  const categories = new Set(filter.categories);
  return (record) => categories.has(categoryOf(record.stream));
}
