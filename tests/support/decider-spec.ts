import { expect } from 'vitest';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { Command } from '../../src/kernel/command.ts';
import { type Aggregate, fold } from '../../src/kernel/decider.ts';
import { Refusal, type RefusalCode } from '../../src/kernel/errors.ts';
import type { Event } from '../../src/kernel/event.ts';
import { checkEvent } from '../../src/kernel/registry.ts';

/** What a decision came to: events, or the code of its refusal. */
export type Outcome<E> = Readonly<{ events: readonly E[] }> | Readonly<{ refused: RefusalCode }>;

/** Decides; any error that is no `Refusal` passes through, for a decider has no other. */
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

/**
 * Strict given / when / then for a decider. History and outcome must be events that may be stored, and the whole outcome is compared.
 *
 *     given(user, [registered]).when(setPassword).refused('invalid-link');
 *
 * `decides` and `refused` give the state afterwards, for what the events do not show.
 */
export function given<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  history: readonly E[],
) {
  for (const event of history) checkEvent(eventRegistry, event);
  const state = fold(aggregate, history);
  return {
    state,
    when(command: C) {
      const outcome = outcomeOf(aggregate, command, state);
      return {
        decides(expected: readonly E[]): State {
          expect(outcome).toStrictEqual({ events: expected });
          for (const event of expected) checkEvent(eventRegistry, event);
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
