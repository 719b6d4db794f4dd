import { StoreError } from '../../src/kernel/errors.ts';
import type { EventStore } from '../../src/ports/event-store.ts';

/** What goes wrong with the next append. */
export type Fault = 'away' | 'unknown-before-write' | 'unknown-after-write';

/** The store it is given, with faults on request. Everything else is that store's own doing. */
export type FaultyEventStore = EventStore &
  Readonly<{
    /** The faults of the next appends, in order. */
    faults: Fault[];
    /** Called before each append, for tests that must be in between. */
    beforeAppend: { hook: (stream: string) => Promise<void> };
    /** Appends that reached the store, and the events in them. */
    counts: { appends: number; events: number; read: number };
  }>;

export function faulty(store: EventStore): FaultyEventStore {
  const faults: Fault[] = [];
  const beforeAppend = { hook: async (_stream: string) => {} };
  const counts = { appends: 0, events: 0, read: 0 };
  return {
    faults,
    beforeAppend,
    counts,
    async append(stream, events, options) {
      await beforeAppend.hook(stream);
      const fault = faults.shift();
      if (fault === 'away') throw new StoreError('UNAVAILABLE', 'away, as the test wants it');
      if (fault === 'unknown-before-write') throw new StoreError('UNKNOWN', 'no answer, as the test wants it');
      const appended = await store.append(stream, events, options);
      counts.appends++;
      counts.events += events.length;
      if (fault === 'unknown-after-write') throw new StoreError('UNKNOWN', 'the answer was lost, as the test wants it');
      return appended;
    },
    async readStream(stream, options) {
      const slice = await store.readStream(stream, options);
      counts.read += slice.events.length;
      return slice;
    },
    readAll: (options) => store.readAll(options),
    subscribe: (options) => store.subscribe(options),
    setRetention: (stream, retention) => store.setRetention(stream, retention),
    head: () => store.head(),
    epoch: () => store.epoch(),
    close: () => store.close(),
  };
}
