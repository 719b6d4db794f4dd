import { describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { StoreError, type StoreErrorCode } from '../../src/kernel/errors.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import { EncodedEvents } from '../../src/log/codec.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { MAX_APPEND_EVENTS } from '../../src/ports/event-store.ts';
import { measureEventLog } from '../../src/telemetry/measure-event-log.ts';
import { collected, observationsOf, summaryOf } from './exposition.ts';
import { newEvent, rejection, TICK, tickingClock } from './fixtures.ts';

/** An event log that returns values of its own, keeps the arguments of its calls, and fails once for each of `failures`. */
class RecordingLog implements EventLog {
  readonly calls: (readonly [method: string, ...args: unknown[]])[] = [];
  readonly failures: unknown[] = [];
  readonly appended = { revision: 3n, position: '04' };
  readonly encoded = new EncodedEvents([]);
  readonly streamEvents = { events: [], end: true };
  readonly logEvents = { events: [], next: '01', end: false };
  readonly batches: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
  readonly refused = new StoreError('ERASED', 'erased');
  readonly erasingTypes = new Set(['UserErased']);

  async #answer<Value>(value: Value, ...call: readonly [method: string, ...args: unknown[]]): Promise<Value> {
    this.calls.push(call);
    if (this.failures.length > 0) throw this.failures.shift();
    return value;
  }

  encode = (events: readonly NewEvent[]) => this.#answer(this.encoded, 'encode', events);
  admit(events: readonly NewEvent[]) {
    this.calls.push(['admit', events]);
    return this.refused;
  }
  append = (...args: Parameters<EventLog['append']>) => this.#answer(this.appended, 'append', ...args);
  readStream = (...args: Parameters<EventLog['readStream']>) => this.#answer(this.streamEvents, 'readStream', ...args);
  readAll = (...args: Parameters<EventLog['readAll']>) => this.#answer(this.logEvents, 'readAll', ...args);
  subscribe(...args: Parameters<EventLog['subscribe']>) {
    this.calls.push(['subscribe', ...args]);
    return this.batches;
  }
  onErased(listener: (personId: string) => void) {
    this.calls.push(['onErased', listener]);
  }
  recordBefore = (position: string | null) => this.#answer(null, 'recordBefore', position);
  onRestored(listener: () => void) {
    this.calls.push(['onRestored', listener]);
  }
  restored() {
    this.calls.push(['restored']);
  }
  setRetention = (...args: Parameters<EventLog['setRetention']>) => this.#answer(undefined, 'setRetention', ...args);
  isPosition(text: string) {
    this.calls.push(['isPosition', text]);
    return true;
  }
  head = () => this.#answer('09', 'head');
  idAt = (position: string) => this.#answer('id', 'idAt', position);
  countAfter = (position: string | null) => this.#answer(7, 'countAfter', position);
  epoch = () => this.#answer('epoch', 'epoch');
  close = () => this.#answer(undefined, 'close');
}

function setUp() {
  const [log, telemetry, clock] = [
    new RecordingLog(),
    createPrometheusTelemetry({ processMetrics: false }),
    tickingClock(),
  ];
  return { log, telemetry, clock, measured: measureEventLog(log, telemetry, clock) };
}

const events = (count: number): NewEvent[] => Array.from({ length: count }, (_, i) => newEvent(i));
const encoded = (count: number): EncodedEvents =>
  new EncodedEvents(events(count).map((event) => ({ ...event, data: '{}', schemaVersion: 1 })));

const FAILURES: readonly (readonly [StoreErrorCode, string])[] = [
  ['VERSION_CONFLICT', 'conflict'],
  ['UNAVAILABLE', 'unavailable'],
  ['UNKNOWN', 'unknown'],
  ['INVALID', 'invalid'],
  ['CLOSED', 'closed'],
  ['ERASED', 'erased'],
];

