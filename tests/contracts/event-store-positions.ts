import { describe, expect, it } from 'vitest';
import type { Position } from '../../src/kernel/position.ts';
import type { EventStore, StoredRecord } from '../../src/ports/event-store.ts';
import { newStream, notes } from './events.ts';
import { follow, readAll, readStream, readToEnd } from './following.ts';

/** A position after the head of the log: every adapter makes positions of padded decimal numbers. */
const laterThan = (position: Position): Position => position.replaceAll(/\b00/g, '01');

/** `idAt` and `countAfter`, and positions that the log does not have. */
export function positionsContract(store: () => EventStore): void {
  /** A stream of four records, in its order. */
  async function written() {
    const stream = newStream();
    await store().append(stream, notes(4), { expect: 'none' });
    return (await readStream(store(), stream)).records;
  }

  describe('`idAt`', () => {
    it('returns the id of the record at a position', async () => {
      for (const record of await written()) expect(await store().idAt(record.position)).toBe(record.id);
    });

    it('returns `null` for a position after the head', async () => {
      const last = (await written()).at(-1)!;
      const afterHead = laterThan(last.position);
      expect(afterHead > last.position).toBe(true);
      expect(await store().idAt(afterHead)).toBeNull();
    });
  });

  describe('`countAfter`', () => {
    it('returns `null` or an upper bound of the records after a position', async () => {
      for (const record of await written()) {
        const count = await store().countAfter(record.position);
        const { records } = await readToEnd(store(), { from: record.position });
        expect(count ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(records.length);
      }
    });

    it('returns `null` or an upper bound of all records for `null`', async () => {
      await written();
      const { records } = await readToEnd(store());
      expect((await store().countAfter(null)) ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(records.length);
    });

    it('returns `null` or 0 at the head', async () => {
      await written();
      expect([null, 0]).toContain(await store().countAfter(await store().head()));
    });
  });

  describe('`isPosition`', () => {
    it('accepts the positions of records and of the head, also of later ones', async () => {
      const records = await written();
      for (const { position } of records) expect(store().isPosition(position)).toBe(true);
      expect(store().isPosition(laterThan(records.at(-1)!.position))).toBe(true);
    });

    it.each(['', ' ', 'x', '0', '-1', '1e3', '9'.repeat(16), '9'.repeat(20), '١'.repeat(16), 'not a position'])(
      'rejects %j, as `idAt` does',
      async (text) => {
        expect(store().isPosition(text)).toBe(false);
        await expect(store().idAt(text)).rejects.toMatchObject({ name: 'StoreError', code: 'INVALID' });
      },
    );

    it('rejects a position with anything before or after it', async () => {
      const [{ position }] = (await written()) as [StoredRecord];
      for (const text of [`${position}z`, ` ${position}`, `${position}\n`, `${position}0`, position.slice(1)]) {
        expect(store().isPosition(text)).toBe(false);
      }
    });
  });

  describe('a position after the head', () => {
    const invalid = { name: 'StoreError', code: 'INVALID' };

    it.each(['forwards', 'backwards'] as const)('is invalid for a read %s', async (direction) => {
      const from = laterThan((await written()).at(-1)!.position);
      await expect(readAll(store(), { direction, from })).rejects.toMatchObject(invalid);
      const filter = { types: ['NoteTaken'] };
      await expect(readAll(store(), { direction, from, filter })).rejects.toMatchObject(invalid);
    });

    it('is invalid for a subscription, and does not affect other calls', async () => {
      const records = await written();
      const after = laterThan(records.at(-1)!.position);
      const reading = Array.from({ length: 5 }, () => readStream(store(), records[0]!.stream));
      await expect(follow(store(), { after }, () => false)).rejects.toMatchObject(invalid);
      for (const slice of await Promise.all(reading)) expect(slice).toEqual({ records, end: true });
    });
  });

  it('`idAt` rejects foreign positions', async () => {
    await expect(store().idAt('not a position')).rejects.toMatchObject({ name: 'StoreError', code: 'INVALID' });
  });
}
