import { describe, expect, it } from 'vitest';
import type { EventStore, StoredRecord, SubscriptionBatch } from '../../src/ports/event-store.ts';
import { dataOf, newCategory, newRecord, newStream, note, notes, textsOf, withSource } from './events.ts';
import { DEADLINE_MS, follow, readStream, subscribe, until, untilCaughtUp } from './following.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, n) => `note ${n}`);

/** Catch-up subscriptions: past records, then live, without gaps and duplicates. */
export function subscribeContract(store: () => EventStore): void {
  /** A category with one stream of `count` notes, and the options to follow only this category. */
  async function written(count: number) {
    const category = newCategory();
    const stream = newStream(category);
    const after = await store().head();
    if (count > 0) await store().append(stream, notes(count), { expect: 'none' });
    return { stream, category, options: { after, filter: { categories: [category] } } };
  }

  describe('catching up', () => {
    it('delivers all records when it starts after `null`', async () => {
      const { options } = await written(30);
      const { records } = await follow(store(), { ...options, after: null }, until(30));
      expect(textsOf(records)).toEqual(numbers(30));
    });

    it('delivers the records after a position', async () => {
      const { stream, options } = await written(10);
      const fourth = (await readStream(store(), stream)).records[3]!;
      const { records } = await follow(store(), { ...options, after: fourth.position }, until(6));
      expect(textsOf(records)).toEqual(numbers(10).slice(4));
    });

    it('sets `caughtUp` once all past records were delivered', async () => {
      const { options } = await written(30);
      const { records, batches } = await follow(store(), { ...options, batchSize: 7 }, untilCaughtUp);
      expect(textsOf(records)).toEqual(numbers(30));
      expect(batches.slice(0, -1).some((batch) => batch.caughtUp)).toBe(false);
    });

    it('sets `caughtUp` also when no record matches', async () => {
      const { options } = await written(0);
      expect((await follow(store(), options, untilCaughtUp)).records).toEqual([]);
    });

    it('delivers the same records as a read', async () => {
      const { stream, options } = await written(5);
      const { records } = await follow(store(), options, until(5));
      expect(records).toEqual((await readStream(store(), stream)).records);
    });
  });

  describe('live', () => {
    it('delivers a record that is appended after `caughtUp` as a read returns it', async () => {
      const { stream, options } = await written(2);
      let appended: Promise<unknown> | undefined;
      const { records } = await follow(store(), options, (seen) => {
        if (untilCaughtUp(seen)) appended ??= store().append(stream, [note('live')], { expect: 1n });
        return seen.records.length >= 3;
      });
      await appended;
      expect(records).toEqual((await readStream(store(), stream)).records);
    });

    it.each([1, 7, 512])(
      'delivers each record of concurrent appends once and in order, in batches of %i',
      async (batchSize) => {
        const { category, options } = await written(40);
        const streams = Array.from({ length: 5 }, () => newStream(category));
        const writers = Promise.all(
          streams.map(async (stream) => {
            for (let n = 0; n < 25; n++) await store().append(stream, [note(`${n}`), note(`${n}b`)], { expect: 'any' });
          }),
        );
        const [{ records }] = await Promise.all([follow(store(), { ...options, batchSize }, until(40 + 250)), writers]);
        const positions = records.map((record) => record.position);
        expect(positions).toEqual([...new Set(positions)].sort());
        for (const stream of streams) {
          const own = records.filter((record) => record.stream === stream).map((record) => Number(record.revision));
          expect(own).toEqual(Array.from({ length: 50 }, (_, n) => n));
        }
      },
    );

    it('has at most `batchSize` records in a batch', async () => {
      const { stream, options } = await written(10);
      let appended: Promise<unknown> | undefined;
      const { batches } = await follow(store(), { ...options, batchSize: 4 }, (seen) => {
        if (untilCaughtUp(seen)) appended ??= store().append(stream, notes(30), { expect: 9n });
        return seen.records.length >= 40;
      });
      await appended;
      expect(Math.max(...batches.map((batch) => batch.records.length))).toBeLessThanOrEqual(4);
    });

    it('delivers all records to a slow consumer', async () => {
      const { stream, options } = await written(0);
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const batches = subscribe(store(), { ...options, batchSize: 5, signal })[Symbol.asyncIterator]();
      let first = await batches.next();
      while (!first.done && !first.value.caughtUp) first = await batches.next();
      // Far more than is read ahead, while no batch is requested.
      for (let n = 0; n < 30; n++) await store().append(stream, notes(10, `turn ${n}, note`), { expect: 'any' });
      const records: StoredRecord[] = [];
      while (records.length < 300) {
        const batch = await batches.next();
        if (batch.done) throw new Error('the subscription ended');
        records.push(...batch.value.records);
      }
      await batches.return?.();
      expect(records.map((record) => Number(record.revision))).toEqual(Array.from({ length: 300 }, (_, n) => n));
    });

    it('is independent of other subscriptions, and has its own filter', async () => {
      const { stream, options } = await written(3);
      const all = follow(store(), options, until(9));
      const drawn = follow(store(), { after: options.after, filter: { types: ['NumberDrawn'] } }, (seen) =>
        seen.records.some((record) => record.stream === stream && dataOf(record).n === 3),
      );
      for (const n of [1, 2, 3]) {
        await store().append(stream, [note(`note ${n}`), newRecord('NumberDrawn', { n })], { expect: 'any' });
      }
      expect((await all).records.map((record) => Number(record.revision))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      const own = (await drawn).records.filter((record) => record.stream === stream);
      expect(own.map((record) => dataOf(record).n)).toEqual([1, 2, 3]);
      expect(new Set((await drawn).records.map((record) => record.type))).toEqual(new Set(['NumberDrawn']));
    });

    it('does not deliver records of a category with a longer name that starts with that of the filter', async () => {
      const { category, stream, options } = await written(0);
      let appended: Promise<unknown> | undefined;
      const appendAll = async () => {
        await store().append(`${category}x-1`, [note('does not match')], { expect: 'none' });
        await store().append(stream, [note('matches')], { expect: 'none' });
      };
      const { records } = await follow(store(), options, (seen) => {
        if (untilCaughtUp(seen)) appended ??= appendAll();
        return seen.records.length > 0;
      });
      await appended;
      expect(textsOf(records)).toEqual(['matches']);
    });

    it('delivers all records without a filter', async () => {
      const after = await store().head();
      const streams = [newStream(), newStream(), newStream()];
      const isOwn = (record: StoredRecord) => streams.includes(record.stream);
      const following = follow(store(), { after }, (seen) => seen.records.filter(isOwn).length >= 30);
      await Promise.all(streams.map((stream) => store().append(stream, notes(10), { expect: 'none' })));
      const { records } = await following;
      for (const stream of streams) {
        expect(textsOf(records.filter((record) => record.stream === stream))).toEqual(numbers(10));
      }
    });
  });

  it('a delivered record has either no `source` or exactly the object that it was appended with', async () => {
    const { stream, options } = await written(1);
    const appended = notes(20).map((record, n) => (n % 2 === 0 ? withSource(record) : record));
    const sources = new Map(appended.map((record) => [record.id, record.source]));
    await store().append(stream, appended.slice(0, 10), { expect: 0n });
    let appending: Promise<unknown> | undefined;
    const { records } = await follow(store(), options, (seen) => {
      if (untilCaughtUp(seen)) appending ??= store().append(stream, appended.slice(10), { expect: 10n });
      return seen.records.length >= 21;
    });
    await appending;
    expect(records).toHaveLength(21);
    for (const { id, source } of records) if (source !== undefined) expect(source).toBe(sources.get(id));
    expect(records.map(({ source: _, ...record }) => record)).toEqual((await readStream(store(), stream)).records);
  });

  describe('checkpoints', () => {
    it('the position of a batch is at or after its records, and never decreases', async () => {
      const { options } = await written(50);
      const { batches } = await follow(store(), { ...options, batchSize: 8 }, untilCaughtUp);
      let before = '';
      for (const { position, records } of batches) {
        for (const record of records) {
          expect(record.position > before).toBe(true);
          before = record.position;
        }
        expect(position !== null && position >= before).toBe(true);
        before = position ?? '';
      }
    });

    it('a subscription can resume at the position of any batch, without gaps and duplicates', async () => {
      const { category, options } = await written(20);
      const other = newStream();
      for (let n = 0; n < 10; n++) {
        await store().append(other, notes(3), { expect: 'any' });
        await store().append(newStream(category), [note(`note ${20 + n}`)], { expect: 'none' });
      }
      const { batches } = await follow(store(), { ...options, batchSize: 6 }, until(30));
      let delivered = 0;
      for (const { records, position } of batches) {
        delivered += records.length;
        if (delivered === 30) break;
        const rest = await follow(store(), { ...options, after: position }, until(30 - delivered));
        expect(textsOf(rest.records)).toEqual(numbers(30).slice(delivered));
      }
      expect(delivered).toBe(30);
    });
  });

  describe('the end of a subscription', () => {
    it('is without error when the signal is aborted while it waits', async () => {
      const { options } = await written(3);
      const abort = new AbortController();
      let delivered = 0;
      for await (const batch of subscribe(store(), { ...options, signal: abort.signal })) {
        delivered += batch.records.length;
        // After this turn the subscription is waiting.
        if (batch.caughtUp) setImmediate(() => abort.abort());
      }
      expect(delivered).toBe(3);
    });

    it('is without error when the signal was aborted before the start', async () => {
      const { options } = await written(3);
      const batches: SubscriptionBatch[] = [];
      for await (const batch of subscribe(store(), { ...options, signal: AbortSignal.abort() })) batches.push(batch);
      expect(batches).toEqual([]);
    });

    it('is immediate when the signal is aborted', async () => {
      const { options } = await written(30);
      const abort = new AbortController();
      let delivered = 0;
      for await (const batch of subscribe(store(), { ...options, batchSize: 5, signal: abort.signal })) {
        delivered += batch.records.length;
        if (delivered >= 10) abort.abort();
      }
      expect(delivered).toBe(10);
    });

    it('follows when the consumer leaves the loop, and does not affect others', async () => {
      const { stream, options } = await written(10);
      for await (const batch of subscribe(store(), { ...options, batchSize: 2 })) {
        if (batch.records.length > 0) break;
      }
      await store().append(stream, [note('note 10')], { expect: 9n });
      const { records } = await follow(store(), options, until(11));
      expect(textsOf(records)).toEqual(numbers(11));
    });
  });

  it('a foreign position is invalid', async () => {
    const following = follow(store(), { after: 'not a position' }, () => true);
    await expect(following).rejects.toMatchObject({ name: 'StoreError', code: 'INVALID' });
  });
}
