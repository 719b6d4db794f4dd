import { expect } from 'vitest';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { Command } from '../../src/kernel/command.ts';
import { type Aggregate, fold } from '../../src/kernel/decider.ts';
import { Refusal, type RefusalCode } from '../../src/kernel/errors.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { EventDefinition } from '../../src/kernel/event-definition.ts';

/** The result of a decision: events, or the code of its refusal. */
export type Outcome<E> = Readonly<{ events: readonly E[] }> | Readonly<{ refused: RefusalCode }>;

/** Decides. Errors other than a `Refusal` are thrown: a decider must not throw any. */
export function outcomeOf<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  command: C,
  state: State,
): Outcome<E> {
  try {
    return { events: aggregate.decide(command, state) };
  } catch (error) {
    if (error instanceof Refusal && error.message !== '') return { refused: error.code };
    throw error;
  }
}

function definitionOf(type: string): EventDefinition {
  const definition = eventRegistry.get(type);
  if (definition === undefined) throw new Error(`unknown event type '${type}'`);
  return definition;
}

/** Fails unless the event may be appended. */
export function checkEvent({ type, data }: Event): void {
  expect(definitionOf(type).check(data), `'${type}' must match its schema`).toBeNull();
}

/** Fails unless the event may be read: as `checkEvent`, but any personal field may be `null`, because its person may have been erased. */
function checkReadEvent({ type, data }: Event): void {
  const { personal } = definitionOf(type);
  const unerased = Object.entries(data).map(([field, value]) => [
    field,
    field in personal ? (value ?? 'erased') : value,
  ]);
  checkEvent({ type, data: Object.fromEntries(unerased) });
}

/** The event as it is read after everybody in it was erased. */
export function erased<E extends Event>(event: E): E {
  const { personal } = definitionOf(event.type);
  const fields = Object.keys(personal).map((field) => [field, null]);
  return { ...event, data: { ...event.data, ...Object.fromEntries(fields) } };
}

/**
 * Strict given / when / then for a decider. History and outcome must match the schemas of their events, and the whole outcome is compared.
 *
 *     given(user, [registered]).when(setPassword).refused('invalid-link');
 *
 * `decides` and `refused` return the state afterwards, for assertions that the events do not cover.
 */
export function given<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  history: readonly E[],
) {
  for (const event of history) checkReadEvent(event);
  const state = fold(aggregate, history);
  return {
    state,
    when(command: C) {
      const outcome = outcomeOf(aggregate, command, state);
      return {
        decides(expected: readonly E[]): State {
          expect(outcome).toStrictEqual({ events: expected });
          for (const event of expected) checkEvent(event);
          return fold(aggregate, expected, state);
        },
        refused(code: RefusalCode): State {
          expect(outcome).toStrictEqual({ refused: code });
          return state;
        },
      };
    },
  };
}
