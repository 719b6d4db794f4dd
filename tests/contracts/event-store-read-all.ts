import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { EventStore, ReadAllOptions } from '../../src/ports/event-store.ts';
import { newCategory, newEvent, newStream, note, notes } from './events.ts';
import { readToEnd } from './following.ts';

/** Reading the whole log, which may be shared: every test looks at its own streams only. */
export function readAllContract(store: () => EventStore): void {
  const readOn = (options: ReadAllOptions) => readToEnd(store(), options);

  /** Two streams of one category, and one of another, written in turns. */
  async function writeInTurns() {
    const category = newCategory();
    const [a, b, other] = [newStream(category), newStream(category), newStream()];
    const before = await store().head();
    for (let n = 0; n < 4; n++) {
      await store().append(a, [note(`a${n}`)], { expect: 'any' });
      await store().append(other, [note(`other${n}`), newEvent('NumberDrawn', { n })], { expect: 'any' });
      await store().append(b, [note(`b${n}`)], { expect: 'any' });
    }
    return { category, streams: [a, b, other], before };
  }

  const textsOf = (events: readonly RecordedEvent[]) => events.map((event) => event.data.text ?? event.data.n);
  const inOrder = ['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3'];

  describe('the whole log', () => {
    it('shows the events of all streams in the order in which they were appended', async () => {
      const { streams, before } = await writeInTurns();
      const { events } = await readOn({ direction: 'forwards', from: before });
      const own = events.filter((event) => streams.includes(event.stream));
      expect(textsOf(own)).toEqual([0, 1, 2, 3].flatMap((n) => [`a${n}`, `other${n}`, n, `b${n}`]));
      const positions = events.map((event) => event.position);
      expect(positions).toEqual([...new Set(positions)].sort());
    });

    it('is the same backwards', async () => {
      const { before } = await writeInTurns();
      const { events: forwards } = await readOn({ direction: 'forwards', from: before });
      const last = forwards.at(-1)!;
      const slice = await store().readAll({ direction: 'backwards', from: last.position, limit: forwards.length - 1 });
      expect(slice.events).toEqual(forwards.slice(0, -1).reverse());
    });

    it('backwards from `null` starts at the end', async () => {
      const { position } = await store().append(newStream(), [note('a')], { expect: 'none' });
      const { events } = await store().readAll({ direction: 'backwards', from: null, limit: 100 });
      expect(events.some((event) => event.position === position)).toBe(true);
    });

    it('forwards from `null` starts at the first event, backwards ends there', async () => {
      await store().append(newStream(), [note('a')], { expect: 'none' });
      const { events } = await store().readAll({ direction: 'forwards', from: null, limit: 1 });
      const first = events[0]!;
      const nothing = await store().readAll({ direction: 'backwards', from: first.position, limit: 10 });
      expect(nothing).toMatchObject({ events: [], end: true });
    });

    it('a position is exclusive in both directions', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const [first, second, third] = (await store().readStream(stream)).events;
      const forwards = await store().readAll({ direction: 'forwards', from: first!.position, limit: 1 });
      const backwards = await store().readAll({ direction: 'backwards', from: third!.position, limit: 1 });
      expect([forwards.events, backwards.events]).toEqual([[second], [second]]);
    });

    it('in slices of any size it is the same', async () => {
      const { category, before } = await writeInTurns();
      for (const limit of [1, 2, 3, 5, 100]) {
        const { events } = await readOn({
          direction: 'forwards',
          from: before,
          filter: { categories: [category] },
          limit,
        });
        expect(textsOf(events)).toEqual(inOrder);
      }
    });

    it('a slice never has more events than asked for', async () => {
      const { before } = await writeInTurns();
      const { events } = await store().readAll({ direction: 'forwards', from: before, limit: 3 });
      expect(events).toHaveLength(3);
    });

    it('what comes later is behind the `next` of the end', async () => {
      const category = newCategory();
      const filter = { categories: [category] };
      await store().append(newStream(category), notes(3), { expect: 'none' });
      const { next } = await readOn({ direction: 'forwards', from: null, filter });
      await store().append(newStream(category), [note('later')], { expect: 'none' });
      const { events } = await readOn({ direction: 'forwards', from: next, filter });
      expect(textsOf(events)).toEqual(['later']);
    });
  });

  describe('with a filter', () => {
    it('of categories: only events of their streams', async () => {
      const { category, streams, before } = await writeInTurns();
      const { events } = await readOn({ direction: 'forwards', from: before, filter: { categories: [category] } });
      expect(textsOf(events)).toEqual(inOrder);
      const [, , other] = streams;
      const both = await readOn({
        direction: 'forwards',
        from: before,
        filter: { categories: [category, other!.slice(0, other!.indexOf('-'))] },
      });
      expect(both.events).toHaveLength(16);
    });

    it('of categories, backwards', async () => {
      const { category } = await writeInTurns();
      const { events } = await readOn({
        direction: 'backwards',
        from: null,
        filter: { categories: [category] },
        limit: 3,
      });
      expect(textsOf(events)).toEqual(inOrder.toReversed());
    });

    it('of categories: not those whose names only start so', async () => {
      const category = newCategory();
      await store().append(`${category}-1`, [note('in it')], { expect: 'none' });
      await store().append(`${category}x-1`, [note('not in it')], { expect: 'none' });
      await store().append(`x${category}-1`, [note('not in it')], { expect: 'none' });
      const { events } = await readOn({ direction: 'forwards', from: null, filter: { categories: [category] } });
      expect(textsOf(events)).toEqual(['in it']);
    });

    it('of types: only these, and not those whose names only start so', async () => {
      const stream = newStream();
      const before = await store().head();
      const types = ['NoteTaken', 'NumberDrawn', 'NoteTakenBack', 'NoteTaken', 'NumberDrawn'];
      const events = types.map((type) => newEvent(type, { text: type, n: 1 }));
      await store().append(stream, events, { expect: 'none' });
      const typesOf = async (wanted: string[]) => {
        const read = await readOn({ direction: 'forwards', from: before, filter: { types: wanted } });
        return read.events.filter((event) => event.stream === stream).map((event) => event.type);
      };
      expect(await typesOf(['NoteTaken'])).toEqual(['NoteTaken', 'NoteTaken']);
      expect(await typesOf(['NumberDrawn', 'NoteTakenBack'])).toEqual(['NumberDrawn', 'NoteTakenBack', 'NumberDrawn']);
    });

    it('that nothing fits: empty to the end', async () => {
      const { before } = await writeInTurns();
      for (const filter of [{ categories: [newCategory()] }, { types: ['NeverHeardOf'] }]) {
        const { events } = await readOn({ direction: 'forwards', from: before, filter });
        expect(events).toEqual([]);
      }
    });
  });

  it.each([{ limit: 0 }, { limit: 4_097 }, { from: 'not a position' }])('%o is invalid', async (options) => {
    await expect(store().readAll({ direction: 'forwards', from: null, ...options })).rejects.toMatchObject({
      code: 'INVALID',
    });
  });
}
