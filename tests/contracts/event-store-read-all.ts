import { describe, expect, it } from 'vitest';
import type { EventStore, ReadAllOptions, StoredRecord } from '../../src/ports/event-store.ts';
import { dataOf, newCategory, newRecord, newStream, note, notes } from './events.ts';
import { readAll, readSome, readStream, readToEnd } from './following.ts';

/** Reads of the whole log, which may be shared: every test examines only its own streams. */
export function readAllContract(store: () => EventStore): void {
  const toEnd = (options: Partial<ReadAllOptions>) => readToEnd(store(), options);

  /** Two streams of one category, and one of another, written alternately. */
  async function writeAlternately() {
    const category = newCategory();
    const [a, b, other] = [newStream(category), newStream(category), newStream()];
    const before = await store().head();
    for (let n = 0; n < 4; n++) {
      await store().append(a, [note(`a${n}`)], { expect: 'any' });
      await store().append(other, [note(`other${n}`), newRecord('NumberDrawn', { n })], { expect: 'any' });
      await store().append(b, [note(`b${n}`)], { expect: 'any' });
    }
    return { category, streams: [a, b, other], before };
  }

  const contentsOf = (records: readonly StoredRecord[]) =>
    records.map((record) => dataOf(record).text ?? dataOf(record).n);
  const inOrder = ['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3'];

  describe('the whole log', () => {
    it('returns the records of all streams in the order in which they were appended', async () => {
      const { streams, before } = await writeAlternately();
      const { records } = await toEnd({ direction: 'forwards', from: before });
      const own = records.filter((record) => streams.includes(record.stream));
      expect(contentsOf(own)).toEqual([0, 1, 2, 3].flatMap((n) => [`a${n}`, `other${n}`, n, `b${n}`]));
      const positions = records.map((record) => record.position);
      expect(positions).toEqual([...new Set(positions)].sort());
    });

    it('has the reverse order backwards', async () => {
      const { before } = await writeAlternately();
      const { records: forwards } = await toEnd({ direction: 'forwards', from: before });
      const last = forwards.at(-1)!;
      const earlier = forwards.slice(0, -1);
      const backwards = await readSome(store(), earlier.length, { direction: 'backwards', from: last.position });
      expect(backwards).toEqual(earlier.reverse());
    });

    it('a read backwards from `null` starts at the end', async () => {
      const before = await store().head();
      const { position } = await store().append(newStream(), [note('a')], { expect: 'none' });
      // Others may have appended meanwhile.
      const { records: since } = await toEnd({ from: before });
      const records = await readSome(store(), since.length, { direction: 'backwards', from: null });
      expect(records.some((record) => record.position === position)).toBe(true);
    });

    it('a read forwards from `null` starts at the first record, a read backwards ends there', async () => {
      await store().append(newStream(), [note('a')], { expect: 'none' });
      const [first] = (await readSome(store(), 1)) as [StoredRecord];
      const { records } = await toEnd({ direction: 'backwards', from: first.position, limit: 10 });
      expect(records).toEqual([]);
    });

    it('`from` is exclusive in both directions', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const [first, second, third] = (await readStream(store(), stream)).records;
      const forwards = await readSome(store(), 1, { direction: 'forwards', from: first!.position });
      const backwards = await readSome(store(), 1, { direction: 'backwards', from: third!.position });
      expect([forwards, backwards]).toEqual([[second], [second]]);
    });

    it('slices of every size return the same records', async () => {
      const { category, before } = await writeAlternately();
      for (const limit of [1, 2, 3, 5, 100]) {
        const { records } = await toEnd({
          direction: 'forwards',
          from: before,
          filter: { categories: [category] },
          limit,
        });
        expect(contentsOf(records)).toEqual(inOrder);
      }
    });

    it('a slice has at most `limit` records', async () => {
      const { before } = await writeAlternately();
      const { records } = await toEnd({ direction: 'forwards', from: before });
      const sizes: number[] = [];
      for (let [from, count] = [before, 0]; count < 16; ) {
        const slice = await readAll(store(), { direction: 'forwards', from, limit: 3 });
        expect(slice.records).toEqual(records.slice(count, count + slice.records.length));
        sizes.push(slice.records.length);
        count += slice.records.length;
        from = slice.next;
      }
      expect(Math.max(...sizes)).toBe(3);
    });

    it('records that are appended later are after the `next` of the end', async () => {
      const category = newCategory();
      const filter = { categories: [category] };
      await store().append(newStream(category), notes(3), { expect: 'none' });
      const { next } = await toEnd({ direction: 'forwards', from: null, filter });
      await store().append(newStream(category), [note('later')], { expect: 'none' });
      const { records } = await toEnd({ direction: 'forwards', from: next, filter });
      expect(contentsOf(records)).toEqual(['later']);
    });
  });

  describe('with a filter', () => {
    it('a filter of categories returns only records of their streams', async () => {
      const { category, streams, before } = await writeAlternately();
      const { records } = await toEnd({ direction: 'forwards', from: before, filter: { categories: [category] } });
      expect(contentsOf(records)).toEqual(inOrder);
      const [, , other] = streams;
      const both = await toEnd({
        direction: 'forwards',
        from: before,
        filter: { categories: [category, other!.slice(0, other!.indexOf('-'))] },
      });
      expect(both.records).toHaveLength(16);
    });

    it('a filter of categories works backwards', async () => {
      const { category } = await writeAlternately();
      const { records } = await toEnd({
        direction: 'backwards',
        from: null,
        filter: { categories: [category] },
        limit: 3,
      });
      expect(contentsOf(records)).toEqual(inOrder.toReversed());
    });

    it('a filter of categories does not match longer names that start or end with it', async () => {
      const category = newCategory();
      await store().append(`${category}-1`, [note('matches')], { expect: 'none' });
      await store().append(`${category}x-1`, [note('does not match')], { expect: 'none' });
      await store().append(`x${category}-1`, [note('does not match')], { expect: 'none' });
      const { records } = await toEnd({ direction: 'forwards', from: null, filter: { categories: [category] } });
      expect(contentsOf(records)).toEqual(['matches']);
    });

    it('a filter of types returns only these, and not types with longer names that start with one of them', async () => {
      const stream = newStream();
      const before = await store().head();
      const types = ['NoteTaken', 'NumberDrawn', 'NoteTakenBack', 'NoteTaken', 'NumberDrawn'];
      const appended = types.map((type) => newRecord(type, { text: type, n: 1 }));
      await store().append(stream, appended, { expect: 'none' });
      const typesOf = async (wanted: string[]) => {
        const read = await toEnd({ direction: 'forwards', from: before, filter: { types: wanted } });
        return read.records.filter((record) => record.stream === stream).map((record) => record.type);
      };
      expect(await typesOf(['NoteTaken'])).toEqual(['NoteTaken', 'NoteTaken']);
      expect(await typesOf(['NumberDrawn', 'NoteTakenBack'])).toEqual(['NumberDrawn', 'NoteTakenBack', 'NumberDrawn']);
    });

    it('a filter without matches returns nothing up to the end', async () => {
      const { before } = await writeAlternately();
      for (const filter of [{ categories: [newCategory()] }, { types: ['NeverAppended'] }]) {
        const { records } = await toEnd({ direction: 'forwards', from: before, filter });
        expect(records).toEqual([]);
      }
    });
  });

  it.each(['forwards', 'backwards'] as const)('a foreign position is invalid %s', async (direction) => {
    await expect(readAll(store(), { direction, from: 'not a position' })).rejects.toMatchObject({
      name: 'StoreError',
      code: 'INVALID',
    });
  });
}
