import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { CHECKPOINTS, readCheckpoints } from '../../src/log/checkpoint.ts';
import { FencedOff } from '../../src/log/lease.ts';
import type { DocumentStore, WriteBatch } from '../../src/ports/documents.ts';
import { memberships } from '../../src/projections/models/memberships.ts';
import { messages } from '../../src/projections/models/messages.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { Projector } from '../../src/projections/runner/projector.ts';
import { system } from '../support/stores.ts';
import { added, counter, created, erased, removed, sent } from './node.ts';
import {
  checkpointAt,
  type DocumentFault,
  dumpProjection,
  erasures,
  faultyDocuments,
  memoryDocuments,
  objectId,
  positionOf,
  recorded,
  upTo,
} from './support.ts';

const open = (documents: DocumentStore, projection: Projection, fence = 1): Promise<Projector> =>
  Projector.open({ ...system, log: erasures, documents, projection, generation: 1, fence, writer: `writer-${fence}` });

const takeEach = async (projector: Projector, events: readonly RecordedEvent[]): Promise<void> => {
  for (const event of events) await projector.take([event], checkpointAt(event), true);
};

const counts = async (documents: DocumentStore) => (await dumpProjection(documents, counter({}))).counts;

/** As if the checkpoint had never been stored. */
async function forgetCheckpoint(documents: DocumentStore): Promise<void> {
  await documents.drop(CHECKPOINTS.name);
  await documents.define([CHECKPOINTS]);
}

