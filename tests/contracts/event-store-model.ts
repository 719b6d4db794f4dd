import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { Appended, EventStore, ExpectedRevision } from '../../src/ports/event-store.ts';
import { newCategory, newStream, notes } from './events.ts';
import { readToEnd } from './following.ts';

/** One append of a round; rounds are done one after the other, the appends of a round at once. */
type Step = Readonly<{ stream: number; count: number; expect: 'none' | 'exists' | 'any' | number }>;
type Outcome = Readonly<{
  expect: ExpectedRevision;
  events: readonly NewEvent[];
  settled: PromiseSettledResult<Appended>;
}>;

const STREAMS = 3;

const step: fc.Arbitrary<Step> = fc.record({
  stream: fc.nat({ max: STREAMS - 1 }),
  count: fc.integer({ min: 1, max: 3 }),
  // A number stands for a revision that far from the last one at the start of the round.
  expect: fc.oneof(fc.constantFrom('none', 'exists', 'any'), fc.integer({ min: -2, max: 3 })) as fc.Arbitrary<
    Step['expect']
  >,
});

/** Any interleaving of appends on few streams does what some order of them, one after the other, would do. */
export function modelContract(store: () => EventStore): void {
  it('any interleaving of appends equals some order of them', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 5 }), async (rounds) => {
        const category = newCategory();
        const streams = Array.from({ length: STREAMS }, () => newStream(category));
        const before = await store().head();
        const logs: string[][] = streams.map(() => []);
        for (const round of rounds) {
          const outcomes = await runRound(store(), round, streams, logs);
          for (const [n, stream] of streams.entries()) {
            const events = (await store().readStream(stream)).events.map((event) => event.id);
            expect(explain(logs[n]!, outcomes.get(n) ?? [])).toContainEqual(events);
            logs[n] = events;
          }
        }
        const all = await readToEnd(store(), {
          direction: 'forwards',
          from: before,
          filter: { categories: [category] },
        });
        for (const [n, stream] of streams.entries()) {
          expect(all.events.filter((event) => event.stream === stream).map((event) => event.id)).toEqual(logs[n]);
        }
      }),
      { numRuns: 30 },
    );
  });
}

async function runRound(
  store: EventStore,
  round: readonly Step[],
  streams: string[],
  logs: string[][],
): Promise<Map<number, Outcome[]>> {
  const appends = round.map((each) => {
    const last = logs[each.stream]!.length - 1;
    const expected = typeof each.expect === 'number' ? BigInt(Math.max(0, last + each.expect)) : each.expect;
    return { stream: each.stream, expect: expected, events: notes(each.count) };
  });
  const settled = await Promise.allSettled(
    appends.map((append) => store.append(streams[append.stream]!, append.events, { expect: append.expect })),
  );
  return Map.groupBy(
    appends.map((append, n) => ({ ...append, settled: settled[n]! })),
    (outcome) => outcome.stream,
  );
}

/** The contents (event ids) that a stream may have after these outcomes, by every order of them that gives just these answers. */
function explain(log: readonly string[], open: readonly Outcome[]): string[][] {
  if (open.length === 0) return [[...log]];
  return open.flatMap((outcome, n) => {
    const after = answer(log, outcome);
    return after === null ? [] : explain(after, open.toSpliced(n, 1));
  });
}

/** The stream after this append, or `null` when its answer would have been another one now. */
function answer(log: readonly string[], { expect: expected, events, settled }: Outcome): readonly string[] | null {
  const last = BigInt(log.length - 1);
  const fits =
    expected === 'any' || (expected === 'none' ? last === -1n : expected === 'exists' ? last >= 0n : expected === last);
  if (settled.status === 'rejected') {
    const { code, actual } = settled.reason as { code: unknown; actual: unknown };
    return !fits && code === 'VERSION_CONFLICT' && actual === (last === -1n ? null : last) ? log : null;
  }
  const after = [...log, ...events.map((event) => event.id)];
  return fits && settled.value.revision === BigInt(after.length - 1) ? after : null;
}
