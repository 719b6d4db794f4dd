import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Telemetry } from '../../ports/telemetry.ts';

/**
 * Metrics for Prometheus, in a separate registry. Defining a metric again returns the existing one: a node is built again after a store was
 * unavailable. Throws when the existing metric has another type.
 * `processMetrics` adds metrics of the process (`process_…`, `nodejs_…`: CPU, memory, garbage collection, event loop delay). Their observers run
 * until the process ends, so only one instance per process should set it.
 */
export function createPrometheusTelemetry(options: { processMetrics: boolean }): Telemetry {
  const registry = new Registry();
  const registers = [registry];
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  const failures = new Counter({
    name: 'parley_metrics_update_failures_total',
    help: 'Updates of gauges that failed before a collection; their values may be missing or old.',
    registers,
  });
  const updates = new Set<Readonly<{ run: () => void | Promise<void> }>>();
  let collecting: ReturnType<Telemetry['collect']> | null = null;

  /** The metric of this name and type, `null` when it is not defined yet. */
  function defined<M>(name: string, type: new (...settings: never[]) => M): M | null {
    const metric: unknown = registry.getSingleMetric(name);
    return metric instanceof type ? metric : null;
  }

  async function update(run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch {
      failures.inc();
    }
  }

  async function collect() {
    await Promise.all([...updates].map(({ run }) => update(run)));
    return { contentType: registry.contentType, text: await registry.metrics() };
  }

  return {
    counter({ name, help, labels = [] }) {
      const counter = defined(name, Counter) ?? new Counter({ name, help, labelNames: labels, registers });
      return { add: (amount, values) => counter.inc(values, amount) };
    },
    gauge({ name, help, labels = [] }) {
      const gauge = defined(name, Gauge) ?? new Gauge({ name, help, labelNames: labels, registers });
      return { set: (value, values) => gauge.set(values, value), remove: (values) => gauge.remove(values) };
    },
    histogram({ name, help, labels = [], buckets }) {
      const settings = { name, help, labelNames: labels, buckets: [...buckets], registers };
      const histogram = defined(name, Histogram) ?? new Histogram(settings);
      return { observe: (value, values) => histogram.observe(values, value) };
    },
    beforeCollect(run) {
      const entry = { run };
      updates.add(entry);
      return () => {
        updates.delete(entry);
      };
    },
    collect() {
      // Concurrent scrapes share one collection: slow updates do not pile up, and the event loop delays are reset once.
      collecting ??= collect().finally(() => {
        collecting = null;
      });
      return collecting;
    },
  };
}
