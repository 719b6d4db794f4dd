import { EncodedEvents } from '../log/codec.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { DURATION_BUCKETS, secondsSince } from './durations.ts';
import { type StoreFailure, storeCalls, storeFailure } from './store-calls.ts';

/** 1 to the most events that one append takes. */
const EVENT_BUCKETS = Array.from({ length: 13 }, (_, exponent) => 2 ** exponent);

/** The same event log, with its appends and reads measured. */
export function measureEventLog(log: EventLog, telemetry: Telemetry, clock: Clock): EventLog {
  const appendDuration = telemetry.histogram({
    name: 'parley_event_log_append_duration_seconds',
    help: 'Duration of appends to the event log until they are durable or have failed.',
    labels: ['outcome'],
    buckets: DURATION_BUCKETS,
  });
  const appendEvents = telemetry.histogram({
    name: 'parley_event_log_append_events',
    help: 'Events in one append, of the appends that succeeded.',
    buckets: EVENT_BUCKETS,
  });
  const readDuration = telemetry.histogram({
    name: 'parley_event_log_read_duration_seconds',
    help: 'Duration of reads of one page from a stream or from the whole log.',
    labels: ['operation', 'outcome'],
    buckets: DURATION_BUCKETS,
  });
  const observeRead = storeCalls<'stream' | 'all'>(readDuration, clock);

  return {
    encode: (events) => log.encode(events),
    admit: (events) => log.admit(events),
    async append(stream, events, options) {
      const startedAt = clock.monotonic();
      let outcome: 'appended' | StoreFailure = 'appended';
      try {
        const appended = await log.append(stream, events, options);
        appendEvents.observe(events instanceof EncodedEvents ? events.records.length : events.length, {});
        return appended;
      } catch (error) {
        outcome = storeFailure(error);
        throw error;
      } finally {
        appendDuration.observe(secondsSince(clock, startedAt), { outcome });
      }
    },
    readStream: (stream, options) => observeRead('stream', clock.monotonic(), log.readStream(stream, options)),
    readAll: (options) => observeRead('all', clock.monotonic(), log.readAll(options)),
    subscribe: (options) => log.subscribe(options),
    erasingTypes: log.erasingTypes,
    onErased: (listener) => log.onErased(listener),
    recordBefore: (position) => log.recordBefore(position),
    onRestored: (listener) => log.onRestored(listener),
    restored: () => log.restored(),
    setRetention: (stream, retention) => log.setRetention(stream, retention),
    isPosition: (text) => log.isPosition(text),
    head: () => log.head(),
    idAt: (position) => log.idAt(position),
    countAfter: (position) => log.countAfter(position),
    epoch: () => log.epoch(),
    close: () => log.close(),
  };
}
