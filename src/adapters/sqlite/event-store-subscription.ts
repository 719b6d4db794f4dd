import { isStoreError, StoreError } from '../../kernel/errors.ts';
import { categoryOf, type RecordedEvent } from '../../kernel/event.ts';
import type { EventFilter, SubscriptionBatch } from '../../ports/event-store.ts';
import type { LogPart } from './event-store-reader.ts';
import { toPosition } from './event-store-rows.ts';
import type { FreshEvent } from './event-store-writer.ts';

/** Bytes of JSON that wait in memory for one subscriber; beyond it, or two batches, it reads them from the log again. */
const BUFFER_BYTES = 8_388_608;

/** Settings of a subscription, checked. */
export type SubscriptionSettings = Readonly<{
  after: number;
  filter: EventFilter | undefined;
  batchSize: number;
  signal: AbortSignal | undefined;
  /** The events behind a place, see `EventReader.forwards`. */
  read(after: number, limit: number, filter: EventFilter | undefined): LogPart;
  /** Called when it has ended, for whatever reason. */
  onEnd(subscription: Subscription): void;
}>;

type Waiter = Readonly<{ resolve(result: IteratorResult<SubscriptionBatch>): void; reject(error: StoreError): void }>;

const END = { done: true, value: undefined } as const;

/**
 * One run through the log: pages from the disk until there is nothing behind them, and from that very moment on what is committed, straight
 * from memory. Reading and writing share one thread, so nothing can come in between. A consumer that falls behind goes back to pages.
 */
export class Subscription implements AsyncIterator<SubscriptionBatch> {
  readonly #settings: SubscriptionSettings;
  readonly #fits: (event: RecordedEvent) => boolean;
  readonly #onAbort = () => this.#end(null);
  /** Everything up to here was delivered or left out. */
  #place: number;
  /** Live: what is committed goes to the buffer. */
  #live = false;
  #buffer: FreshEvent[] = [];
  #bufferBytes = 0;
  /** Everything up to here was delivered, left out, or is in the buffer. */
  #bufferedTo = 0;
  /** The page that is about to be read. */
  #reading: NodeJS.Immediate | null = null;
  #waiter: Waiter | null = null;
  #ended: { error: StoreError | null } | null = null;

  constructor(settings: SubscriptionSettings) {
    this.#settings = settings;
    this.#place = settings.after;
    this.#fits = predicate(settings.filter);
    settings.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Whether it takes what is committed. */
  get isLive(): boolean {
    return this.#live;
  }

  next(): Promise<IteratorResult<SubscriptionBatch>> {
    return new Promise((resolve, reject) => {
      if (this.#waiter !== null)
        return reject(new StoreError('INVALID', 'a subscription gives one batch after the other'));
      this.#waiter = { resolve, reject };
      // A signal that was aborted beforehand does not tell.
      if (this.#settings.signal?.aborted) this.#end(null);
      this.#serve();
    });
  }

  return(): Promise<IteratorResult<SubscriptionBatch>> {
    this.#end(null);
    return Promise.resolve(END);
  }

  /** Hands over what was just committed, in order, up to `place`. */
  publish(events: readonly FreshEvent[], place: number): void {
    if (!this.#live) return;
    const news = events.filter((fresh) => fresh.place > this.#place && this.#fits(fresh.event));
    const bytes = news.reduce((sum, fresh) => sum + fresh.bytes, this.#bufferBytes);
    if (this.#buffer.length + news.length > 2 * this.#settings.batchSize || bytes > BUFFER_BYTES) {
      this.#live = false;
    } else {
      this.#buffer.push(...news);
      this.#bufferBytes = bytes;
      this.#bufferedTo = place;
    }
    this.#serve();
  }

  /** Ends it because the store is closed. */
  close(): void {
    this.#end(new StoreError('CLOSED', 'the event log was closed'));
  }

  /** Answers who waits, if there is something to answer with. */
  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    if (this.#ended !== null) this.#answerEnd(waiter, this.#ended.error);
    else if (this.#bufferedTo > this.#place) this.#answer(waiter, this.#takeBuffered());
    // Through the event loop, so that a long way through the past leaves room for others.
    else if (!this.#live) this.#reading ??= setImmediate(() => this.#readPage());
  }

  #answer(waiter: Waiter, batch: SubscriptionBatch): void {
    this.#waiter = null;
    waiter.resolve({ done: false, value: batch });
  }

  #answerEnd(waiter: Waiter, error: StoreError | null): void {
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
      taken.map((fresh) => fresh.event),
      this.#live && this.#buffer.length === 0,
    );
  }

  #readPage(): void {
    this.#reading = null;
    const { read, batchSize, filter } = this.#settings;
    try {
      const { events, next, end } = read(this.#place, batchSize, filter);
      this.#place = next;
      this.#live = end;
      if (this.#waiter !== null) this.#answer(this.#waiter, this.#batch(events, end));
    } catch (error) {
      this.#end(
        isStoreError(error)
          ? error
          : new StoreError('UNAVAILABLE', `cannot read the event log: ${String(error)}`, { cause: error }),
      );
    }
  }

  #batch(events: readonly RecordedEvent[], caughtUp: boolean): SubscriptionBatch {
    return { events, position: this.#place === 0 ? null : toPosition(this.#place), caughtUp };
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

function predicate(filter: EventFilter | undefined): (event: RecordedEvent) => boolean {
  if (filter === undefined) return () => true;
  if ('types' in filter) {
    const types = new Set(filter.types);
    return (event) => types.has(event.type);
  }
  const categories = new Set(filter.categories);
  return (event) => categories.has(categoryOf(event.stream));
}
