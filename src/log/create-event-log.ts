import { isStoreError } from '../kernel/errors.ts';
import type { NewEvent, RecordedEvent } from '../kernel/event.ts';
import type { EventRegistry } from '../kernel/event-definition.ts';
import type { EventFilter, EventStore } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';
import { anchorOf } from './anchor.ts';
import {
  checkExpectedRevision,
  checkFilter,
  checkLimit,
  checkPosition,
  checkRetention,
  checkRevision,
  checkStreamName,
} from './checks.ts';
import { Codec, EncodedEvents } from './codec.ts';
import type { EventBatch, EventLog, Subscribe } from './event-log.ts';
import type { PersonalKeys } from './personal-keys.ts';

/** Times that `encode` reads keys again which left the cache meanwhile. */
const ENCODE_ATTEMPTS = 3;

/** Makes the event log over a store. Closing it closes the store; the keys stay open. */
export function createEventLog(deps: {
  store: EventStore;
  registry: EventRegistry;
  keys: PersonalKeys;
  random: Random;
}): EventLog {
  const { store } = deps;
  const codec = new Codec(deps);
  const restoreListeners: (() => void)[] = [];

  async function encode(events: readonly NewEvent[]): Promise<EncodedEvents> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await codec.encode(events);
      } catch (error) {
        // More persons than the cache holds may be writing at once.
        if (attempt === ENCODE_ATTEMPTS || !isStoreError(error, 'UNAVAILABLE') || error.cause !== undefined)
          throw error;
      }
    }
  }

  return {
    encode,
    admit: (events) => codec.admit(events),
    async append(stream, events, { expect }) {
      checkStreamName(stream);
      checkExpectedRevision(expect);
      const { records } = events instanceof EncodedEvents ? events : await encode(events);
      return store.append(stream, records, { expect });
    },
    async readStream(stream, { from, direction = 'forwards', limit, personal = 'open' } = {}) {
      checkStreamName(stream);
      const slice = await store.readStream(stream, { from: checkRevision(from), direction, limit: checkLimit(limit) });
      return { events: await codec.decode(slice.records, personal), end: slice.end };
    },
    async readAll({ direction, from, limit, filter }) {
      checkPosition(from);
      checkFilter(filter);
      const slice = await store.readAll({ direction, from, limit: checkLimit(limit), filter });
      return { events: await codec.decode(slice.records), next: slice.next, end: slice.end };
    },
    subscribe: (options) => ({ [Symbol.asyncIterator]: () => new DecodedSubscription(store, codec, options) }),
    erasingTypes: codec.erasingTypes,
    onErased: (listener) => codec.onErased(listener),
    async recordBefore(position) {
      checkPosition(position);
      const [record] = (await store.readAll({ direction: 'backwards', from: position, limit: 1 })).records;
      return record === undefined ? null : anchorOf(record);
    },
    onRestored: (listener) => void restoreListeners.push(listener),
    restored() {
      for (const listener of restoreListeners) listener();
    },
    async setRetention(stream, retention) {
      checkStreamName(stream);
      checkRetention(retention);
      return store.setRetention(stream, retention);
    },
    isPosition: (text) => store.isPosition(text),
    head: () => store.head(),
    async idAt(position) {
      checkPosition(position);
      return store.idAt(position);
    },
    async countAfter(position) {
      checkPosition(position);
      return store.countAfter(position);
    },
    epoch: () => store.epoch(),
    close: () => store.close(),
  };
}

/** A subscription of the store, decoded batch by batch. Erasures are always among what it asks for, so that no node keeps an erased key in memory. */
class DecodedSubscription implements AsyncIterator<EventBatch> {
  readonly #codec: Codec;
  readonly #batches: ReturnType<ReturnType<EventStore['subscribe']>[typeof Symbol.asyncIterator]>;
  readonly #isWanted: ((event: RecordedEvent) => boolean) | null;

  constructor(store: EventStore, codec: Codec, { after, filter, batchSize, signal, reconnected }: Subscribe) {
    checkPosition(after);
    checkFilter(filter);
    const wanted = widened(filter, codec.erasingTypes);
    this.#codec = codec;
    this.#isWanted = wanted.isWanted;
    const options = { after, filter: wanted.filter, batchSize: checkLimit(batchSize), signal, reconnected };
    this.#batches = store.subscribe(options)[Symbol.asyncIterator]();
  }

  async next(): Promise<IteratorResult<EventBatch>> {
    const { done, value } = await this.#batches.next();
    if (done === true) return { done, value: undefined };
    const { records, position, caughtUp } = value;
    try {
      const events = await this.#codec.decode(records);
      return { done: false, value: { events: this.#wanted(events), position, caughtUp } };
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<EventBatch>> {
    await this.#batches.return?.();
    return { done: true, value: undefined };
  }

  #wanted(events: readonly RecordedEvent[]): readonly RecordedEvent[] {
    return this.#isWanted === null ? events : events.filter(this.#isWanted);
  }
}

/** A filter of types that lets erasures through too, and what is then left out again. A filter of categories is taken as it is. */
function widened(
  filter: EventFilter | undefined,
  erasing: ReadonlySet<string>,
): { filter: EventFilter | undefined; isWanted: ((event: RecordedEvent) => boolean) | null } {
  if (filter === undefined || !('types' in filter)) return { filter, isWanted: null };
  const types = new Set(filter.types);
  const added = [...erasing].filter((type) => !types.has(type));
  if (added.length === 0) return { filter, isWanted: null };
  return { filter: { types: [...types, ...added] }, isWanted: (event) => types.has(event.type) };
}
