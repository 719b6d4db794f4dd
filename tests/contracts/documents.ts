import { afterAll, beforeAll, describe } from 'vitest';
import type { Clock } from '../../src/ports/clock.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { service } from '../support/services.ts';
import { arraysContract } from './documents-arrays.ts';
import { bodiesContract } from './documents-bodies.ts';
import { collectionsContract } from './documents-collections.ts';
import { createCollections } from './documents-fixtures.ts';
import { guardsContract } from './documents-guards.ts';
import { indexesContract } from './documents-indexes.ts';
import { modelContract } from './documents-model.ts';
import { namesContract } from './documents-names.ts';
import { pagesContract } from './documents-pages.ts';
import { queriesContract } from './documents-queries.ts';
import { writesContract } from './documents-writes.ts';

/** An adapter under test. */
export type DocumentsAdapter = Readonly<{
  name: string;
  /** `true`, or the reason why it cannot be tested. */
  available: true | string;
  /** Provides storage for documents, which may contain some already. */
  prepare(clock: Clock): Promise<DocumentsPlace>;
}>;

export type DocumentsPlace = Readonly<{
  /** Opens another store over the same storage, as another node would. */
  open(): Promise<DocumentStore>;
  /** Closes all stores and removes the storage. */
  dispose(): Promise<void>;
}>;

/** The context of a test. */
export type DocumentsContext = Readonly<{
  store: DocumentStore;
  /** Another store over the same documents. */
  other: DocumentStore;
  open: DocumentsPlace['open'];
  clock: ManualClock;
  /** Defines a collection with a unique name at both stores. */
  collection: ReturnType<typeof createCollections>;
}>;

/** The contract of `src/ports/documents.ts`: the same for every adapter, without options. */
export function describeDocumentsContract(adapter: DocumentsAdapter): void {
  const isAvailable = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isAvailable)(`documents contract: ${adapter.name}`, () => {
    let place: DocumentsPlace | undefined;
    let context: DocumentsContext;
    beforeAll(async () => {
      // The current time, so that it agrees with that of an engine with a clock of its own.
      const clock = manualClock(Date.now());
      place = await adapter.prepare(clock);
      const [store, other] = [await place.open(), await place.open()];
      context = { store, other, clock, open: place.open, collection: createCollections([store, other]) };
    });
    afterAll(() => place?.dispose());

    const get = () => context;
    bodiesContract(get);
    guardsContract(get);
    writesContract(get);
    collectionsContract(get);
    queriesContract(get);
    arraysContract(get);
    pagesContract(get);
    indexesContract(get);
    namesContract(get);
    modelContract(get);
  });
}
