import { describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { AlreadyClaimed, type CommandHandler, type Handled } from '../../src/commands/command-handler.ts';
import type { Command } from '../../src/kernel/command.ts';
import type { Aggregate } from '../../src/kernel/decider.ts';
import { Refusal, type RefusalCode } from '../../src/kernel/errors.ts';
import type { Event } from '../../src/kernel/event.ts';
import { measureCommands } from '../../src/telemetry/measure-commands.ts';
import { collected, summaryOf, valuesOf } from './exposition.ts';
import { rejection, TICK, tickingClock } from './fixtures.ts';

type Raise = Command<'Raise', Readonly<Record<never, never>>>;

const counter: Aggregate<number, Command<'Raise' | 'Lower', Readonly<Record<never, never>>>, Event> = {
  category: 'counter',
  snapshotVersion: 1,
  initialState: 0,
  decide: () => [],
  evolve: (state) => state,
  freeze: (state) => state,
  thaw: Number,
  weight: () => 1,
};

const metadata = { commandId: 'c', actor: null, at: '2026-01-01T00:00:00.000Z', correlationId: 'r', causationId: null };
const raise: Raise = { type: 'Raise', data: {}, metadata };
const done: Handled = { events: [{ type: 'Raised', data: {} }], revision: 0n, position: '01' };
const unchanged: Handled = { events: [], revision: null, position: null };

/** A command handler that answers from a list, and keeps the arguments of its calls. */
function setUp(...answers: (Handled | Error)[]) {
  const calls: unknown[][] = [];
  const loaded = { state: 5, revision: 1n, position: '02' };
  const commands: CommandHandler = {
    async handle(...args) {
      calls.push(['handle', ...args]);
      const answer = answers.shift() ?? unchanged;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    async load(aggregate, ...args) {
      calls.push(['load', aggregate, ...args]);
      return { ...loaded, state: aggregate.thaw(loaded.state) };
    },
    async close() {
      calls.push(['close']);
    },
  };
  const [telemetry, clock] = [createPrometheusTelemetry({ processMetrics: false }), tickingClock()];
  return { calls, loaded, telemetry, clock, measured: measureCommands(commands, telemetry, clock) };
}

describe('a measured command handler', () => {
  it('passes every call on, with its arguments and its result', async () => {
    const { calls, loaded, measured } = setUp(done);
    expect(await measured.handle(counter, 'one', raise, { expected: [3n] })).toBe(done);
    await measured.handle(counter, 'two', raise);
    expect(await measured.load(counter, 'one', 'fresh')).toEqual(loaded);
    await measured.close();
    expect(calls).toEqual([
      ['handle', counter, 'one', raise, { expected: [3n] }],
      ['handle', counter, 'two', raise, undefined],
      ['load', counter, 'one', 'fresh'],
      ['close'],
    ]);
    expect(calls[0]?.[1]).toBe(counter);
    expect(calls[0]?.[3]).toBe(raise);
  });

  it('counts commands by type and outcome, and measures them by type', async () => {
    const codes: readonly RefusalCode[] = ['rule-broken', 'unavailable', 'outcome-unknown', 'revision-mismatch'];
    const refusals = codes.map((code) => new Refusal(code, 'refused'));
    const repeated = new AlreadyClaimed();
    const bug = new TypeError('a bug');
    const { measured, telemetry, clock } = setUp(done, done, unchanged, ...refusals, bug, repeated, done);
    for (let i = 0; i < 3; i++) await measured.handle(counter, 'one', raise);
    for (const refusal of refusals) expect(await rejection(measured.handle(counter, 'one', raise))).toBe(refusal);
    for (const error of [bug, repeated]) expect(await rejection(measured.handle(counter, 'one', raise))).toBe(error);
    await measured.handle(counter, 'one', { ...raise, type: 'Lower' });
    const metrics = await collected(telemetry);
    expect(valuesOf(metrics.get('parley_commands_total'))).toEqual({
      'outcome=done,type=Raise': 2,
      'outcome=unchanged,type=Raise': 1,
      ...Object.fromEntries(codes.map((code) => [`outcome=${code},type=Raise`, 1])),
      'outcome=error,type=Raise': 1,
      'outcome=repeated,type=Raise': 1,
      'outcome=done,type=Lower': 1,
    });
    expect(summaryOf(metrics.get('parley_command_duration_seconds'))).toEqual({
      'type=Raise': [9, 9 * TICK],
      'type=Lower': [1, TICK],
    });
    expect(clock.readings()).toBe(2 * 10);
  });
});
