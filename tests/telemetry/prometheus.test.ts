import { describe, expect, it, vi } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { collected, observationsOf, valuesOf } from './exposition.ts';

const FAILURES = 'parley_metrics_update_failures_total';
const create = () => createPrometheusTelemetry({ processMetrics: false });

describe('Prometheus telemetry', () => {
  it('writes counters, gauges and histograms in the text format 0.0.4', async () => {
    const telemetry = create();
    const counter = telemetry.counter({ name: 'parley_things_total', help: 'Things.', labels: ['kind', 'size'] });
    const gauge = telemetry.gauge({ name: 'parley_depth', help: 'Depth.' });
    const histogram = telemetry.histogram({
      name: 'parley_span_seconds',
      help: 'Span.',
      labels: ['kind'],
      buckets: [1, 2],
    });
    counter.add(1, { kind: 'a', size: 'big' });
    counter.add(2.5, { size: 'big', kind: 'a' });
    counter.add(4, { kind: 'b', size: 'big' });
    gauge.set(7, {});
    gauge.set(-3, {});
    for (const value of [0.5, 1, 1.5, 64]) histogram.observe(value, { kind: 'a' });
    expect(await telemetry.collect()).toEqual({
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      text: `# HELP parley_metrics_update_failures_total Updates of gauges that failed before a collection; their values may be missing or old.
# TYPE parley_metrics_update_failures_total counter
parley_metrics_update_failures_total 0

# HELP parley_things_total Things.
# TYPE parley_things_total counter
parley_things_total{kind="a",size="big"} 3.5
parley_things_total{kind="b",size="big"} 4

# HELP parley_depth Depth.
# TYPE parley_depth gauge
parley_depth -3

# HELP parley_span_seconds Span.
# TYPE parley_span_seconds histogram
parley_span_seconds_bucket{le="1",kind="a"} 2
parley_span_seconds_bucket{le="2",kind="a"} 3
parley_span_seconds_bucket{le="+Inf",kind="a"} 4
parley_span_seconds_sum{kind="a"} 67
parley_span_seconds_count{kind="a"} 4
`,
    });
  });

  it('escapes label values', async () => {
    const telemetry = create();
    const value = 'a "b"\\c\n{d="e"},f';
    telemetry.gauge({ name: 'parley_odd', help: 'Odd.', labels: ['text'] }).set(1, { text: value });
    expect((await collected(telemetry)).get('parley_odd')?.samples).toEqual([
      { name: 'parley_odd', labels: { text: value }, value: 1 },
    ]);
  });

  it('shows metrics without labels from the start, and those with labels once they have values', async () => {
    const telemetry = create();
    telemetry.counter({ name: 'parley_plain_total', help: 'Plain.' });
    telemetry.counter({ name: 'parley_labelled_total', help: 'Labelled.', labels: ['kind'] });
    telemetry.histogram({ name: 'parley_plain_seconds', help: 'Plain.', buckets: [1] });
    const metrics = await collected(telemetry);
    expect(valuesOf(metrics.get('parley_plain_total'))).toEqual({ '': 0 });
    expect(valuesOf(metrics.get('parley_labelled_total'))).toEqual({});
    expect(observationsOf(metrics.get('parley_plain_seconds'))).toEqual({
      '': { count: 0, sum: 0, buckets: { '1': 0, '+Inf': 0 } },
    });
  });

  it('removes the value of a gauge for the given labels only', async () => {
    const telemetry = create();
    const gauge = telemetry.gauge({ name: 'parley_depth', help: 'Depth.', labels: ['place', 'kind'] });
    gauge.set(1, { place: 'a', kind: 'x' });
    gauge.set(2, { place: 'b', kind: 'x' });
    gauge.remove({ kind: 'x', place: 'a' });
    gauge.remove({ place: 'c', kind: 'x' });
    expect(valuesOf((await collected(telemetry)).get('parley_depth'))).toEqual({ 'kind=x,place=b': 2 });
  });

  it('rejects a second metric of the same name, and keeps instances apart', async () => {
    const [one, other] = [create(), create()];
    one.counter({ name: 'parley_things_total', help: 'Things.' }).add(1, {});
    expect(() => one.gauge({ name: 'parley_things_total', help: 'Things.' })).toThrow('already been registered');
    other.counter({ name: 'parley_things_total', help: 'Things.' });
    expect(valuesOf((await collected(other)).get('parley_things_total'))).toEqual({ '': 0 });
  });

  it('does not change the given definition', async () => {
    const telemetry = create();
    const definition = { name: 'parley_span_seconds', help: 'Span.', labels: ['b', 'a'], buckets: [1, 2] } as const;
    telemetry.histogram(definition).observe(1, { a: 'x', b: 'y' });
    await telemetry.collect();
    expect(definition).toEqual({ name: 'parley_span_seconds', help: 'Span.', labels: ['b', 'a'], buckets: [1, 2] });
    expect(Object.isFrozen(definition.buckets)).toBe(false);
  });
});

