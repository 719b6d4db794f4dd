import { describe, expect, it } from 'vitest';
import type { Anchor } from '../../src/log/anchor.ts';
import {
  CHECKPOINTS,
  type Checkpoint,
  CheckpointWriter,
  dropCheckpoint,
  readCheckpoints,
  startCheckpoint,
} from '../../src/log/checkpoint.ts';
import { FencedOff } from '../../src/log/lease.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { type DocumentFault, faultyDocuments, memoryDocuments, positionOf } from '../projections/support.ts';

const anchorAt = (n: number): Anchor => ({
  position: positionOf(n),
  id: `id-${n}`,
  at: new Date(n * 1_000).toISOString(),
});
const at = (n: number): Checkpoint => ({ position: positionOf(n), anchor: anchorAt(n) });

const stored = async (documents: DocumentStore, id = 'test') => (await readCheckpoints(documents, [id])).get(id);

const open = (documents: DocumentStore, fence: number, writer = `writer-${fence}`): Promise<CheckpointWriter> =>
  CheckpointWriter.open(documents, 'test', { fence, writer });

describe('the checkpoint of a follower', () => {
  it('is stored when it is opened, and then when it is saved', async () => {
    const documents = await memoryDocuments();
    expect(await stored(documents)).toBeNull();
    const checkpoint = await open(documents, 1);
    const rest = { former: [], events: 0, parked: null, epoch: null, fence: 1, writer: 'writer-1' };
    const first = { position: null, anchor: null, ...rest };
    expect([await stored(documents), checkpoint.unsaved]).toEqual([first, false]);
    checkpoint.advance(at(3), 2);
    expect([await stored(documents), checkpoint.unsaved]).toEqual([first, true]);
    await checkpoint.save();
    expect(await stored(documents)).toEqual({ ...first, ...at(3), events: 2 });
    expect(checkpoint.current).toEqual({ ...first, ...at(3), events: 2 });
  });

  it('never moves back', async () => {
    const checkpoint = await open(await memoryDocuments(), 1);
    checkpoint.advance(at(3), 2);
    checkpoint.advance(at(2), 1);
    checkpoint.advance(at(3), 1);
    checkpoint.advance({ position: null, anchor: null }, 1);
    expect(checkpoint.current).toMatchObject({ ...at(3), events: 2 });
    // A position beyond the last event that was handled.
    checkpoint.advance({ position: positionOf(5), anchor: at(3).anchor }, 0);
    expect(checkpoint.current).toMatchObject({ position: positionOf(5), anchor: at(3).anchor });
    checkpoint.advance({ position: positionOf(6), anchor: null }, 0);
    expect(checkpoint.current).toMatchObject({ position: positionOf(6), anchor: at(3).anchor });
  });

  it('keeps former anchors: always the first, and of the others fewer the older they are', async () => {
    for (const [former, least, most] of [
      ['few', 8, 8],
      ['many', 48, 48],
    ] as const) {
      const documents = await memoryDocuments();
      const owner = { fence: 1, writer: 'writer-1', former };
      const checkpoint = await CheckpointWriter.open(documents, 'test', owner);
      // An event every five seconds, for a day and a bit.
      for (let n = 1; n <= 20_000; n++) checkpoint.advance(at(5 * n), 1);
      const ages = checkpoint.current.former.map((each) => (100_000_000 - Date.parse(each.at)) / 1_000);
      expect(checkpoint.current.former[0]).toEqual(anchorAt(5));
      expect(ages.length).toBeGreaterThanOrEqual(least);
      expect(ages.length).toBeLessThanOrEqual(most);
      expect(ages).toEqual(ages.toSorted((a, b) => b - a));
      expect(ages.at(-1)).toBeLessThanOrEqual(15);
      if (former === 'many') {
        // An event that two logs share is found to within about half of its age.
        for (let i = 1; i < ages.length; i++) expect(ages[i - 1]).toBeLessThanOrEqual(1.5 * (ages[i] ?? 0) + 20);
      }
    }
  });

  it('goes back to an earlier event, and moves on from there', async () => {
    const documents = await memoryDocuments();
    const checkpoint = await open(documents, 1);
    for (const n of [10, 30, 50]) checkpoint.advance(at(n), 1);
    await checkpoint.save();
    await checkpoint.rewind(at(30));
    expect(await stored(documents)).toMatchObject({ ...at(30), former: [anchorAt(10)], events: 3 });
    checkpoint.advance(at(31), 1);
    await checkpoint.save();
    expect(await stored(documents)).toMatchObject({ ...at(31), events: 4 });
    await checkpoint.rewind({ position: null, anchor: null });
    expect(await stored(documents)).toMatchObject({ position: null, anchor: null, former: [] });
  });

  it('is stored together with what was written for it', async () => {
    const documents = await memoryDocuments();
    await documents.define([{ name: 'things', indexes: [] }]);
    const checkpoint = await open(documents, 1);
    const thing = { collection: 'things', id: 'a', position: positionOf(4), guard: null, body: {} };
    await documents.apply({ writes: [thing], last: checkpoint.writeOf(at(4), 1) });
    checkpoint.written(at(4), 1);
    expect([checkpoint.unsaved, checkpoint.current.events]).toEqual([false, 1]);
    // Not without it.
    const { rejected } = await documents.apply({ writes: [thing], last: checkpoint.writeOf(at(5), 1) });
    expect(rejected).toEqual([thing]);
    expect(await stored(documents)).toMatchObject({ ...at(4), events: 1 });
  });

  it('continues under a later lease, and cannot be stored under an earlier one any more', async () => {
    const documents = await memoryDocuments();
    const first = await open(documents, 1);
    first.advance(at(3), 3);
    await first.save();
    const second = await open(documents, 2);
    expect(second.current).toMatchObject({ ...at(3), events: 3, fence: 2 });
    first.advance(at(9), 1);
    await expect(first.save()).rejects.toBeInstanceOf(FencedOff);
    await expect(first.reclaim()).rejects.toBeInstanceOf(FencedOff);
    await expect(open(documents, 1)).rejects.toBeInstanceOf(FencedOff);
    second.advance(at(4), 1);
    await second.save();
    expect(await stored(documents)).toMatchObject({ ...at(4), events: 4, writer: 'writer-2' });
  });

  it('is its own writer’s also when the answer to storing it was lost', async () => {
    const documents = await memoryDocuments();
    const faults: DocumentFault[] = [];
    const checkpoint = await open(
      faultyDocuments(documents, () => faults.shift() ?? 'none'),
      1,
    );
    checkpoint.advance(at(3), 1);
    faults.push('lost');
    await expect(checkpoint.save()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    checkpoint.advance(at(4), 1);
    await checkpoint.save();
    expect(await stored(documents)).toMatchObject({ ...at(4), events: 2 });
    faults.push('away');
    checkpoint.advance(at(5), 1);
    await expect(checkpoint.save()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await stored(documents)).toMatchObject(at(4));
    await checkpoint.reclaim();
    expect(await stored(documents)).toMatchObject(at(5));
  });

  it('is parked until it is opened again', async () => {
    const documents = await memoryDocuments();
    const checkpoint = await open(documents, 1);
    checkpoint.advance(at(3), 1);
    const parked = { position: positionOf(4), type: 'NoteTaken', message: 'cannot be handled' };
    await checkpoint.park(parked);
    expect(await stored(documents)).toMatchObject({ ...at(3), parked });
    expect((await open(documents, 2)).current).toMatchObject({ ...at(3), parked: null });
    expect(await stored(documents)).toMatchObject({ parked: null });
  });

  it('can be dropped, also when there is none', async () => {
    const documents = await memoryDocuments();
    await dropCheckpoint(documents, 'test');
    await open(documents, 1);
    await dropCheckpoint(documents, 'test');
    expect(await stored(documents)).toBeNull();
  });
});

describe('the start of a new follower', () => {
  const start = (n: number, epoch = 'log-1') => ({ ...at(n), epoch });

  it('is stored once: the first one is kept', async () => {
    const documents = await memoryDocuments();
    expect(await startCheckpoint(documents, 'test', start(5))).toBe('created');
    expect(await startCheckpoint(documents, 'test', start(7))).toBe('exists');
    expect(await stored(documents)).toMatchObject({ ...at(5), epoch: 'log-1', fence: 0, events: 0 });
    const checkpoint = await open(documents, 1);
    expect(checkpoint.current).toMatchObject({ ...at(5), epoch: 'log-1' });
  });

  it('is the same for nodes that store it at the same time', async () => {
    const documents = await memoryDocuments();
    await Promise.all([1, 2, 3, 4].map((n) => startCheckpoint(documents, 'test', start(n))));
    const { items } = await documents.find(CHECKPOINTS.name, { filter: {}, limit: 10 });
    expect(items).toHaveLength(1);
  });

  it('replaces that of another log, and ends its writer', async () => {
    const documents = await memoryDocuments();
    await startCheckpoint(documents, 'test', start(5));
    const checkpoint = await open(documents, 3);
    checkpoint.advance(at(9), 4);
    await checkpoint.save();
    expect(await startCheckpoint(documents, 'test', start(2, 'log-2'))).toBe('replaced');
    expect(await stored(documents)).toMatchObject({ ...at(2), epoch: 'log-2', fence: 3, events: 0, parked: null });
    checkpoint.advance(at(10), 1);
    await expect(checkpoint.save()).rejects.toBeInstanceOf(FencedOff);
    expect((await open(documents, 4)).current).toMatchObject(at(2));
  });
});

it('checkpoints are read together, and are null where there is none', async () => {
  const documents = await memoryDocuments();
  expect(await readCheckpoints(documents, [])).toEqual(new Map());
  await open(documents, 1);
  const found = await readCheckpoints(documents, ['other', 'test']);
  expect([...found].map(([id, checkpoint]) => [id, checkpoint?.fence])).toEqual([
    ['other', undefined],
    ['test', 1],
  ]);
});
