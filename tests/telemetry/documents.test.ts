import { afterEach, describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, Guard, Write } from '../../src/ports/documents.ts';
import { measureDocuments } from '../../src/telemetry/measure-documents.ts';
import { collected, summaryOf, valuesOf } from './exposition.ts';
import { rejection, TICK, tickingClock } from './fixtures.ts';

const WRITES = 'parley_document_store_writes_total';
const REJECTED = 'parley_document_store_rejected_writes_total';
const DURATION = 'parley_document_store_operation_duration_seconds';

const opened: DocumentStore[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function setUp() {
  const store = await openSqliteDocuments({ path: ':memory:', clock: createSystemClock(), logger: silentLogger });
  opened.push(store);
  const [telemetry, clock] = [createPrometheusTelemetry({ processMetrics: false }), tickingClock()];
  const measured = measureDocuments(store, telemetry, clock);
  await measured.define([{ name: 'things', indexes: [] }]);
  return { store, measured, telemetry, clock };
}

const write = (id: string, position: string, guard: Guard = 'older', body: Write['body'] = { id }): Write => ({
  collection: 'things',
  id,
  position,
  guard,
  body,
});

describe('a measured document store', () => {
  it('returns what the store returns', async () => {
    const { store, measured } = await setUp();
    expect(await measured.apply({ writes: [write('a', '01'), write('b', '02')] })).toEqual({ rejected: [] });
    expect(await measured.getMany('things', ['a', 'b', 'c'])).toEqual(await store.getMany('things', ['a', 'b', 'c']));
    expect(await measured.count('things', {}, 10)).toBe(2);
    const page = await measured.find('things', { filter: {}, limit: 1 });
    expect(page).toEqual(await store.find('things', { filter: {}, limit: 1 }));
    expect(page.items).toEqual([{ id: 'a', position: '01', body: { id: 'a' } }]);
    const again = write('a', '01');
    expect((await measured.apply({ writes: [again] })).rejected[0]).toBe(again);
    await measured.drop('things');
    expect(await rejection(store.getMany('things', ['a']))).toMatchObject({ code: 'INVALID' });
    await measured.close();
    expect(await rejection(store.define([]))).toMatchObject({ code: 'CLOSED' });
  });

  it('measures each operation by outcome, with two readings of the clock', async () => {
    const { measured, telemetry, clock } = await setUp();
    await measured.apply({ writes: [write('a', '01')] });
    await measured.getMany('things', ['a']);
    await measured.getMany('things', ['b']);
    await measured.find('things', { filter: {}, limit: 1 });
    await measured.count('things', {}, 10);
    expect(await rejection(measured.find('things', { filter: { unknown: 1 }, limit: 1 }))).toMatchObject({
      code: 'INVALID',
    });
    expect(await rejection(measured.apply({ writes: [{ ...write('a', '02'), id: '' }] }))).toMatchObject({
      code: 'INVALID',
    });
    await measured.drop('things');
    await measured.close();
    expect(await rejection(measured.count('things', {}, 10))).toMatchObject({ code: 'CLOSED' });
    expect(summaryOf((await collected(telemetry)).get(DURATION))).toEqual({
      'operation=define,outcome=done': [1, TICK],
      'operation=apply,outcome=done': [1, TICK],
      'operation=get-many,outcome=done': [2, 2 * TICK],
      'operation=find,outcome=done': [1, TICK],
      'operation=count,outcome=done': [1, TICK],
      'operation=find,outcome=invalid': [1, TICK],
      'operation=apply,outcome=invalid': [1, TICK],
      'operation=drop,outcome=done': [1, TICK],
      'operation=count,outcome=closed': [1, TICK],
    });
    expect(clock.readings()).toBe(2 * 10);
  });

  it('counts writes and rejected writes', async () => {
    const { measured, telemetry } = await setUp();
    const totals = async () => {
      const metrics = await collected(telemetry);
      return [valuesOf(metrics.get(WRITES))[''], valuesOf(metrics.get(REJECTED))['']];
    };
    expect(await totals()).toEqual([0, 0]);
    await measured.apply({ writes: [write('a', '01'), write('b', '01')] });
    expect(await totals()).toEqual([2, 0]);
    await measured.apply({ writes: [write('a', '02')], last: write('z', '02') });
    expect(await totals()).toEqual([4, 0]);
    // One of two is rejected, and `last` left out.
    await measured.apply({ writes: [write('a', '02'), write('b', '03')], last: write('z', '03') });
    expect(await totals()).toEqual([5, 1]);
    // Both are rejected, and `last` left out.
    await measured.apply({ writes: [write('a', '02'), write('b', '03')], last: write('z', '03') });
    expect(await totals()).toEqual([5, 3]);
    // Only `last` is rejected.
    await measured.apply({ writes: [write('a', '04'), write('b', '04', 'older', null)], last: write('z', '02', '01') });
    expect(await totals()).toEqual([7, 4]);
    await measured.apply({ writes: [], last: write('z', '05') });
    await measured.apply({ writes: [] });
    expect(await totals()).toEqual([8, 4]);
    await rejection(measured.apply({ writes: [{ ...write('a', '06'), id: '' }] }));
    expect(await totals()).toEqual([8, 4]);
  });
});
