import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Appended, EventStore, ExpectedRevision, NewRecord } from '../../src/ports/event-store.ts';
import { newCategory, newStream, notes } from './events.ts';
import { readStream, readToEnd } from './following.ts';

/** One append of a round. Rounds run one after the other, the appends of a round concurrently. */
type Step = Readonly<{ stream: number; count: number; expect: 'none' | 'exists' | 'any' | number }>;
type Outcome = Readonly<{
  expect: ExpectedRevision;
  records: readonly NewRecord[];
  settled: PromiseSettledResult<Appended>;
}>;

const STREAMS = 3;

const step: fc.Arbitrary<Step> = fc.record({
  stream: fc.nat({ max: STREAMS - 1 }),
  count: fc.integer({ min: 1, max: 3 }),
  // A number is the difference to the last revision at the start of the round.
  expect: fc.oneof(fc.constantFrom('none', 'exists', 'any'), fc.integer({ min: -2, max: 3 })) as fc.Arbitrary<
    Step['expect']
  >,
});

/** Concurrent appends to a few streams have the same result as the same appends in some sequential order. */
export function modelContract(store: () => EventStore): void {
  it('concurrent appends are linearizable', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 5 }), async (rounds) => {
        const category = newCategory();
        const streams = Array.from({ length: STREAMS }, () => newStream(category));
        const before = await store().head();
        const logs: string[][] = streams.map(() => []);
        for (const round of rounds) {
          const outcomes = await runRound(store(), round, streams, logs);
          for (const [n, stream] of streams.entries()) {
            const ids = (await readStream(store(), stream)).records.map((record) => record.id);
            expect(explain(logs[n]!, outcomes.get(n) ?? [])).toContainEqual(ids);
            logs[n] = ids;
          }
        }
        const all = await readToEnd(store(), {
          direction: 'forwards',
          from: before,
          filter: { categories: [category] },
        });
        for (const [n, stream] of streams.entries()) {
          expect(all.records.filter((record) => record.stream === stream).map((record) => record.id)).toEqual(logs[n]);
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
    return { stream: each.stream, expect: expected, records: notes(each.count) };
  });
  const settled = await Promise.allSettled(
    appends.map((append) => store.append(streams[append.stream]!, append.records, { expect: append.expect })),
  );
  return Map.groupBy(
    appends.map((append, n) => ({ ...append, settled: settled[n]! })),
    (outcome) => outcome.stream,
  );
}

/** The contents (record ids) that a stream may have after these outcomes: one for each order of the appends that has exactly these outcomes. */
function explain(log: readonly string[], open: readonly Outcome[]): string[][] {
  if (open.length === 0) return [[...log]];
  return open.flatMap((outcome, n) => {
    const after = apply(log, outcome);
    return after === null ? [] : explain(after, open.toSpliced(n, 1));
  });
}

/** The stream after this append, or `null` when the append would have had another outcome now. */
function apply(log: readonly string[], { expect: expected, records, settled }: Outcome): readonly string[] | null {
  const last = BigInt(log.length - 1);
  const isExpected =
    expected === 'any' || (expected === 'none' ? last === -1n : expected === 'exists' ? last >= 0n : expected === last);
  if (settled.status === 'rejected') {
    const { code, actual } = settled.reason as { code: unknown; actual: unknown };
    return !isExpected && code === 'VERSION_CONFLICT' && actual === (last === -1n ? null : last) ? log : null;
  }
  const after = [...log, ...records.map((record) => record.id)];
  return isExpected && settled.value.revision === BigInt(after.length - 1) ? after : null;
}
