import fc from 'fast-check';
import { isImmutable } from 'immutable';
import { expect } from 'vitest';
import type { Command } from '../../src/kernel/command.ts';
import { type Aggregate, fold } from '../../src/kernel/decider.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { Json } from '../../src/kernel/json.ts';
import { checkEvent, erased, outcomeOf } from '../support/decider-spec.ts';

/** The expected outcome of repeating a command that changed something: `[]`, a refusal, or further events. */
export type Again = 'nothing' | 'refused' | 'anew';

export type Rules<State, C, E> = Readonly<{
  /** Valid and invalid commands by several actors, with times in any order. */
  commands: fc.Arbitrary<C>;
  /** Events that happen now and then without one of these commands. */
  happenings?: fc.Arbitrary<E>;
  again(command: C): Again;
  /** Must hold after every event. Throws when it does not. */
  invariant(state: State, history: readonly E[]): void;
  /** Types of events and codes of refusals that the commands must lead to, so that the property does not hold vacuously. */
  reaches: readonly string[];
}>;

/** One step of a sequence. */
type Step<C, E> = Readonly<{ command: C }> | Readonly<{ happens: E }>;

/**
 * For any sequence of commands: decisions are pure and match their schemas, every event evolves, a repeated command adds nothing, a snapshot
 * anywhere in the history changes nothing, and all of it also works after the persons in the history were erased.
 */
export function checkRules<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  rules: Rules<State, C, E>,
): void {
  const reached = new Set<string>();
  fc.assert(
    fc.property(stepsOf(rules), fc.nat(), (steps, cut) => {
      const history: E[] = [];
      let state = aggregate.initialState;
      const happened = (event: E): void => {
        reached.add(event.type);
        state = evolvePurely(aggregate, state, event);
        history.push(event);
        rules.invariant(state, history);
      };
      for (const step of steps) {
        if ('happens' in step) {
          happened(step.happens);
          continue;
        }
        const { command } = step;
        const outcome = decidePurely(aggregate, command, state);
        if ('refused' in outcome) reached.add(outcome.refused);
        else if (outcome.events.length > 0) {
          outcome.events.forEach(happened);
          if (rules.again(command) !== 'anew') {
            const repeated = outcomeOf(aggregate, command, state);
            expect('refused' in repeated ? 'refused' : repeated.events).toStrictEqual(
              rules.again(command) === 'refused' ? 'refused' : [],
            );
          }
        }
      }
      const at = cut % (history.length + 1);
      snapshotsChangeNothing(aggregate, history, at);
      const readAfterErasure = history.map(erased);
      snapshotsChangeNothing(aggregate, readAfterErasure, at);
      const stateAfterErasure = fold(aggregate, readAfterErasure.slice(0, at));
      for (const step of steps) if ('command' in step) decidePurely(aggregate, step.command, stateAfterErasure);
    }),
    { numRuns: 100 },
  );
  expect([...reached]).toEqual(expect.arrayContaining([...rules.reaches]));
}

function stepsOf<State, C, E>({ commands, happenings }: Rules<State, C, E>): fc.Arbitrary<Step<C, E>[]> {
  const asked = commands.map((command): Step<C, E> => ({ command }));
  const step =
    happenings === undefined
      ? asked
      : fc.oneof(
          { weight: 40, arbitrary: asked },
          { weight: 1, arbitrary: happenings.map((happens): Step<C, E> => ({ happens })) },
        );
  return fc.array(step, { minLength: 1, maxLength: 60, size: 'max' });
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
  if ('events' in outcome) outcome.events.forEach(checkEvent);
  return outcome;
}

function evolvePurely<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  state: State,
  event: E,
): State {
  checkEvent(event);
  deepFreeze(event);
  const before = frozenText(aggregate, state);
  const after = aggregate.evolve(state, event);
  expect(frozenText(aggregate, state)).toBe(before);
  // A node of a later version may append events that this version does not know.
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

/** Makes every write to plain objects and arrays throw; persistent collections are immutable already. */
function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || isImmutable(value) || Object.isFrozen(value)) return;
  Object.freeze(value);
  Object.values(value).forEach(deepFreeze);
}
