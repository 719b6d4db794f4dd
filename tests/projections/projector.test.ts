import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, WriteBatch } from '../../src/ports/documents.ts';
import { CHECKPOINTS, readCheckpoint } from '../../src/projections/runner/checkpoint.ts';
import { FencedOff } from '../../src/projections/runner/fenced-off.ts';
import { memberships } from '../../src/projections/models/memberships.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { Track } from '../../src/projections/runner/projector.ts';
import { added, counter, created, removed, sent } from './node.ts';
import {
  type DocumentFault,
  dumpProjection,
  faultyDocuments,
  memoryDocuments,
  objectId,
  positionOf,
  recorded,
} from './support.ts';

const open = (documents: DocumentStore, projection: Projection, fence = 1): Promise<Track> =>
  Track.open({ documents, logger: silentLogger, projection, generation: 1, fence, writer: `writer-${fence}` });

const takeEach = async (track: Track, events: readonly RecordedEvent[]): Promise<void> => {
  for (const event of events) await track.take([event], event.position, true);
};

const counts = async (documents: DocumentStore) => (await dumpProjection(documents, counter({}))).counts;

/** As if the checkpoint had never been stored. */
async function forgetCheckpoint(documents: DocumentStore): Promise<void> {
  await documents.drop(CHECKPOINTS.name);
  await documents.define([CHECKPOINTS]);
}

describe('a track', () => {
  it('gathers while more is to come, and then writes each document once', async () => {
    const documents = await memoryDocuments(counter({}));
    const batches: WriteBatch[] = [];
    const watched = faultyDocuments(documents, (batch) => {
      batches.push(batch);
      return 'none';
    });
    const track = await open(watched, counter({}));
    batches.length = 0;
    const events = recorded(Array.from({ length: 30 }, (_, i) => sent(i % 2, i + 1, 1)));
    await track.take(events.slice(0, 10), positionOf(10), false);
    await track.take(events.slice(10, 20), positionOf(20), false);
    expect([batches.length, track.position, track.taken]).toEqual([0, null, positionOf(20)]);
    await track.take(events.slice(20), positionOf(35), true);
    expect(batches.map(({ writes, last }) => [writes.length, last?.id])).toEqual([[2, 'counter.1']]);
    expect([track.position, track.events, track.unsaved]).toEqual([positionOf(35), 30, false]);
    expect(await counts(documents)).toMatchObject({
      [objectId(0)]: { body: { count: 15 } },
      [objectId(1)]: { body: { count: 15 } },
    });
  });

  it('takes an event once, however often it is handed over', async () => {
    const documents = await memoryDocuments(counter({}));
    const track = await open(documents, counter({}));
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    await track.take(events.slice(0, 2), positionOf(2), false);
    await track.take(events, positionOf(3), true);
    await track.take(events.slice(1), positionOf(2), true);
    expect([track.position, track.events]).toEqual([positionOf(3), 3]);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 3 } } });
  });

  it('writes no checkpoint for what it does not handle until it is told to save', async () => {
    const documents = await memoryDocuments(counter({}));
    const track = await open(documents, counter({}));
    await track.take(recorded([created(1, [1])]), positionOf(1), true);
    const stored = async () =>
      readCheckpoint((await documents.getMany(CHECKPOINTS.name, ['counter.1'])).get('counter.1'))?.position;
    expect([track.position, track.unsaved, await stored()]).toEqual([positionOf(1), true, null]);
    await track.save();
    expect([track.unsaved, await stored()]).toEqual([false, positionOf(1)]);
  });

  it('goes on over documents that are there already, and over those that were deleted since', async () => {
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

  it('does not let a late runner bring back what came and went within one batch', async () => {
    const documents = await memoryDocuments(memberships);
    const events = recorded([added(1, 3, 0), removed(1, 3)]);
    const late = await open(documents, memberships, 1);
    const track = await open(documents, memberships, 2);
    await track.take(events, positionOf(2), true);
    await expect(late.take(events.slice(0, 1), positionOf(1), true)).rejects.toBeInstanceOf(FencedOff);
    expect((await dumpProjection(documents, memberships)).memberships).toEqual({});
  });

  it('is fenced off by a newer lease, whether it writes documents or only its checkpoint', async () => {
    const documents = await memoryDocuments(counter({}));
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    const old = await open(documents, counter({}), 1);
    await takeEach(old, events.slice(0, 1));
    await open(documents, counter({}), 2);
    await expect(old.take(events.slice(1), positionOf(3), true)).rejects.toBeInstanceOf(FencedOff);
    await expect(open(documents, counter({}), 1)).rejects.toBeInstanceOf(FencedOff);
    const idle = await open(documents, counter({}), 3);
    await open(documents, counter({}), 4);
    await idle.take([], positionOf(9), true);
    await expect(idle.save()).rejects.toBeInstanceOf(FencedOff);
  });

  it('is not fenced off by its own write of which the answer was lost', async () => {
    const documents = await memoryDocuments(counter({}));
    const faults: DocumentFault[] = [];
    const track = await open(
      faultyDocuments(documents, () => faults.shift() ?? 'none'),
      counter({}),
    );
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1)]);
    faults.push('lost');
    await expect(track.take(events.slice(0, 1), positionOf(1), true)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await track.take(events.slice(0, 1), positionOf(1), true);
    await track.take(events.slice(1), positionOf(2), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 2 } } });
    faults.push('lost');
    await track.take([], positionOf(3), true);
    await expect(track.save()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await track.take([], positionOf(4), true);
    await track.save();
    expect([track.position, track.events, track.unsaved]).toEqual([positionOf(4), 2, false]);
  });

  it('takes nothing more once it is parked, until it is opened anew', async () => {
    const documents = await memoryDocuments(counter({}));
    const picky = counter({
      count(content, before) {
        if (content === 'm2') throw new Error('no');
        return before + 1;
      },
    });
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]);
    const track = await open(documents, picky);
    await track.take(events, positionOf(3), true);
    const parked = { position: positionOf(2), type: 'MessageSent', message: 'no' };
    expect([track.position, track.parked]).toEqual([positionOf(1), parked]);
    await track.take(events.slice(2), positionOf(3), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 1 } } });
    const again = await open(documents, counter({}));
    expect([again.position, again.parked]).toEqual([positionOf(1), null]);
    await again.take(events.slice(1), positionOf(3), true);
    expect(await counts(documents)).toMatchObject({ [objectId(1)]: { body: { count: 3 } } });
  });
});
