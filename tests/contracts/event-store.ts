import { afterAll, beforeAll, describe } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { service } from '../support/services.ts';
import { appendContract } from './event-store-append.ts';
import { closeContract } from './event-store-close.ts';
import { modelContract } from './event-store-model.ts';
import { readAllContract } from './event-store-read-all.ts';
import { readStreamContract } from './event-store-read-stream.ts';
import { retentionContract } from './event-store-retention.ts';
import { subscribeContract } from './event-store-subscribe.ts';

/** An adapter that is held to the contract. The log may be shared with others and hold events already. */
export type EventStoreAdapter = Readonly<{
  name: string;
  /** `true`, or in words what is missing. */
  available: true | string;
  /** Opens a store with `testRegistry`. `dispose` closes it and takes away what was made for it. */
  open(): Promise<OpenedEventStore>;
}>;

export type OpenedEventStore = Readonly<{ store: EventStore; dispose(): Promise<void> }>;

/** The contract of `src/ports/event-store.ts`: the same for every adapter, without an option. */
export function describeEventStoreContract(adapter: EventStoreAdapter): void {
  const isThere = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isThere)(`event store contract: ${adapter.name}`, () => {
    let opened: OpenedEventStore;
    beforeAll(async () => {
      opened = await adapter.open();
    });
    afterAll(() => opened?.dispose());

    const store = () => opened.store;
    appendContract(store);
    readStreamContract(store);
    readAllContract(store);
    subscribeContract(store);
    retentionContract(store);
    modelContract(store);
    closeContract(() => adapter.open());
  });
}
