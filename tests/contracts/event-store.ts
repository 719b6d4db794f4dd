import { afterAll, beforeAll, describe } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { service } from '../support/services.ts';
import { appendContract } from './event-store-append.ts';
import { closeContract } from './event-store-close.ts';
import { modelContract } from './event-store-model.ts';
import { positionsContract } from './event-store-positions.ts';
import { readAllContract } from './event-store-read-all.ts';
import { readStreamContract } from './event-store-read-stream.ts';
import { retentionContract } from './event-store-retention.ts';
import { scavengingContract } from './event-store-scavenging.ts';
import { subscribeContract } from './event-store-subscribe.ts';

/** An adapter under test. Its log may be shared with other writers, and may already contain records. */
export type EventStoreAdapter = Readonly<{
  name: string;
  /** `true`, or the reason why it cannot be tested here. */
  available: true | string;
  /** Opens a store. `dispose` closes it and removes what was created for it. */
  open(): Promise<OpenedEventStore>;
}>;

export type OpenedEventStore = Readonly<{
  store: EventStore;
  /** Removes from the log what retention hides, and resolves when that is done. */
  scavenge(): Promise<void>;
  dispose(): Promise<void>;
}>;

/** The contract of `src/ports/event-store.ts`: the same for every adapter, without options. */
export function describeEventStoreContract(adapter: EventStoreAdapter): void {
  const isAvailable = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isAvailable)(`event store contract: ${adapter.name}`, () => {
    let opened: OpenedEventStore;
    beforeAll(async () => {
      opened = await adapter.open();
    });
    afterAll(() => opened?.dispose());

    const store = () => opened.store;
    appendContract(store);
    readStreamContract(store);
    readAllContract(store);
    positionsContract(store);
    subscribeContract(store);
    retentionContract(store);
    scavengingContract(() => opened);
    modelContract(store);
    closeContract(() => adapter.open());
  });
}
