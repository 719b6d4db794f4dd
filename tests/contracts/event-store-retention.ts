import { describe, expect, it, vi } from 'vitest';
import type { EventStore, Retention } from '../../src/ports/event-store.ts';
import { newStream, note, notes } from './events.ts';

/** Retention as `readStream` shows it. When events leave the whole log is the adapter's affair. */
export function retentionContract(store: () => EventStore): void {
  const revisions = async (stream: string) =>
    (await store().readStream(stream)).events.map((event) => Number(event.revision));

  async function written(count: number): Promise<string> {
    const stream = newStream();
    await store().append(stream, notes(count), { expect: 'none' });
    return stream;
  }

  describe('retention', () => {
    it('`truncateBefore` hides what is below a revision, at once and in both directions', async () => {
      const stream = await written(10);
      await store().setRetention(stream, { truncateBefore: 7n });
      expect(await revisions(stream)).toEqual([7, 8, 9]);
      const backwards = await store().readStream(stream, { direction: 'backwards', from: 8n });
      expect({ ...backwards, events: backwards.events.map((event) => Number(event.revision)) }).toEqual({
        events: [8, 7],
        end: true,
      });
    });

    it('`maxCount` hides all but the latest, also of what comes later', async () => {
      const stream = await written(5);
      await store().setRetention(stream, { maxCount: 3 });
      expect(await revisions(stream)).toEqual([2, 3, 4]);
      await store().append(stream, notes(2), { expect: 4n });
      expect(await revisions(stream)).toEqual([4, 5, 6]);
    });

    it('`maxAgeMs` hides what is older', async () => {
      const [short, long] = [await written(3), await written(3)];
      await store().setRetention(long, { maxAgeMs: 3_600_000 });
      await store().setRetention(short, { maxAgeMs: 1_000 });
      await vi.waitFor(async () => expect(await revisions(short)).toEqual([]), { timeout: 10_000, interval: 50 });
      expect(await revisions(long)).toEqual([0, 1, 2]);
    });

    it('may be set before the first event', async () => {
      const stream = newStream();
      await store().setRetention(stream, { maxCount: 2 });
      expect(await revisions(stream)).toEqual([]);
      const { revision } = await store().append(stream, notes(4), { expect: 'none' });
      expect(revision).toBe(3n);
      expect(await revisions(stream)).toEqual([2, 3]);
    });

    it('replaces what was set before', async () => {
      const stream = await written(3);
      await store().setRetention(stream, { maxCount: 1 });
      await store().setRetention(stream, {});
      await store().append(stream, notes(3), { expect: 2n });
      expect((await revisions(stream)).slice(-4)).toEqual([2, 3, 4, 5]);
    });

    it('a stream that forgot everything still knows its last revision', async () => {
      const stream = await written(3);
      await store().setRetention(stream, { truncateBefore: 3n });
      expect(await store().readStream(stream)).toEqual({ events: [], end: true });
      await expect(store().append(stream, [note('a')], { expect: 'none' })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      const { revision } = await store().append(stream, [note('fourth')], { expect: 2n });
      expect(revision).toBe(3n);
      expect(await revisions(stream)).toEqual([3]);
    });

    it.each<Retention>([{ maxCount: 0 }, { maxAgeMs: 1_500 }, { maxAgeMs: 0 }, { truncateBefore: -1n }])(
      '%o is invalid',
      async (retention) => {
        await expect(store().setRetention(newStream(), retention)).rejects.toMatchObject({ code: 'INVALID' });
      },
    );
  });
}
