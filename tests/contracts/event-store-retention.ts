import { describe, expect, it, vi } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note, notes } from './events.ts';
import { readStream } from './following.ts';

/** Retention in the results of `readStream`. When records are removed from the whole log depends on the adapter. */
export function retentionContract(store: () => EventStore): void {
  const revisions = async (stream: string) =>
    (await readStream(store(), stream)).records.map((record) => Number(record.revision));

  async function written(count: number): Promise<string> {
    const stream = newStream();
    await store().append(stream, notes(count), { expect: 'none' });
    return stream;
  }

  describe('retention', () => {
    it('`truncateBefore` hides all records below a revision, immediately and in both directions', async () => {
      const stream = await written(10);
      await store().setRetention(stream, { truncateBefore: 7n });
      expect(await revisions(stream)).toEqual([7, 8, 9]);
      const backwards = await readStream(store(), stream, { direction: 'backwards', from: 8n });
      expect({ ...backwards, records: backwards.records.map((record) => Number(record.revision)) }).toEqual({
        records: [8, 7],
        end: true,
      });
    });

    it('`maxCount` hides all but the latest records, also after later appends', async () => {
      const stream = await written(5);
      await store().setRetention(stream, { maxCount: 3 });
      expect(await revisions(stream)).toEqual([2, 3, 4]);
      await store().append(stream, notes(2), { expect: 4n });
      expect(await revisions(stream)).toEqual([4, 5, 6]);
    });

    // Both wait for a second to pass.
    it.concurrent('`maxAgeMs` hides older records', async () => {
      const [short, long] = [await written(3), await written(3)];
      await store().setRetention(long, { maxAgeMs: 3_600_000 });
      await store().setRetention(short, { maxAgeMs: 1_000 });
      await vi.waitFor(async () => expect(await revisions(short)).toEqual([]), { timeout: 10_000, interval: 50 });
      expect(await revisions(long)).toEqual([0, 1, 2]);
    });

    it.concurrent('a disposable stream without remaining records starts again, or goes on', async () => {
      const stream = await written(2);
      await store().setRetention(stream, { maxAgeMs: 1_000, disposable: true });
      await vi.waitFor(async () => expect(await revisions(stream)).toEqual([]), { timeout: 10_000, interval: 50 });
      const appended = await store()
        .append(stream, [note('again')], { expect: 'none' })
        .catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'VERSION_CONFLICT', actual: 1n });
          return store().append(stream, [note('again')], { expect: 1n });
        });
      expect([0n, 2n]).toContain(appended.revision);
    });

    it('can be set before the first append', async () => {
      const stream = newStream();
      await store().setRetention(stream, { maxCount: 2 });
      expect(await revisions(stream)).toEqual([]);
      const { revision } = await store().append(stream, notes(4), { expect: 'none' });
      expect(revision).toBe(3n);
      expect(await revisions(stream)).toEqual([2, 3]);
    });

    it('replaces the previous retention', async () => {
      const stream = await written(3);
      await store().setRetention(stream, { maxCount: 1 });
      await store().setRetention(stream, {});
      await store().append(stream, notes(3), { expect: 2n });
      expect((await revisions(stream)).slice(-4)).toEqual([2, 3, 4, 5]);
    });

    it('a stream without remaining records keeps its last revision', async () => {
      const stream = await written(3);
      await store().setRetention(stream, { truncateBefore: 3n });
      expect(await readStream(store(), stream)).toEqual({ records: [], end: true });
      await expect(store().append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      const { revision } = await store().append(stream, [note('fourth')], { expect: 2n });
      expect(revision).toBe(3n);
      expect(await revisions(stream)).toEqual([3]);
    });
  });
}
