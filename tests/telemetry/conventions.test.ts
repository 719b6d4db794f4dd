import { describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { Refusal, StoreError } from '../../src/kernel/errors.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { MailError, type Mailer } from '../../src/ports/mailer.ts';
import type { Telemetry } from '../../src/ports/telemetry.ts';
import { measureCommands } from '../../src/telemetry/measure-commands.ts';
import { measureDocuments } from '../../src/telemetry/measure-documents.ts';
import { measureEventLog } from '../../src/telemetry/measure-event-log.ts';
import { measureMailer } from '../../src/telemetry/measure-mailer.ts';
import { noTelemetry } from '../../src/telemetry/no-telemetry.ts';
import { observeConnections } from '../../src/telemetry/observe-connections.ts';
import { observeFollowers } from '../../src/telemetry/observe-followers.ts';
import { collected, type Metric } from './exposition.ts';
import { newEvent, tickingClock } from './fixtures.ts';

/** What users type, ids, names of streams and collections, and texts of errors: all of it contains this. */
const UNBOUNDED = 'unbounded';

/** An object whose every method rejects with the next of some errors. */
function failing<Port extends object>(methods: readonly (keyof Port & string)[], errors: readonly Error[]): Port {
  let next = 0;
  const reject = () => Promise.reject(errors[next++ % errors.length]);
  // The methods are those of the port, and each may reject.
  return Object.fromEntries(methods.map((method) => [method, reject])) as unknown as Port;
}

/** Measures everything, with calls that have unbounded arguments and fail with unbounded texts. */
async function measureAll(telemetry: Telemetry): Promise<void> {
  const clock = tickingClock();
  const storeErrors = [
    ...(['VERSION_CONFLICT', 'UNAVAILABLE', 'UNKNOWN', 'INVALID', 'CLOSED', 'ERASED'] as const).map(
      (code) => new StoreError(code, UNBOUNDED),
    ),
    Object.assign(new Error(UNBOUNDED), { name: UNBOUNDED, code: UNBOUNDED }),
  ];
  const log = measureEventLog(failing<EventLog>(['append', 'readStream', 'readAll'], storeErrors), telemetry, clock);
  const documents = measureDocuments(
    failing<DocumentStore>(['define', 'drop', 'getMany', 'find', 'count', 'apply'], storeErrors),
    telemetry,
    clock,
  );
  const refusals = [new Refusal('username-taken', UNBOUNDED), ...storeErrors];
  const commands = measureCommands(failing<CommandHandler>(['handle'], refusals), telemetry, clock);
  const mailErrors = [new MailError(UNBOUNDED, { permanent: true }), ...storeErrors];
  const mailer = measureMailer(failing<Mailer>(['send'], mailErrors), telemetry, clock);
  observeFollowers(telemetry, () => [{ name: 'push', state: UNBOUNDED, lagEvents: 1, lagMs: 1 }], clock);
  observeConnections(telemetry, { stats: () => ({ connections: 1, users: 1, buffered: 1 }) });

  for (let i = 0; i < 2 * refusals.length; i++) {
    const id = `${UNBOUNDED}-${i}`;
    const write = { collection: id, id, position: id, guard: null, body: { [id]: id } };
    const metadata = { commandId: id, actor: id, at: id, correlationId: id, causationId: id };
    const aggregate = { category: id } as Parameters<CommandHandler['handle']>[0];
    await Promise.allSettled([
      log.append(id, [newEvent(i)], { expect: 'any' }),
      log.readStream(id),
      log.readAll({ direction: 'forwards', from: id }),
      documents.define([{ name: id, indexes: [] }]),
      documents.drop(id),
      documents.getMany(id, [id]),
      documents.find(id, { filter: { [id]: id }, limit: 1, after: id }),
      documents.count(id, { [id]: id }, 1),
      documents.apply({ writes: [write] }),
      commands.handle(aggregate, id, { type: 'Raise', data: { id }, metadata }),
      mailer.send({ messageId: id, to: id, subject: id, text: id, html: id, link: id }),
    ]);
  }
}

/** Every label, with all values that it may have here. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  type: ['Raise'],
  follower: ['push'],
  operation: ['stream', 'all', 'define', 'drop', 'get-many', 'find', 'count', 'apply'],
  outcome: [
    ...['conflict', 'unavailable', 'unknown', 'invalid', 'closed', 'erased', 'error'],
    ...['sent', 'temporary', 'permanent'],
    'username-taken',
  ],
};

const NAMES = [
  'parley_metrics_update_failures_total',
  'parley_event_log_append_duration_seconds',
  'parley_event_log_append_events',
  'parley_event_log_read_duration_seconds',
  'parley_document_store_operation_duration_seconds',
  'parley_document_store_writes_total',
  'parley_document_store_rejected_writes_total',
  'parley_commands_total',
  'parley_command_duration_seconds',
  'parley_mail_attempts_total',
  'parley_mail_attempt_duration_seconds',
  'parley_follower_up',
  'parley_follower_lag_events',
  'parley_follower_lag_seconds',
  'parley_connections',
  'parley_connected_users',
  'parley_resume_buffer_frames',
];

describe('all metrics together', async () => {
  const telemetry = createPrometheusTelemetry({ processMetrics: false });
  await measureAll(telemetry);
  const metrics: readonly Metric[] = [...(await collected(telemetry)).values()];

  it('are complete and have names of their own', () => {
    expect(metrics.map(({ name }) => name).sort()).toEqual([...NAMES].sort());
  });

  it.each(metrics.map((metric) => [metric.name, metric] as const))('%s follows the conventions', (name, metric) => {
    expect(name).toMatch(/^parley_[a-z_]+$/);
    expect(name.endsWith('_total')).toBe(metric.type === 'counter');
    expect(name.includes('duration')).toBe(name.endsWith('_duration_seconds'));
    expect(name).not.toMatch(/_(ms|milliseconds|kb|mb|count|sum|bucket)$/);
    expect(metric.help).toMatch(/^[A-Z0-9].*\.$/);
    expect(metric.samples).not.toEqual([]);
    for (const { value } of metric.samples) expect(value).toBeGreaterThanOrEqual(0);
  });

  it.each(metrics.map((metric) => [metric.name, metric] as const))('%s has bounded label values', (_name, metric) => {
    for (const { labels } of metric.samples) {
      for (const [label, value] of Object.entries(labels)) {
        if (label === 'le') expect(value).toMatch(/^(\d+(\.\d+)?|\+Inf)$/);
        else expect(VALUES[label], label).toContain(value);
      }
    }
    expect(JSON.stringify(metric)).not.toContain(UNBOUNDED);
  });

  it.each(metrics.filter(({ type }) => type === 'histogram').map((metric) => [metric.name, metric] as const))(
    '%s has cumulative buckets that end with all observations',
    (name, { samples }) => {
      const bySeries = Map.groupBy(samples, ({ labels: { le: _, ...others } }) => JSON.stringify(others));
      for (const series of bySeries.values()) {
        const buckets = series.filter((sample) => sample.name === `${name}_bucket`);
        const bounds = buckets.map(({ labels }) => Number(labels.le?.replace('+Inf', 'Infinity')));
        const counts = buckets.map(({ value }) => value);
        expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
        expect(counts).toEqual([...counts].sort((a, b) => a - b));
        expect(bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
        expect(counts.at(-1)).toBe(series.find((sample) => sample.name === `${name}_count`)?.value);
      }
    },
  );
});

describe('no telemetry', () => {
  it('takes all metrics, several times, and collects nothing', async () => {
    await measureAll(noTelemetry);
    await measureAll(noTelemetry);
    expect(await noTelemetry.collect()).toEqual({ contentType: 'text/plain; version=0.0.4; charset=utf-8', text: '' });
  });

  it('never runs an update', async () => {
    let runs = 0;
    const remove = noTelemetry.beforeCollect(() => {
      runs++;
    });
    await noTelemetry.collect();
    remove();
    expect(runs).toBe(0);
  });

  it('gives metrics that record nothing', () => {
    const gauge = noTelemetry.gauge({ name: 'parley_depth', help: 'Depth.', labels: ['kind'] });
    expect(gauge.set(1, { kind: 'a' })).toBeUndefined();
    expect(gauge.remove({ kind: 'a' })).toBeUndefined();
  });
});