describe('a projector', () => {
  it('collects while more is to come, and then writes each document once', async () => {
    const documents = await memoryDocuments(counter({}));
    const batches: WriteBatch[] = [];
    const watched = faultyDocuments(documents, (batch) => {
      batches.push(batch);
      return 'none';
    });
    const projector = await open(watched, counter({}));
    batches.length = 0;
    const events = recorded(Array.from({ length: 30 }, (_, i) => sent(i % 2, i + 1, 1)));
    await projector.take(events.slice(0, 10), upTo(10), false);
    await projector.take(events.slice(10, 20), upTo(20), false);
    expect([batches.length, projector.position, projector.taken.position]).toEqual([0, null, positionOf(20)]);
    await projector.take(events.slice(20), upTo(35), true);
    expect(batches.map(({ writes, last }) => [writes.length, last?.id])).toEqual([[2, 'projections/counter.1']]);
    expect([projector.position, projector.events, projector.unsaved]).toEqual([positionOf(35), 30, false]);
    expect(await counts(documents)).toMatchObject({
      [objectId(0)]: { body: { count: 15 } },
      [objectId(1)]: { body: { count: 15 } },
    });
  });

  it('takes an event once, however often it is handed over', async () => {
    const documents = await memoryDocuments(counter({}));
    const projector = await open(documents, counter({}));
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    await projector.take(events.slice(0, 2), upTo(2), false);
    await projector.take(events, upTo(3), true);
    await projector.take(events.slice(1), upTo(2), true);
    expect([projector.position, projector.events]).toEqual([positionOf(3), 3]);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 3 } } });
  });

  it('stores no checkpoint for events that it does not handle until it is saved', async () => {
    const documents = await memoryDocuments(counter({}));
    const projector = await open(documents, counter({}));
    await projector.take(recorded([created(1, [1])]), upTo(1), true);
    const stored = async () =>
      (await readCheckpoints(documents, ['projections/counter.1'])).get('projections/counter.1')?.position;
    expect([projector.position, projector.unsaved, await stored()]).toEqual([positionOf(1), true, null]);
    await projector.save();
    expect([projector.unsaved, await stored()]).toEqual([false, positionOf(1)]);
  });

  it('continues over documents that exist already, and over those that were deleted since', async () => {
    const documents = await memoryDocuments(memberships);
    const events = recorded([
      created(1, [1, 2]),
      added(1, 3, 0),
      removed(1, 3),
      removed(1, 2),
      added(1, 2, 4),
      sent(1, 5, 2),
    ]);
    await takeEach(await open(documents, memberships), events);
    const before = await dumpProjection(documents, memberships);
    await forgetCheckpoint(documents);
    const again = await open(documents, memberships);
    await takeEach(again, events);
    expect(await dumpProjection(documents, memberships)).toEqual(before);
    expect([again.position, again.events]).toEqual([positionOf(6), 6]);
  });

  it('does not let a late node restore a document that was created and deleted within one batch', async () => {
    const documents = await memoryDocuments(memberships);
    const events = recorded([added(1, 3, 0), removed(1, 3)]);
    const late = await open(documents, memberships, 1);
    const projector = await open(documents, memberships, 2);
    await projector.take(events, upTo(2), true);
    await expect(late.take(events.slice(0, 1), upTo(1), true)).rejects.toBeInstanceOf(FencedOff);
    expect((await dumpProjection(documents, memberships)).memberships).toEqual({});
  });

  it('is fenced off by a newer lease, whether it writes documents or only its checkpoint', async () => {
    const documents = await memoryDocuments(counter({}));
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    const old = await open(documents, counter({}), 1);
    await takeEach(old, events.slice(0, 1));
    await open(documents, counter({}), 2);
    await expect(old.take(events.slice(1), upTo(3), true)).rejects.toBeInstanceOf(FencedOff);
    await expect(open(documents, counter({}), 1)).rejects.toBeInstanceOf(FencedOff);
    const idle = await open(documents, counter({}), 3);
    await open(documents, counter({}), 4);
    await idle.take([], upTo(9), true);
    await expect(idle.save()).rejects.toBeInstanceOf(FencedOff);
  });

  it('is not fenced off by its own write whose answer was lost', async () => {
    const documents = await memoryDocuments(counter({}));
    const faults: DocumentFault[] = [];
    const projector = await open(
      faultyDocuments(documents, () => faults.shift() ?? 'none'),
      counter({}),
    );
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1)]);
    faults.push('lost');
    await expect(projector.take(events.slice(0, 1), upTo(1), true)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await projector.take(events.slice(0, 1), upTo(1), true);
    await projector.take(events.slice(1), upTo(2), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 2 } } });
    faults.push('lost');
    await projector.take([], upTo(3), true);
    await expect(projector.save()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await projector.take([], upTo(4), true);
    await projector.save();
    expect([projector.position, projector.events, projector.unsaved]).toEqual([positionOf(4), 2, false]);
  });

  it('takes nothing more once it is parked, until it is opened again', async () => {
    const documents = await memoryDocuments(counter({}));
    const picky = counter({
      count(content, before) {
        if (content === 'm2') throw new Error('no');
        return before + 1;
      },
    });
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    const projector = await open(documents, picky);
    await projector.take(events, upTo(3), true);
    const parked = { position: positionOf(2), type: 'MessageSent', message: 'no' };
    expect([projector.position, projector.parked]).toEqual([positionOf(1), parked]);
    await projector.take(events.slice(2), upTo(3), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 1 } } });
    const again = await open(documents, counter({}));
    expect([again.position, again.parked]).toEqual([positionOf(1), null]);
    await again.take(events.slice(1), upTo(3), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 3 } } });
  });

  describe.each([
    { name: 'messages', projection: messages },
    { name: 'counter, which does not handle erasures', projection: counter({}) },
  ])('of $name, after an erasure', ({ projection }) => {
    it('writes it at once, and the purge is due until it was done', async () => {
      const projector = await open(await memoryDocuments(projection), projection);
      const events = recorded([sent(1, 1, 1), sent(1, 2, 2), erased(1)]);
      await projector.take(events.slice(0, 2), upTo(2), false);
      expect(projector.isPurgeDue).toBe(false);
      await projector.take(events.slice(2), checkpointAt(events.at(-1)!), false);
      expect([projector.isPurgeDue, projector.position]).toEqual([true, positionOf(3)]);
      await projector.take(events.slice(2), checkpointAt(events.at(-1)!), true);
      expect([projector.isPurgeDue, projector.events]).toEqual([true, projection === messages ? 3 : 2]);
      projector.purged();
      const later = recorded([...Array.from({ length: 3 }, () => erased(1)), sent(1, 3, 2)]).slice(3);
      await projector.take(later, upTo(4), true);
      expect(projector.isPurgeDue).toBe(false);
    });
  });
});
