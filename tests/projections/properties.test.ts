import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { CHECKPOINTS } from '../../src/log/checkpoint.ts';
import { FencedOff } from '../../src/log/lease.ts';
import type { DocumentStore, StoredDocument } from '../../src/ports/documents.ts';
import { projections } from '../../src/projections/models/catalogue.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { generationCollections } from '../../src/projections/runner/generations.ts';
import { Projector } from '../../src/projections/runner/projector.ts';
import { system } from '../support/stores.ts';
import {
  anyEvent,
  checkpointAt,
  type DocumentFault,
  dumpProjection,
  erasures,
  faultyDocuments,
  memoryDocuments,
  readAs,
  recorded,
  touchedBy,
} from './support.ts';

/** A history as a node reads it that follows the log, and as one reads it later. They differ in what erased persons wrote. */
const history = fc.array(anyEvent, { maxLength: 60 }).map((events) => {
  const all = recorded(events);
  return { live: readAs(all, 'live'), later: readAs(all, 'later') };
});
const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 });
const faults = fc.array(fc.constantFrom<DocumentFault>('none', 'none', 'away', 'lost'), { maxLength: 12 });

const open = (documents: DocumentStore, projection: Projection, fence = 1): Promise<Projector> =>
  Projector.open({
    ...system,
    log: erasures,
    documents,
    projection,
    generation: 1,
    fence,
    writer: `writer-${fence}`,
  });

/** Hands over events in batches of these sizes, in turns; every third one is marked as the last for now. */
async function feed(
  projector: Projector,
  events: readonly RecordedEvent[],
  batchSizes: readonly number[],
): Promise<void> {
  for (let from = 0, i = 0; from < events.length; i++) {
    const batch = events.slice(from, from + batchSizes[i % batchSizes.length]!);
    from += batch.length;
    await projector.take(batch, checkpointAt(batch.at(-1)!), i % 3 === 0);
  }
  await projector.flush();
}

/** The events that a projector has not taken yet. */
const eventsAfter = (events: readonly RecordedEvent[], { taken }: Projector): readonly RecordedEvent[] =>
  events.filter(({ position }) => taken.position === null || position > taken.position);

/** What the documents have to be: every document folded separately, event by event. */
function expected(projection: Projection, events: readonly RecordedEvent[]) {
  const collections = new Map(projection.collections.map(({ name }) => [name, new Map<string, StoredDocument>()]));
  const bodies = (collection: string) =>
    new Map([...collections.get(collection)!].map(([id, { body }]) => [id, body] as const));
  for (const event of events.filter(({ type }) => projection.handles.includes(type))) {
    for (const ref of touchedBy(projection, event, bodies)) {
      const documents = collections.get(ref.collection)!;
      const before = documents.get(ref.id);
      const body = projection.evolve(ref, before?.body, event);
      if (body === undefined) documents.delete(ref.id);
      else if (body !== before?.body) documents.set(ref.id, { id: ref.id, position: event.position, body });
    }
  }
  return Object.fromEntries([...collections].map(([name, documents]) => [name, Object.fromEntries(documents)]));
}

/** A new, empty first generation in the same store. */
async function renew(documents: DocumentStore, projection: Projection): Promise<void> {
  for (const collection of generationCollections(projection, 1)) await documents.drop(collection.name);
  await documents.define(generationCollections(projection, 1));
  await forgetCheckpoints(documents);
}

async function forgetCheckpoints(documents: DocumentStore): Promise<void> {
  await documents.drop(CHECKPOINTS.name);
  await documents.define([CHECKPOINTS]);
}

describe.each(projections)('projection $name', (projection) => {
  it('makes the same documents in batches of any size', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, async ({ live }, batchSizes) => {
        await renew(documents, projection);
        await feed(await open(documents, projection), live, batchSizes);
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, live));
      }),
      { numRuns: 25 },
    );
  });

  it('makes the same documents in a rebuild, in which what erased persons wrote cannot be read', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, sizes, async ({ live, later }, liveSizes, laterSizes) => {
        await renew(documents, projection);
        await feed(await open(documents, projection), live, liveSizes);
        const followed = await dumpProjection(documents, projection);
        await renew(documents, projection);
        await feed(await open(documents, projection), later, laterSizes);
        expect(await dumpProjection(documents, projection)).toEqual(followed);
        expect(followed).toEqual(expected(projection, later));
      }),
      { numRuns: 50 },
    );
  });

  it('makes the same documents when it is run again from any earlier point', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, fc.nat(60), async ({ live, later }, batchSizes, back) => {
        await renew(documents, projection);
        await feed(await open(documents, projection), live, batchSizes);
        await forgetCheckpoints(documents);
        const again = await open(documents, projection);
        await feed(again, later.slice(Math.min(back, later.length)), batchSizes);
        expect(again.parked).toBeNull();
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, live));
      }),
      { numRuns: 25 },
    );
  });

  it('loses no event and applies none twice when the store fails at any point', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, faults, fc.boolean(), async ({ live, later }, batchSizes, script, restarts) => {
        await renew(documents, projection);
        const coming = [...script];
        const faulty = faultyDocuments(documents, () => coming.shift() ?? 'none');
        let fence = 1;
        let projector: Projector | null = null;
        for (let attempt = 0; ; attempt++) {
          expect(attempt).toBeLessThanOrEqual(script.length);
          // What is read again after a restart may have been erased meanwhile.
          const events = restarts && attempt > 0 ? later : live;
          try {
            // Either the same node tries again, or its process died and another one continues from the stored checkpoint.
            if (projector === null || restarts) projector = await open(faulty, projection, fence++);
            await feed(projector, eventsAfter(events, projector), batchSizes);
            await projector.save();
            break;
          } catch (error) {
            if (!isStoreError(error, 'UNAVAILABLE')) throw error;
          }
        }
        expect(projector.position).toBe(live.at(-1)?.position ?? null);
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, live));
      }),
      { numRuns: 40 },
    );
  });

  it('makes the same documents when two nodes run it at the same time', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, sizes, async ({ live, later }, firstSizes, secondSizes) => {
        await renew(documents, projection);
        const first = await open(documents, projection, 1);
        const half = Math.floor(live.length / 2);
        await feed(first, live.slice(0, half), firstSizes);
        // The second takes over while the first, which has not noticed, continues, and has keys in memory that were destroyed.
        const second = await open(documents, projection, 2);
        const outcomes = await Promise.allSettled([
          feed(first, live.slice(half), firstSizes),
          feed(second, eventsAfter(later, second), secondSizes),
        ]);
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(FencedOff);
        }
        // They may have fenced off each other: then a third one continues.
        const third = await open(documents, projection, 3);
        await feed(third, eventsAfter(live, third), firstSizes);
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, live));
      }),
      { numRuns: 25 },
    );
  });
});