describe('updates before a collection', () => {
  it('run before every collection, are awaited, and stop when they are removed', async () => {
    const telemetry = create();
    const gauge = telemetry.gauge({ name: 'parley_depth', help: 'Depth.' });
    let runs = 0;
    const remove = telemetry.beforeCollect(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      gauge.set(++runs, {});
    });
    for (const expected of [1, 2]) {
      expect(valuesOf((await collected(telemetry)).get('parley_depth'))).toEqual({ '': expected });
    }
    remove();
    remove();
    await telemetry.collect();
    expect(runs).toBe(2);
  });

  it('that fail are counted, and neither break the collection nor keep others from running', async () => {
    const telemetry = create();
    const gauge = telemetry.gauge({ name: 'parley_depth', help: 'Depth.' });
    telemetry.beforeCollect(() => {
      throw new Error('at once');
    });
    telemetry.beforeCollect(() => Promise.reject(new Error('later')));
    telemetry.beforeCollect(() => gauge.set(5, {}));
    const metrics = await collected(telemetry);
    expect(valuesOf(metrics.get('parley_depth'))).toEqual({ '': 5 });
    expect(valuesOf(metrics.get(FAILURES))).toEqual({ '': 2 });
    expect(valuesOf((await collected(telemetry)).get(FAILURES))).toEqual({ '': 4 });
  });

  it('may be the same function twice, each removed for itself', async () => {
    const telemetry = create();
    let runs = 0;
    const update = () => {
      runs++;
    };
    const remove = telemetry.beforeCollect(update);
    telemetry.beforeCollect(update);
    await telemetry.collect();
    remove();
    await telemetry.collect();
    expect(runs).toBe(3);
  });

  it('run once for concurrent collections, which all get the result', async () => {
    const telemetry = create();
    const { promise, resolve } = Promise.withResolvers<void>();
    let runs = 0;
    telemetry.beforeCollect(() => {
      runs++;
      return promise;
    });
    const collections = [telemetry.collect(), telemetry.collect(), telemetry.collect()];
    resolve();
    const texts = (await Promise.all(collections)).map(({ text }) => text);
    expect(new Set(texts).size).toBe(1);
    expect(runs).toBe(1);
    await telemetry.collect();
    expect(runs).toBe(2);
  });
});

describe('metrics of the process', () => {
  it('are left out unless they are wanted', async () => {
    expect([...(await collected(create())).keys()]).toEqual([FAILURES]);
  });

  it('are CPU time, memory, garbage collection and the delay of the event loop', async () => {
    const telemetry = createPrometheusTelemetry({ processMetrics: true });
    // The delay of the event loop is sampled now and then.
    const metrics = await vi.waitUntil(async () => {
      const found = await collected(telemetry);
      return Number(valuesOf(found.get('nodejs_eventloop_lag_p99_seconds'))['']) > 0 && found;
    }, 30_000);
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_heap_size_used_bytes',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      expect(valuesOf(metrics.get(name))[''], name).toBeGreaterThan(0);
    }
    expect(metrics.get('nodejs_gc_duration_seconds')?.type).toBe('histogram');
    expect([...metrics.keys()].filter((name) => !/^(process|nodejs)_/.test(name))).toEqual([FAILURES]);
  });
});
