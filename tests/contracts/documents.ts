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
import { pagesContract } from './documents-pages.ts';
import { queriesContract } from './documents-queries.ts';
import { writesContract } from './documents-writes.ts';

/** An adapter that is held to the contract. */
export type DocumentsAdapter = Readonly<{
  name: string;
  /** `true`, or in words what is missing. */
  available: true | string;
  /** A place for documents, which may hold some already. */
  prepare(clock: Clock): Promise<DocumentsPlace>;
}>;

export type DocumentsPlace = Readonly<{
  /** Opens a store over the place, beside those that are open already, as another node would. */
  open(): Promise<DocumentStore>;
  /** Closes what was opened, and takes away what was made. */
  dispose(): Promise<void>;
}>;

/** What the tests work with. */
export type DocumentsContext = Readonly<{
  store: DocumentStore;
  /** Another store over the same documents. */
  other: DocumentStore;
  open: DocumentsPlace['open'];
  clock: ManualClock;
  /** Defines a collection with a name of its own, on both stores. */
  collection: ReturnType<typeof createCollections>;
}>;

/** The contract of `src/ports/documents.ts`: the same for every adapter, without an option. */
export function describeDocumentsContract(adapter: DocumentsAdapter): void {
  const isThere = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isThere)(`documents contract: ${adapter.name}`, () => {
    let place: DocumentsPlace | undefined;
    let context: DocumentsContext;
    beforeAll(async () => {
      // The present, so that an engine that keeps a time of its own agrees.
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
    modelContract(get);
  });
}
