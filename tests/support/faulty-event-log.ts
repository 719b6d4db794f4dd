import { StoreError } from '../../src/kernel/errors.ts';
import { EncodedEvents } from '../../src/log/codec.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { EventStore } from '../../src/ports/event-store.ts';

/** What goes wrong with the next append. */
export type Fault = 'away' | 'unknown-before-write' | 'unknown-after-write';

/** Faults on request, and what reached the store. */
export type Faults = Readonly<{
  /** The faults of the next appends, in order. */
  faults: Fault[];
  /** Called before each append, for tests that must be in between. */
  beforeAppend: { hook: (stream: string) => Promise<void> };
  /** Appends that reached the store, and the events in them. */
  counts: { appends: number; events: number; read: number };
}>;

export type FaultyEventLog = EventLog & Faults;
export type FaultyEventStore = EventStore & Faults;

/** The log it is given, with faults. Everything else is that log's own doing. */
export function faulty(log: EventLog): FaultyEventLog {
  const faults = newFaults();
  return {
    ...faults,
    encode: (events) => log.encode(events),
    admit: (events) => log.admit(events),
    append: (stream, events, options) =>
      appendWith(faults, stream, events instanceof EncodedEvents ? events.records.length : events.length, () =>
        log.append(stream, events, options),
      ),
    async readStream(stream, options) {
      const slice = await log.readStream(stream, options);
      faults.counts.read += slice.events.length;
      return slice;
    },
    readAll: (options) => log.readAll(options),
    subscribe: (options) => log.subscribe(options),
    erasingTypes: log.erasingTypes,
    onErased: (listener) => log.onErased(listener),
    setRetention: (stream, retention) => log.setRetention(stream, retention),
    head: () => log.head(),
    isPosition: (text) => log.isPosition(text),
    idAt: (position) => log.idAt(position),
    recordBefore: (position) => log.recordBefore(position),
    onRestored: (listener) => log.onRestored(listener),
    restored: () => log.restored(),
    countAfter: (position) => log.countAfter(position),
    epoch: () => log.epoch(),
    close: () => log.close(),
  };
}

/** The same for the store below the log of a whole node. */
export function faultyStore(store: EventStore): FaultyEventStore {
  const faults = newFaults();
  return {
    ...faults,
    append: (stream, records, options) =>
      appendWith(faults, stream, records.length, () => store.append(stream, records, options)),
    async readStream(stream, options) {
      const slice = await store.readStream(stream, options);
      faults.counts.read += slice.records.length;
      return slice;
    },
    readAll: (options) => store.readAll(options),
    subscribe: (options) => store.subscribe(options),
    setRetention: (stream, retention) => store.setRetention(stream, retention),
    head: () => store.head(),
    isPosition: (text) => store.isPosition(text),
    idAt: (position) => store.idAt(position),
    countAfter: (position) => store.countAfter(position),
    epoch: () => store.epoch(),
    close: () => store.close(),
  };
}

function newFaults(): Faults {
  return {
    faults: [],
    beforeAppend: { hook: async () => {} },
    counts: { appends: 0, events: 0, read: 0 },
  };
}

async function appendWith<Result>(
  { faults, beforeAppend, counts }: Faults,
  stream: string,
  events: number,
  append: () => Promise<Result>,
): Promise<Result> {
  await beforeAppend.hook(stream);
  const fault = faults.shift();
  if (fault === 'away') throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
  if (fault === 'unknown-before-write') throw new StoreError('UNKNOWN', 'no answer, as the test wants it');
  const appended = await append();
  counts.appends++;
  counts.events += events;
  if (fault === 'unknown-after-write') throw new StoreError('UNKNOWN', 'the answer was lost, as the test wants it');
  return appended;
}
