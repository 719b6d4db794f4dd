import { StoreError } from '../../src/kernel/errors.ts';
import type { EventLog, Subscribe } from '../../src/log/event-log.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { openLog } from './node.ts';

/** An event log that can be replaced while it is in use, as by a restore: its subscriptions then fail as unavailable, and see the new one afterwards. */
export type ReplaceableLog = EventLog & Readonly<{ replace(log: EventLog): void }>;

export function replaceable(first: EventLog): ReplaceableLog {
  let current = first;
  let replaced = new AbortController();

  async function* subscribe(options: Subscribe) {
    const { signal: wasReplaced } = replaced;
    const signal = AbortSignal.any([wasReplaced, ...(options.signal === undefined ? [] : [options.signal])]);
    yield* current.subscribe({ ...options, signal });
    if (wasReplaced.aborted) throw new StoreError('UNAVAILABLE', 'the log was replaced, as the test wants it');
  }

  return {
    encode: (events) => current.encode(events),
    admit: (events) => current.admit(events),
    append: (stream, events, options) => current.append(stream, events, options),
    readStream: (stream, options) => current.readStream(stream, options),
    readAll: (options) => current.readAll(options),
    subscribe,
    erasingTypes: first.erasingTypes,
    onErased: (listener) => current.onErased(listener),
    setRetention: (stream, retention) => current.setRetention(stream, retention),
    head: () => current.head(),
    isPosition: (text) => current.isPosition(text),
    idAt: (position) => current.idAt(position),
    recordBefore: (position) => current.recordBefore(position),
    onRestored: (listener) => first.onRestored(listener),
    restored: () => first.restored(),
    countAfter: (position) => current.countAfter(position),
    // A copy has the epoch of its original.
    epoch: () => first.epoch(),
    close: () => current.close(),
    replace(log) {
      current = log;
      const before = replaced;
      replaced = new AbortController();
      before.abort();
    },
  };
}

/** A copy of everything that is in a log by now, over the same keys. It has the same events at the same positions. */
export async function copyOf({ store, keys }: MemoryStores): Promise<MemoryStores> {
  const copy = await openMemoryStores();
  const { records } = await store.readAll({ direction: 'forwards', from: null, limit: 4_096 });
  for (const { id, type, schemaVersion, data, metadata, stream, revision, position } of records) {
    const expect = revision === 0n ? 'none' : revision - 1n;
    const appended = await copy.store.append(stream, [{ id, type, schemaVersion, data, metadata }], { expect });
    if (appended.position !== position) throw new Error(`the copy has position ${appended.position} for ${position}`);
  }
  return { ...copy, keys, log: openLog({ store: copy.store, keys }) };
}
