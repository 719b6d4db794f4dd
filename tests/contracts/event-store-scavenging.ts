import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { categoryOf } from '../../src/kernel/event.ts';
import type { Position } from '../../src/kernel/position.ts';
import type { EventFilter, EventStore, Retention, StoredRecord } from '../../src/ports/event-store.ts';
import type { OpenedEventStore } from './event-store.ts';
import { newCategory, newStream, note, notes } from './events.ts';
import { follow, readAll, readStream, readToEnd, untilCaughtUp } from './following.ts';

const STREAMS = 3;
/** Records that a stream has at least, so that every retention below removes some. */
const LEAST = 5;

/** What each stream may forget, and which streams are appended to, one after the other. */
type Script = Readonly<{ retentions: readonly Retention[]; order: readonly number[] }>;

const retention: fc.Arbitrary<Retention> = fc.oneof(
  fc.integer({ min: 1, max: LEAST }).map((revision) => ({ truncateBefore: BigInt(revision) })),
  fc.integer({ min: 1, max: LEAST - 1 }).map((maxCount) => ({ maxCount })),
);
const script: fc.Arbitrary<Script> = fc.record({
  retentions: fc.tuple(retention, fc.oneof(retention, fc.constant({})), fc.oneof(retention, fc.constant({}))),
  order: fc.array(fc.nat({ max: STREAMS - 1 }), { maxLength: 5 }).chain((more) =>
    fc.shuffledSubarray([...Array.from({ length: LEAST * STREAMS }, (_, n) => n % STREAMS), ...more], {
      minLength: LEAST * STREAMS + more.length,
    }),
  ),
});

/** What reads and subscriptions return once records are gone from the log. */
export function scavengingContract(opened: () => OpenedEventStore): void {
  const store = (): EventStore => opened().store;

  describe('after scavenging', () => {
    it('from every former position, reads and subscriptions return exactly what is left', {
      timeout: 120_000,
    }, async () => {
      await fc.assert(
        fc.asyncProperty(script, async (drawn) => {
          const { former, filter } = await written(store(), drawn);
          await opened().scavenge();
          const left = await remaining(store(), former);
          expect(left.length).toBeLessThan(former.length);
          for (const { position } of former) await expectLeft(store(), { position, left, filter });
        }),
        { numRuns: 2 },
      );
    });

    it('from every former revision, a stream returns exactly what is visible, and goes on', async () => {
      const stream = newStream();
      await store().append(stream, notes(10), { expect: 'none' });
      await store().setRetention(stream, { truncateBefore: 6n });
      const { records: visible } = await readStream(store(), stream);
      await opened().scavenge();
      const { revision } = await store().append(stream, [note('next')], { expect: 9n });
      expect(revision).toBe(10n);
      const [next] = (await readStream(store(), stream, { from: 10n })).records;
      const left = [...visible, next];
      for (let from = 0n; from <= 10n; from++) {
        const forwards = await readStream(store(), stream, { from });
        expect(forwards).toEqual({ records: left.filter((record) => record!.revision >= from), end: true });
        const backwards = await readStream(store(), stream, { from, direction: 'backwards' });
        const expected = left.filter((record) => record!.revision <= from).reverse();
        expect(backwards).toEqual({ records: expected, end: true });
      }
    });

    it('a subscription that was waiting meanwhile delivers what is appended next', async () => {
      const category = newCategory();
      const stream = newStream(category);
      await store().append(stream, notes(10), { expect: 'none' });
      await store().setRetention(stream, { maxCount: 1 });
      const after = await store().head();
      let appended: Promise<unknown> | undefined;
      const appendNext = async () => {
        await opened().scavenge();
        await store().append(stream, notes(2, 'next'), { expect: 9n });
      };
      const { records } = await follow(store(), { after, filter: { categories: [category] } }, (seen) => {
        if (untilCaughtUp(seen)) appended ??= appendNext();
        return seen.records.length >= 2;
      });
      await appended;
      expect(records.map(({ revision }) => revision)).toEqual([10n, 11n]);
    });
  });
}

/** Streams written in the order of a script, with the retention that is set in the middle. */
async function written(store: EventStore, { retentions, order }: Script) {
  const category = newCategory();
  const filter: EventFilter = { categories: [category] };
  const streams = retentions.map(() => newStream(category));
  const before = await store.head();
  // A record that stays, before all others.
  await store.append(newStream(category), [note('first')], { expect: 'none' });
  const half = order.length / 2;
  for (const [n, stream] of order.entries()) {
    await store.append(streams[stream]!, [note(`${n}`)], { expect: 'any' });
    // The store may write records of its own for it.
    if (n === Math.floor(half)) {
      for (const [m, each] of retentions.entries()) await store.setRetention(streams[m]!, each);
    }
  }
  const { records: former } = await readToEnd(store, { from: before, filter });
  expect(former).toHaveLength(1 + order.length);
  return { former, filter };
}

/** The records that are still in the log; all that are visible in their streams must be. */
async function remaining(store: EventStore, former: readonly StoredRecord[]): Promise<StoredRecord[]> {
  const ids = await Promise.all(former.map(({ position }) => store.idAt(position)));
  const left = former.filter(({ id }, n) => {
    expect([id, null]).toContain(ids[n]);
    return ids[n] === id;
  });
  for (const stream of new Set(former.map((record) => record.stream))) {
    const { records } = await readStream(store, stream);
    expect(left.filter((record) => record.stream === stream)).toEqual(expect.arrayContaining([...records]));
  }
  return left;
}

type Expected = Readonly<{ position: Position; left: readonly StoredRecord[]; filter: EventFilter }>;

async function expectLeft(store: EventStore, { position, left, filter }: Expected): Promise<void> {
  const after = left.filter((record) => record.position > position);
  const { records: forwards } = await readToEnd(store, { from: position, filter });
  expect(forwards).toEqual(after);
  const earlier = left.filter((record) => record.position < position).reverse();
  const category = categoryOf(left[0]!.stream);
  const backwards: StoredRecord[] = [];
  // Asking for more would read back to the start of the log. A filter would, too, in steps of its own.
  for (let from: Position | null = position; backwards.length < earlier.length; ) {
    const slice = await readAll(store, { direction: 'backwards', from, limit: earlier.length - backwards.length });
    backwards.push(...slice.records.filter(({ stream }) => categoryOf(stream) === category));
    if (slice.end) break;
    from = slice.next;
  }
  expect(backwards).toEqual(earlier);
  const { records: followed } = await follow(store, { after: position, filter }, untilCaughtUp);
  expect(followed.map(({ source: _, ...record }) => record)).toEqual(after);
}