describe('a measured event log', () => {
  it('passes every call on, with its arguments and its result', async () => {
    const { log, measured } = setUp();
    const [some, options] = [events(1), { expect: 2n }];
    const readAll = { direction: 'backwards', from: '05' } as const;
    const subscribe = { after: null, signal: new AbortController().signal };
    const retention = { maxCount: 2 };
    expect(await measured.encode(some)).toBe(log.encoded);
    expect(measured.admit(some)).toBe(log.refused);
    expect(await measured.append('s-1', some, options)).toBe(log.appended);
    expect(await measured.readStream('s-1')).toBe(log.streamEvents);
    expect(await measured.readStream('s-1', { from: 2n })).toBe(log.streamEvents);
    expect(await measured.readAll(readAll)).toBe(log.logEvents);
    expect(measured.subscribe(subscribe)).toBe(log.batches);
    expect(measured.erasingTypes).toBe(log.erasingTypes);
    const listener = () => {};
    measured.onErased(listener);
    expect(await measured.recordBefore('05')).toBeNull();
    measured.onRestored(() => {});
    measured.restored();
    await measured.setRetention('s-1', retention);
    expect(await measured.head()).toBe('09');
    expect(await measured.idAt('05')).toBe('id');
    expect(measured.isPosition('05')).toBe(true);
    expect(await measured.countAfter('05')).toBe(7);
    expect(await measured.epoch()).toBe('epoch');
    await measured.close();
    expect(log.calls).toEqual([
      ['encode', some],
      ['admit', some],
      ['append', 's-1', some, options],
      ['readStream', 's-1', undefined],
      ['readStream', 's-1', { from: 2n }],
      ['readAll', readAll],
      ['subscribe', subscribe],
      ['onErased', expect.any(Function)],
      ['recordBefore', '05'],
      ['onRestored', expect.any(Function)],
      ['restored'],
      ['setRetention', 's-1', retention],
      ['head'],
      ['idAt', '05'],
      ['isPosition', '05'],
      ['countAfter', '05'],
      ['epoch'],
      ['close'],
    ]);
    expect(log.calls[2]?.[2]).toBe(some);
    expect(log.calls[6]?.[1]).toBe(subscribe);
  });

  it('measures appends by outcome', async () => {
    const { log, measured, telemetry, clock } = setUp();
    await measured.append('s-1', events(1), { expect: 'none' });
    await measured.append('s-1', encoded(2), { expect: 'any' });
    for (const [code] of FAILURES) {
      const failure = new StoreError(code, 'failed');
      log.failures.push(failure);
      expect(await rejection(measured.append('s-1', events(1), { expect: 'any' }))).toBe(failure);
    }
    log.failures.push(new TypeError('a bug'));
    expect(await rejection(measured.append('s-1', events(1), { expect: 'any' }))).toBeInstanceOf(TypeError);
    const metric = (await collected(telemetry)).get('parley_event_log_append_duration_seconds');
    expect(summaryOf(metric)).toEqual({
      'outcome=appended': [2, 2 * TICK],
      ...Object.fromEntries(FAILURES.map(([, outcome]) => [`outcome=${outcome}`, [1, TICK]])),
      'outcome=error': [1, TICK],
    });
    expect(clock.readings()).toBe(2 * (2 + FAILURES.length + 1));
  });

  it('measures how many events an append had, encoded or not, when it succeeded', async () => {
    const { log, measured, telemetry } = setUp();
    for (const batch of [events(1), events(3), encoded(4), encoded(5), encoded(MAX_APPEND_EVENTS)]) {
      await measured.append('s-1', batch, { expect: 'any' });
    }
    log.failures.push(new StoreError('VERSION_CONFLICT', 'conflict'));
    await rejection(measured.append('s-1', encoded(9), { expect: 'none' }));
    const metric = (await collected(telemetry)).get('parley_event_log_append_events');
    const { count, sum, buckets } = observationsOf(metric)['']!;
    expect([count, sum]).toEqual([5, 1 + 3 + 4 + 5 + MAX_APPEND_EVENTS]);
    expect(Object.entries(buckets)).toEqual(
      Object.entries({
        1: 1,
        2: 1,
        4: 3,
        8: 4,
        16: 4,
        32: 4,
        64: 4,
        128: 4,
        256: 4,
        512: 4,
        1024: 4,
        2048: 4,
        4096: 5,
        '+Inf': 5,
      }),
    );
  });

  it('measures reads by operation and outcome', async () => {
    const { log, measured, telemetry, clock } = setUp();
    await measured.readStream('s-1');
    await measured.readStream('s-2', { limit: 1 });
    await measured.readAll({ direction: 'forwards', from: null });
    const failure = new StoreError('UNAVAILABLE', 'away');
    log.failures.push(failure, failure);
    expect(await rejection(measured.readStream('s-1'))).toBe(failure);
    expect(await rejection(measured.readAll({ direction: 'forwards', from: null }))).toBe(failure);
    expect(summaryOf((await collected(telemetry)).get('parley_event_log_read_duration_seconds'))).toEqual({
      'operation=stream,outcome=done': [2, 2 * TICK],
      'operation=all,outcome=done': [1, TICK],
      'operation=stream,outcome=unavailable': [1, TICK],
      'operation=all,outcome=unavailable': [1, TICK],
    });
    expect(clock.readings()).toBe(10);
  });

  it('throws at once what the log throws at once', () => {
    const { log, measured } = setUp();
    const failure = new StoreError('INVALID', 'invalid position');
    log.subscribe = () => {
      throw failure;
    };
    expect(() => measured.subscribe({ after: 'x' })).toThrow(failure);
  });
});
