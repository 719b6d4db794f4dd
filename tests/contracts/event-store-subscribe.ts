import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { EventStore, SubscriptionBatch } from '../../src/ports/event-store.ts';
import { asOlderProgram, newCategory, newEvent, newStream, note, notes } from './events.ts';
import { DEADLINE_MS, follow, until, untilCaughtUp } from './following.ts';

const textsOf = (events: readonly RecordedEvent[]) => events.map((event) => event.data.text);
const numbers = (count: number) => Array.from({ length: count }, (_, n) => `note ${n}`);

/** Catch-up subscriptions: the past, then live, without gap and without double. */
export function subscribeContract(store: () => EventStore): void {
  /** A category with one stream of so many notes, and the options to follow just it. */
  async function written(count: number) {
    const category = newCategory();
    const stream = newStream(category);
    const after = await store().head();
    if (count > 0) await store().append(stream, notes(count), { expect: 'none' });
    return { stream, category, options: { after, filter: { categories: [category] } } };
  }

  describe('catching up', () => {
    it('from `null`: everything from the first event on', async () => {
      const { options } = await written(30);
      const { events } = await follow(store(), { ...options, after: null }, until(30));
      expect(textsOf(events)).toEqual(numbers(30));
    });

    it('from a position: what is behind it', async () => {
      const { stream, options } = await written(10);
      const fourth = (await store().readStream(stream)).events[3]!;
      const { events } = await follow(store(), { ...options, after: fourth.position }, until(6));
      expect(textsOf(events)).toEqual(numbers(10).slice(4));
    });

    it('the mark comes once everything of the past was delivered', async () => {
      const { options } = await written(30);
      const { events, batches } = await follow(store(), { ...options, batchSize: 7 }, untilCaughtUp);
      expect(textsOf(events)).toEqual(numbers(30));
      expect(batches.slice(0, -1).some((batch) => batch.caughtUp)).toBe(false);
    });

    it('the mark comes also when nothing fits', async () => {
      const { options } = await written(0);
      expect((await follow(store(), options, untilCaughtUp)).events).toEqual([]);
    });

    it('events are those that a read gives', async () => {
      const { stream, options } = await written(5);
      const { events } = await follow(store(), options, until(5));
      expect(events).toEqual((await store().readStream(stream)).events);
    });

    it('data of an older version is brought up to date', async () => {
      const { stream, options } = await written(0);
      const old = newEvent('AddressGiven', { line: 'Main Street 1, Springfield' });
      await asOlderProgram(() => store().append(stream, [old], { expect: 'none' }));
      const { events } = await follow(store(), options, until(1));
      expect(events).toMatchObject([
        { data: { street: 'Main Street 1', city: 'Springfield', country: 'unknown' }, schemaVersion: 3 },
      ]);
    });
  });

  describe('live', () => {
    it('an event appended after the mark is delivered, as a read gives it', async () => {
      const { stream, options } = await written(2);
      let appended: Promise<unknown> | undefined;
      const { events } = await follow(store(), options, (seen) => {
        if (untilCaughtUp(seen)) appended ??= store().append(stream, [note('live')], { expect: 1n });
        return seen.events.length >= 3;
      });
      await appended;
      expect(events).toEqual((await store().readStream(stream)).events);
    });

    it.each([1, 7, 512])(
      'while many append at once, batches of %i bring each event once, in order',
      async (batchSize) => {
        const { category, options } = await written(40);
        const streams = Array.from({ length: 5 }, () => newStream(category));
        const writers = Promise.all(
          streams.map(async (stream) => {
            for (let n = 0; n < 25; n++) await store().append(stream, [note(`${n}`), note(`${n}b`)], { expect: 'any' });
          }),
        );
        const [{ events }] = await Promise.all([follow(store(), { ...options, batchSize }, until(40 + 250)), writers]);
        const positions = events.map((event) => event.position);
        expect(positions).toEqual([...new Set(positions)].sort());
        for (const stream of streams) {
          const own = events.filter((event) => event.stream === stream).map((event) => Number(event.revision));
          expect(own).toEqual(Array.from({ length: 50 }, (_, n) => n));
        }
      },
    );

    it('a batch never has more events than its size', async () => {
      const { stream, options } = await written(10);
      let appended: Promise<unknown> | undefined;
      const { batches } = await follow(store(), { ...options, batchSize: 4 }, (seen) => {
        if (untilCaughtUp(seen)) appended ??= store().append(stream, notes(30), { expect: 9n });
        return seen.events.length >= 40;
      });
      await appended;
      expect(Math.max(...batches.map((batch) => batch.events.length))).toBeLessThanOrEqual(4);
    });

    it('a slow consumer misses nothing', async () => {
      const { stream, options } = await written(0);
      const batches = store()
        .subscribe({ ...options, batchSize: 5, signal: AbortSignal.timeout(DEADLINE_MS) })
        [Symbol.asyncIterator]();
      let mark = await batches.next();
      while (!mark.done && !mark.value.caughtUp) mark = await batches.next();
      // Far more than is read ahead, while nobody asks for it.
      for (let n = 0; n < 30; n++) await store().append(stream, notes(10, `turn ${n}, note`), { expect: 'any' });
      const events: RecordedEvent[] = [];
      while (events.length < 300) {
        const batch = await batches.next();
        if (batch.done) throw new Error('the subscription has ended');
        events.push(...batch.value.events);
      }
      await batches.return?.();
      expect(events.map((event) => Number(event.revision))).toEqual(Array.from({ length: 300 }, (_, n) => n));
    });

    it('two subscriptions go on by themselves, each with its own filter', async () => {
      const { stream, options } = await written(3);
      const all = follow(store(), options, until(9));
      const drawn = follow(store(), { after: options.after, filter: { types: ['NumberDrawn'] } }, (seen) =>
        seen.events.some((event) => event.stream === stream && event.data.n === 3),
      );
      for (const n of [1, 2, 3]) {
        await store().append(stream, [note(`note ${n}`), newEvent('NumberDrawn', { n })], { expect: 'any' });
      }
      expect((await all).events.map((event) => Number(event.revision))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      const own = (await drawn).events.filter((event) => event.stream === stream);
      expect(own.map((event) => event.data.n)).toEqual([1, 2, 3]);
      expect(new Set((await drawn).events.map((event) => event.type))).toEqual(new Set(['NumberDrawn']));
    });

    it('a filter of categories leaves out those whose names only start so', async () => {
      const { category, stream, options } = await written(0);
      let appended: Promise<unknown> | undefined;
      const appendAll = async () => {
        await store().append(`${category}x-1`, [note('not in it')], { expect: 'none' });
        await store().append(stream, [note('in it')], { expect: 'none' });
      };
      const { events } = await follow(store(), options, (seen) => {
        if (untilCaughtUp(seen)) appended ??= appendAll();
        return seen.events.length > 0;
      });
      await appended;
      expect(textsOf(events)).toEqual(['in it']);
    });

    it('without a filter every event is delivered', async () => {
      const after = await store().head();
      const streams = [newStream(), newStream(), newStream()];
      const isOwn = (event: RecordedEvent) => streams.includes(event.stream);
      const following = follow(store(), { after }, (seen) => seen.events.filter(isOwn).length >= 30);
      await Promise.all(streams.map((stream) => store().append(stream, notes(10), { expect: 'none' })));
      const { events } = await following;
      for (const stream of streams) {
        expect(textsOf(events.filter((event) => event.stream === stream))).toEqual(numbers(10));
      }
    });
  });

  describe('checkpoints', () => {
    it('the position of a batch is at or behind its events, and never goes back', async () => {
      const { options } = await written(50);
      const { batches } = await follow(store(), { ...options, batchSize: 8 }, untilCaughtUp);
      let before = '';
      for (const { position, events } of batches) {
        for (const event of events) {
          expect(event.position > before).toBe(true);
          before = event.position;
        }
        expect(position !== null && position >= before).toBe(true);
        before = position ?? '';
      }
    });

    it('from the position of any batch the rest follows, without gap and without double', async () => {
      const { category, options } = await written(20);
      const other = newStream();
      for (let n = 0; n < 10; n++) {
        await store().append(other, notes(3), { expect: 'any' });
        await store().append(newStream(category), [note(`note ${20 + n}`)], { expect: 'none' });
      }
      const { batches } = await follow(store(), { ...options, batchSize: 6 }, until(30));
      let delivered = 0;
      for (const { events, position } of batches) {
        delivered += events.length;
        if (delivered === 30) break;
        const rest = await follow(store(), { ...options, after: position }, until(30 - delivered));
        expect(textsOf(rest.events)).toEqual(numbers(30).slice(delivered));
      }
      expect(delivered).toBe(30);
    });
  });

  describe('its end', () => {
    it('is quiet when the signal is aborted while it waits', async () => {
      const { options } = await written(3);
      const abort = new AbortController();
      let delivered = 0;
      for await (const batch of store().subscribe({ ...options, signal: abort.signal })) {
        delivered += batch.events.length;
        // Behind this turn the subscription waits for what is not coming.
        if (batch.caughtUp) setImmediate(() => abort.abort());
      }
      expect(delivered).toBe(3);
    });

    it('is quiet when the signal was aborted before it began', async () => {
      const { options } = await written(3);
      const batches: SubscriptionBatch[] = [];
      for await (const batch of store().subscribe({ ...options, signal: AbortSignal.abort() })) batches.push(batch);
      expect(batches).toEqual([]);
    });

    it('nothing more is delivered once the signal is aborted', async () => {
      const { options } = await written(30);
      const abort = new AbortController();
      let delivered = 0;
      for await (const batch of store().subscribe({ ...options, batchSize: 5, signal: abort.signal })) {
        delivered += batch.events.length;
        if (delivered >= 10) abort.abort();
      }
      expect(delivered).toBe(10);
    });

    it('comes when the consumer leaves the loop, and harms nobody', async () => {
      const { stream, options } = await written(10);
      for await (const batch of store().subscribe({ ...options, batchSize: 2 })) {
        if (batch.events.length > 0) break;
      }
      await store().append(stream, [note('note 10')], { expect: 9n });
      const { events } = await follow(store(), options, until(11));
      expect(textsOf(events)).toEqual(numbers(11));
    });
  });

  it.each([{ batchSize: 0 }, { batchSize: 4_097 }, { after: 'not a position' }])('%o is invalid', async (options) => {
    const following = follow(store(), { after: null, ...options }, () => true);
    await expect(following).rejects.toMatchObject({ code: 'INVALID' });
  });
}
