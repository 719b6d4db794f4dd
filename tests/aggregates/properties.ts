import fc from 'fast-check';
import { isImmutable } from 'immutable';
import { expect } from 'vitest';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { Command } from '../../src/kernel/command.ts';
import { type Aggregate, fold } from '../../src/kernel/decider.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { Json } from '../../src/kernel/json.ts';
import { checkEvent } from '../../src/kernel/registry.ts';
import { outcomeOf } from '../support/decider-spec.ts';

/** What repeating a command that changed something comes to: `[]`, a refusal, or further events. */
export type Again = 'nothing' | 'refused' | 'anew';

export type Rules<State, C, E> = Readonly<{
  /** Sensible commands and senseless ones, by several actors, at times in no order. */
  commands: fc.Arbitrary<C>;
  again(command: C): Again;
  /** What holds after every event. Throws where it does not. */
  invariant(state: State, history: readonly E[]): void;
  /** Types of events and codes of refusals that the commands must lead to, so that the property looks at something. */
  reaches: readonly string[];
}>;

/**
 * Whatever is asked, in whatever order: decisions are pure and fit their schemas, every event evolves, a repetition adds nothing,
 * and a snapshot anywhere in the history changes nothing.
 */
export function checkRules<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  rules: Rules<State, C, E>,
): void {
  const reached = new Set<string>();
  const sequence = fc.array(rules.commands, { minLength: 1, maxLength: 60, size: 'max' });
  fc.assert(
    fc.property(sequence, fc.nat(), (commands, cut) => {
      const history: E[] = [];
      let state = aggregate.initialState;
      for (const command of commands) {
        const outcome = decidePurely(aggregate, command, state);
        if ('refused' in outcome) reached.add(outcome.refused);
        else if (outcome.events.length > 0) {
          for (const event of outcome.events) {
            reached.add(event.type);
            state = evolvePurely(aggregate, state, event);
            history.push(event);
            rules.invariant(state, history);
          }
          if (rules.again(command) !== 'anew') {
            const repeated = outcomeOf(aggregate, command, state);
            expect('refused' in repeated ? 'refused' : repeated.events).toStrictEqual(
              rules.again(command) === 'refused' ? 'refused' : [],
            );
          }
        }
      }
      snapshotsChangeNothing(aggregate, history, cut % (history.length + 1));
    }),
    { numRuns: 100 },
  );
  expect([...reached]).toEqual(expect.arrayContaining([...rules.reaches]));
}

function decidePurely<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  command: C,
  state: State,
) {
  deepFreeze(command);
  deepFreeze(state);
  const before = frozenText(aggregate, state);
  const outcome = outcomeOf(aggregate, command, state);
  expect(frozenText(aggregate, state)).toBe(before);
  expect(outcomeOf(aggregate, command, state)).toStrictEqual(outcome);
  return outcome;
}

function evolvePurely<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  state: State,
  event: E,
): State {
  checkEvent(eventRegistry, event);
  deepFreeze(event);
  const before = frozenText(aggregate, state);
  const after = aggregate.evolve(state, event);
  expect(frozenText(aggregate, state)).toBe(before);
  // A newer node may write what this one does not know.
  const unknown: Event = { type: 'SomethingOfALaterVersion', data: {} };
  expect(aggregate.evolve(after, unknown as E)).toBe(after);
  expect(aggregate.weight(after)).toBeGreaterThanOrEqual(1);
  return after;
}

function snapshotsChangeNothing<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  history: readonly E[],
  cut: number,
): void {
  const state = fold(aggregate, history.slice(0, cut));
  const thawed = aggregate.thaw(JSON.parse(frozenText(aggregate, state)) as Json);
  expect(thawed).toEqual(state);
  expect(frozenText(aggregate, thawed)).toBe(frozenText(aggregate, state));
  const whole = fold(aggregate, history);
  const resumed = fold(aggregate, history.slice(cut), thawed);
  expect(frozenText(aggregate, resumed)).toBe(frozenText(aggregate, whole));
}

function frozenText<State>(aggregate: Pick<Aggregate<State, never, never>, 'freeze'>, state: State): string {
  return JSON.stringify(aggregate.freeze(state));
}

/** Makes any write to plain objects and arrays throw; persistent collections cannot be written to. */
function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || isImmutable(value) || Object.isFrozen(value)) return;
  Object.freeze(value);
  Object.values(value).forEach(deepFreeze);
}
