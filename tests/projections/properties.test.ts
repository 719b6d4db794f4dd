import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { projections } from '../../src/projections/models/catalogue.ts';
import { FencedOff } from '../../src/projections/runner/fenced-off.ts';
import { generationCollections } from '../../src/projections/runner/generations.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { Track } from '../../src/projections/runner/projector.ts';
import { anyEvent, type DocumentFault, dumpProjection, faultyDocuments, memoryDocuments, recorded } from './support.ts';

const history = fc.array(anyEvent, { maxLength: 60 }).map(recorded);
const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 });
const faults = fc.array(fc.constantFrom<DocumentFault>('none', 'none', 'away', 'lost'), { maxLength: 12 });

const open = (documents: DocumentStore, projection: Projection, fence = 1): Promise<Track> =>
  Track.open({ documents, logger: silentLogger, projection, generation: 1, fence, writer: `writer-${fence}` });

/** In batches of these sizes, in turns; every third one is the end of what is there for now. */
async function feed(track: Track, events: readonly RecordedEvent[], batchSizes: readonly number[]): Promise<void> {
  for (let from = 0, i = 0; from < events.length; i++) {
    const batch = events.slice(from, from + batchSizes[i % batchSizes.length]!);
    from += batch.length;
    await track.take(batch, batch.at(-1)!.position, i % 3 === 0);
  }
  await track.flush();
}

/** What the documents have to be: every document on its own, event by event, with nothing in between. */
function expected(projection: Projection, events: readonly RecordedEvent[]) {
  const collections = new Map(projection.collections.map(({ name }) => [name, new Map<string, unknown>()]));
  for (const event of events.filter(({ type }) => projection.handles.includes(type))) {
    for (const ref of projection.touches(event)) {
      const documents = collections.get(ref.collection)!;
      const before = documents.get(ref.id) as { body: never } | undefined;
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
  const id = `${projection.name}.1`;
  const checkpoint = (await documents.getMany('projection-checkpoints', [id])).get(id);
  if (checkpoint === undefined) return;
  const { position } = checkpoint;
  await documents.drop('projection-checkpoints');
  await documents.define([{ name: 'projection-checkpoints', indexes: [] }]);
  expect(position).not.toBe('');
}

describe.each(projections)('projection $name', (projection) => {
  it('makes the same documents in batches of any size', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, async (events, batchSizes) => {
        await renew(documents, projection);
        await feed(await open(documents, projection), events, batchSizes);
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, events));
      }),
      { numRuns: 25 },
    );
  });

  it('makes the same documents when it is run again from any earlier point', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, fc.nat(60), async (events, batchSizes, back) => {
        await renew(documents, projection);
        await feed(await open(documents, projection), events, batchSizes);
        await documents.drop('projection-checkpoints');
        await documents.define([{ name: 'projection-checkpoints', indexes: [] }]);
        const again = await open(documents, projection);
        await feed(again, events.slice(Math.min(back, events.length)), batchSizes);
        expect(again.parked).toBeNull();
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, events));
      }),
      { numRuns: 25 },
    );
  });

  it('loses and doubles nothing when the store fails at any point', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, faults, fc.boolean(), async (events, batchSizes, script, restarts) => {
        await renew(documents, projection);
        const coming = [...script];
        const faulty = faultyDocuments(documents, () => coming.shift() ?? 'none');
        let fence = 1;
        let track: Track | null = null;
        for (let attempt = 0; ; attempt++) {
          expect(attempt).toBeLessThanOrEqual(script.length);
          try {
            // Either the same runner tries again, or its process died and another one goes on from the stored checkpoint.
            if (track === null || restarts) track = await open(faulty, projection, fence++);
            const { taken } = track;
            await feed(
              track,
              events.filter(({ position }) => taken === null || position > taken),
              batchSizes,
            );
            await track.save();
            break;
          } catch (error) {
            if (!isStoreError(error, 'UNAVAILABLE')) throw error;
          }
        }
        expect(track.position).toBe(events.at(-1)?.position ?? null);
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, events));
      }),
      { numRuns: 40 },
    );
  });

  it('makes the same documents when two runners are at it', async () => {
    const documents = await memoryDocuments(projection);
    await fc.assert(
      fc.asyncProperty(history, sizes, sizes, async (events, firstSizes, secondSizes) => {
        await renew(documents, projection);
        const first = await open(documents, projection, 1);
        const half = Math.floor(events.length / 2);
        await feed(first, events.slice(0, half), firstSizes);
        // The second takes over while the first, which has not heard of it, goes on.
        const second = await open(documents, projection, 2);
        const { taken } = second;
        const rest = events.filter(({ position }) => taken === null || position > taken);
        const outcomes = await Promise.allSettled([
          feed(first, events.slice(half), firstSizes),
          feed(second, rest, secondSizes),
        ]);
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(FencedOff);
        }
        // Whoever was not in the way of the other; and a third one, should both have been.
        const third = await open(documents, projection, 3);
        await feed(
          third,
          events.filter(({ position }) => third.taken === null || position > third.taken),
          firstSizes,
        );
        expect(await dumpProjection(documents, projection)).toEqual(expected(projection, events));
      }),
      { numRuns: 25 },
    );
  });
});
